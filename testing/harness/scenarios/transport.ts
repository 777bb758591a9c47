// Scenarios about the network and about messages that are not what they seem: whole runs under one kind of trouble.

import type { LieMaker } from '../../byzantine/liar.ts';
import * as falsifying from '../../byzantine/lies/falsifying.ts';
import * as pestering from '../../byzantine/lies/pestering.ts';
import * as withholding from '../../byzantine/lies/withholding.ts';
import type { FaultMix } from '../../simulator/fault-mix.ts';
import type { RunOptions } from '../options.ts';
import { run } from '../run.ts';
import { calmOptions, playOn } from '../stage.ts';
import { liarsFirst, type Scenario } from './scenario.ts';

interface Trouble {
  readonly mix?: Partial<FaultMix>;
  readonly options?: Partial<RunOptions>;
  readonly lies?: readonly LieMaker[];
  readonly servers?: (faults: number) => number;
}

/** A run with this trouble and no other. */
function troubled(about: string, trouble: Trouble): Scenario {
  return {
    about,
    tight: false,
    play: (settings, { faults, liars }) => {
      const servers = trouble.servers?.(faults) ?? 3 * faults + 1;
      const calm = calmOptions(faults, servers);
      const faultMix = { ...calm.faultMix, ...trouble.mix };
      const options = { ...calm, ...trouble.options, faultMix };
      const lies = trouble.lies === undefined ? new Map() : liarsFirst(liars, ...trouble.lies);
      return run({ ...settings, options, lies });
    },
  };
}

/** Says nothing is there, under an epoch that nobody has certified. */
const elsewhere: LieMaker = (context) => {
  const denying = withholding.denying(context);
  return {
    onRequest: (request, from) =>
      denying
        .onRequest?.(request, from)
        ?.map((said) =>
          'message' in said ? { message: falsifying.under(said.message, { epoch: 7 }) } : said,
        ),
  };
};

/** More than f servers answer under another epoch: the client must not count them, and waits. */
const otherEpoch: Scenario = {
  about: 'I.5 91: 2f+1 servers answer under an epoch without a certificate',
  tight: false,
  play: (settings, { faults }) =>
    playOn(
      settings,
      { faults, lies: new Map(Array.from({ length: 2 * faults + 1 }, (_, i) => [i, [elsewhere]])) },
      async (stage) => {
        const object = stage.object();
        const writer = stage.client('writer');
        // They store and acknowledge like everybody; only what they show is of another epoch.
        await stage.must(writer.session, { kind: 'put', data: new Uint8Array(10) });
        const alone = { kind: 'write-alone', signer: object.signer, sizeBytes: 20 } as const;
        writer.machine.counters.set(object.id, 5);
        await stage.must(writer.session, alone);
        const reader = stage.client('reader');
        for (let i = 0; i < 3; i++)
          await stage.ending(reader.session, { kind: 'read', object: object.id }, 3_000);
      },
    ),
};

const always = { of: 1, in: 1 };

export const transportScenarios: Readonly<Record<string, Scenario>> = {
  '1-duplicates': troubled('I.1 1: every packet three times, and reordered across 10 s', {
    mix: {
      duplicate: { ratio: always, copiesMax: 3 },
      slow: { ratio: { of: 1, in: 2 }, delayUs: [0, 10_000_000] },
    },
    options: { timeoutMs: 30_000, safetyMs: 60_000 },
  }),
  '2-bit-flips': troubled('I.1 2: bit flips in a twentieth of all packets, and in what liars say', {
    mix: { corrupt: { of: 1, in: 20 } },
    lies: [falsifying.confusing],
  }),
  '3-wrong-encodings': troubled('I.1 3: cut, extended and altered encodings', {
    lies: [falsifying.confusing],
  }),
  '5-replays': troubled('I.1 5: everything is replayed, under other epochs and instances too', {
    mix: { replay: { of: 1, in: 2 } },
    lies: [falsifying.replaying],
  }),
  '6-reflection': troubled('I.1 6: liars send back what they are sent', {
    lies: [falsifying.reflecting],
  }),
  '7-flood': troubled('I.1 7: liars flood everybody with requests, replies and garbage', {
    lies: [pestering.flooding],
    options: { scrubIntervalMs: 3_000 },
  }),
  '9-one-way-cuts': troubled('I.1 9: one way partitions', {
    mix: { partitions: { gapMs: [0, 500], lastMs: [100, 2_000], oneWayOneIn: 1 } },
    options: { operations: 100 },
  }),
  '10-clocks': troubled('I.1 10: clocks a tenth too fast and too slow, machines that sleep', {
    mix: {
      clockRatePpmMax: 100_000,
      pauses: { gapMs: [0, 500], lastMs: [100, 3_000], clockStopsOneIn: 2 },
    },
    options: { unavailableMax: 2 },
  }),
  '91-fictitious-epoch': troubled('I.5 91: liars claim a later epoch', {
    lies: [falsifying.epochClaiming],
  }),
  '91-other-epoch': otherEpoch,
  '92-replayed-answers': troubled(
    'I.5 92: answers of earlier questions, by liars and by the network',
    {
      mix: { replay: always, duplicate: { ratio: { of: 1, in: 3 }, copiesMax: 2 } },
      lies: [falsifying.replaying],
      options: { objects: 1, absences: { gapMs: [0, 10], lastMs: [1, 50] }, operations: 100 },
    },
  ),
  '94-last-counter': troubled('I.5 94: a writer uses up the counters of an object', {
    options: { exhaustedCounter: true, objects: 1 },
  }),
  '96-one-group': troubled('I.5 96: exactly 3f+1 servers', {
    options: { objects: 10, blocks: 10 },
  }),
  '96-wrapping-groups': troubled('I.5 96: groups that wrap round the ring', {
    options: { objects: 10, blocks: 10 },
    servers: (faults) => 3 * faults + 2,
  }),
};
