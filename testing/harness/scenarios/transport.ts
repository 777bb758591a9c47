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
      const options = { ...calm, scrubIntervalMs: 20_000, ...trouble.options, faultMix };
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
  about: '2f+1 servers answer under an epoch without a certificate',
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
  duplicates: troubled('every packet three times, and reordered across 10 s', {
    mix: {
      duplicate: { ratio: always, copiesMax: 3 },
      slow: { ratio: { of: 1, in: 2 }, delayUs: [0, 10_000_000] },
    },
    options: { timeoutMs: 30_000, safetyMs: 60_000 },
  }),
  'bit-flips': troubled('bit flips in a twentieth of all packets, and in what liars say', {
    mix: { corrupt: { of: 1, in: 20 } },
    lies: [falsifying.confusing],
  }),
  'wrong-encodings': troubled('cut, extended and altered encodings', {
    lies: [falsifying.confusing],
  }),
  replays: troubled('everything is replayed, under other epochs and instances too', {
    mix: { replay: { of: 1, in: 2 } },
    lies: [falsifying.replaying],
  }),
  reflection: troubled('liars send back what they are sent', {
    lies: [falsifying.reflecting],
  }),
  flood: troubled('liars flood everybody with requests, replies and garbage', {
    lies: [pestering.flooding],
    options: { scrubIntervalMs: 3_000 },
  }),
  'one-way-cuts': troubled('one way partitions', {
    mix: { partitions: { gapMs: [0, 500], lastMs: [100, 2_000], oneWayOneIn: 1 } },
    options: { operations: 100 },
  }),
  clocks: troubled('clocks a tenth too fast and too slow, machines that sleep', {
    mix: {
      clockRatePpmMax: 100_000,
      pauses: { gapMs: [0, 500], lastMs: [100, 3_000], clockStopsOneIn: 2 },
    },
    options: { unavailableMax: 2 },
  }),
  'fictitious-epoch': troubled('liars claim a later epoch', {
    lies: [falsifying.epochClaiming],
  }),
  'other-epoch': otherEpoch,
  'replayed-answers': troubled('answers of earlier questions, by liars and by the network', {
    mix: { replay: always, duplicate: { ratio: { of: 1, in: 3 }, copiesMax: 2 } },
    lies: [falsifying.replaying],
    options: { objects: 1, absences: { gapMs: [0, 10], lastMs: [1, 50] }, operations: 100 },
  }),
  'last-counter': troubled('a writer uses up the counters of an object', {
    options: { exhaustedCounter: true, objects: 1 },
  }),
  'one-group': troubled('exactly 3f+1 servers', {
    options: { objects: 10, blocks: 10 },
  }),
  'wrapping-groups': troubled('groups that wrap round the ring', {
    options: { objects: 10, blocks: 10 },
    servers: (faults) => 3 * faults + 2,
  }),
};
