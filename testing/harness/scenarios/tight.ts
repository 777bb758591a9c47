// Scenarios in which a read meets the worst quorum there is: all liars, all members that missed the write, and a single
// one that has it. In ring order: L liars, f members that miss things, and the rest hold.

import type { Bytes } from '../../../src/base/bytes.ts';
import { blockId } from '../../../src/dbqs/ids.ts';
import type { MessageName } from '../../../src/wire/registry.ts';
import type { LieMaker } from '../../byzantine/liar.ts';
import { refusal } from '../../byzantine/lies/context.ts';
import * as falsifying from '../../byzantine/lies/falsifying.ts';
import * as pestering from '../../byzantine/lies/pestering.ts';
import * as withholding from '../../byzantine/lies/withholding.ts';
import type { Operation } from '../client-machine.ts';
import { type Client, playOn, type Stage } from '../stage.ts';
import { liarsFirst, type Scenario } from './scenario.ts';

const block: Bytes = new Uint8Array(100).fill(9);

/** A finished write that f correct members have missed, and readers that meet only one holder if they are `blind`. */
async function finishedWrite(
  stage: Stage,
  faults: number,
  liars: number,
  blind: boolean,
): Promise<void> {
  const object = stage.object();
  const writer = stage.client('writer');
  const laggards = stage.names(liars, liars + faults);
  const early = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
  await stage.must(writer.session, early);
  const heal = stage.cut(writer.machine, laggards, 'write', 'store');
  await stage.must(writer.session, { ...early, sizeBytes: 30 });
  await stage.must(writer.session, { kind: 'put', data: block });
  heal();
  for (const name of ['first', 'second']) {
    const reader = stage.client(name);
    const hidden = blind ? stage.names(2 * faults + 1, 3 * faults + 1) : [];
    const see = stage.cut(reader.machine, hidden);
    const operations: Operation[] = [
      { kind: 'get', block: blockId(block) },
      { kind: 'read', object: object.id },
    ];
    // In either order: who was caught lying about the one is asked last for the other.
    if (name === 'second') operations.reverse();
    for (const operation of operations) await stage.must(reader.session, operation);
    see();
  }
}

function lying(about: string, ...makers: LieMaker[]): Scenario {
  return {
    about,
    tight: true,
    play: (settings, { faults, liars }) =>
      playOn(settings, { faults, lies: liarsFirst(liars, ...makers) }, (stage) =>
        finishedWrite(stage, faults, liars, true),
      ),
  };
}

/** Liars whose answers are not counted: readers must hear all others, and are never told what is not so. */
function uncounted(about: string, ...makers: LieMaker[]): Scenario {
  return {
    about,
    tight: false,
    play: (settings, { faults, liars }) =>
      playOn(settings, { faults, lies: liarsFirst(liars, ...makers) }, (stage) =>
        finishedWrite(stage, faults, liars, false),
      ),
  };
}

/** Honest to every other reader, in the order in which they first ask, and denying everything to the rest. */
const fickle: LieMaker = (context) => {
  const readers: string[] = [];
  const denying = withholding.denying(context);
  return {
    onRequest(request, from) {
      if (request.name !== 'readVersion' || request.value.inlineSizeBytesMax === 0)
        return undefined;
      if (!readers.includes(from.peer)) readers.push(from.peer);
      return readers.indexOf(from.peer) % 2 === 0 ? undefined : denying.onRequest?.(request, from);
    },
  };
};

/** An object that f correct members have missed the last versions of. */
async function laggingObject(stage: Stage, writer: Client, faults: number, liars: number) {
  const object = stage.object();
  const write = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
  await stage.must(writer.session, write);
  const heal = stage.cut(writer.machine, stage.names(liars, liars + faults), 'write', 'store');
  for (let i = 0; i < 3; i++) await stage.must(writer.session, write);
  await stage.must(writer.session, { kind: 'put', data: block });
  heal();
  return { write, read: { kind: 'read', object: object.id } as const };
}

/**
 * For a while a client reaches only the liars and those that missed the last writes. It must wait for one more, whatever
 * it does: that one makes the difference.
 */
const lateQuorum: Scenario = {
  about: 'a client first reaches one server fewer than a quorum, and the worst ones',
  tight: false,
  play: (settings, { faults, liars }) =>
    playOn(
      settings,
      { faults, lies: liarsFirst(liars, withholding.forgettingAll) },
      async (stage) => {
        const writer = stage.client('writer');
        const toRead = await laggingObject(stage, writer, faults, liars);
        const toWrite = await laggingObject(stage, writer, faults, liars);
        const laggards = stage.names(liars, liars + faults);
        const holders = stage.names(liars + faults, 3 * faults + 1);
        const late = stage.client('late');
        const missing = async (
          servers: readonly string[],
          operation: Operation,
          ...kinds: MessageName[]
        ) => {
          const heal = stage.cut(late.machine, servers, ...kinds);
          stage.simulation.after(1_500, heal);
          await stage.must(late.session, operation);
        };
        await missing(holders, toRead.read);
        await missing(holders, { kind: 'get', block: blockId(block) });
        await missing(holders, toWrite.write);
        await stage.must(late.session, toWrite.read);
        // A write that reaches the liars and f others, and a reader that meets neither of those.
        await missing([...laggards, ...holders.slice(0, 1)], toWrite.write, 'write');
        const reader = stage.client('reader');
        stage.cut(reader.machine, holders.slice(1));
        await stage.must(reader.session, toWrite.read);
      },
    ),
};

/** Liars outside the group answer what liars inside it have been asked. */
const impostors: Scenario = {
  about: 'liars outside the group answer, while only liars and laggards inside it are heard',
  tight: false,
  play: (settings, { faults, liars }) => {
    const size = 3 * faults + 1;
    const lies = liarsFirst(liars, impostor);
    for (let i = 0; i < liars; i++) lies.set(size + i, [impostor]);
    return playOn(settings, { faults, servers: 2 * size, lies }, async (stage) => {
      const writer = stage.client('writer');
      const reader = stage.client('reader');
      // Everybody outside has been spoken to, so that it can answer unasked.
      const outside = stage.objectAt(size);
      await stage.must(reader.session, { kind: 'read', object: outside.id });
      const object = stage.objectAt(0);
      const write = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
      const read = { kind: 'read', object: object.id } as const;
      const laggards = stage.names(liars, liars + faults);
      const heal = stage.cut(writer.machine, laggards, 'write');
      await stage.must(writer.session, write);
      heal();
      for (let i = 0; i < 4; i++) {
        const see = stage.cut(reader.machine, stage.names(liars + faults, size), 'readVersion');
        stage.simulation.after(1_500, see);
        await stage.must(reader.session, read);
      }
    });
  },
};

/** Denies everything, where it is asked and where it is not. */
const impostor: LieMaker = (context) => ({
  ...withholding.forgettingAll(context),
  ...pestering.impersonating(context),
});

/** Refuses for a minute, several times a second. */
const nagging: LieMaker = (context) => ({
  onRequest: (request) =>
    request.name === 'get'
      ? Array.from({ length: 200 }, (_, index) => ({
          ...refusal(request, context, 'invalid'),
          delayMs: 300 * index,
        }))
      : undefined,
});

/** The others were not reached at first: they must be asked again, whatever the liars say meanwhile. */
const naggingLiars: Scenario = {
  about: 'liars refuse again and again, while requests to the others were lost',
  tight: false,
  play: (settings, { faults, liars }) =>
    playOn(settings, { faults, lies: liarsFirst(liars, nagging) }, async (stage) => {
      const writer = stage.client('writer');
      await stage.must(writer.session, { kind: 'put', data: block });
      const reader = stage.client('reader');
      const heal = stage.cut(reader.machine, stage.names(liars, 3 * faults + 1));
      stage.simulation.after(2_000, heal);
      const get = { kind: 'get', block: blockId(block) } as const;
      const ending = await stage.ending(reader.session, get, 20_000);
      stage.expect(ending === 'done', `the block was not had in 20 s: ${ending}`);
    }),
};

/** An unfinished write at the liars alone, whose header they show and whose data they withhold. */
const withheldData: Scenario = {
  about: 'the header of an unfinished write is shown, its data withheld for ever',
  tight: true,
  play: (settings, { faults, liars }) =>
    playOn(
      settings,
      { faults, lies: liarsFirst(liars, withholding.headersOnly) },
      async (stage) => {
        const object = stage.object();
        const writer = stage.client('writer');
        const write = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
        await stage.must(writer.session, write);
        stage.cut(writer.machine, stage.names(liars, 3 * faults + 1), 'write');
        await stage.ending(writer.session, write, 500);
        const reader = stage.client('reader');
        for (let i = 0; i < 3; i++)
          await stage.must(reader.session, { kind: 'read', object: object.id });
      },
    ),
};

/** A writer dies having reached 1 … q-1 servers; readers come one after the other and meet different quorums. */
const unfinishedWrites = (about: string, lie: LieMaker): Scenario => ({
  about,
  tight: true,
  play: (settings, { faults, liars }) =>
    playOn(settings, { faults, lies: liarsFirst(liars, lie) }, async (stage) => {
      const size = 3 * faults + 1;
      for (let reached = 1; reached <= 2 * faults; reached++) {
        const object = stage.object();
        const writer = stage.client(`writer-${reached}`);
        const write = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
        await stage.must(writer.session, write);
        stage.cut(writer.machine, stage.names(liars + reached, size), 'write');
        await stage.ending(writer.session, write, 300);
        writer.machine.crash();
        for (let turn = 0; turn < 4; turn++) {
          const reader = stage.client(`reader-${reached}-${turn}`);
          // Odd readers do not meet the servers that the write has reached.
          const away =
            turn % 2 === 0 ? stage.names(size - faults, size) : stage.names(liars, liars + faults);
          const heal = stage.cut(reader.machine, away);
          await stage.must(reader.session, { kind: 'read', object: object.id });
          heal();
        }
      }
    }),
});

/** One holder's record rots beside f liars and f members that missed the write: it must say so rather than deny. */
const damageBesideLiars: Scenario = {
  about: 'a damaged record beside f liars: refused and mended, never denied',
  tight: false,
  play: (settings, { faults, liars }) =>
    playOn(
      settings,
      { faults, lies: liarsFirst(liars, withholding.forgettingAll) },
      async (stage) => {
        const object = stage.object();
        const writer = stage.client('writer');
        const write = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
        stage.cut(writer.machine, stage.names(liars, liars + faults), 'write');
        await stage.must(writer.session, write);
        const size = 3 * faults + 1;
        const victim = stage.server(size - 1 - faults);
        await stage.simulation.runFor(1_000);
        victim.crash();
        const { disk } = victim.node;
        const content = disk.snapshot();
        const table = content.table.map(({ key, value }) =>
          key[0] === 'h'.charCodeAt(0)
            ? { key, value: value.map((byte, place) => (place === 40 ? byte ^ 1 : byte)) }
            : { key, value },
        );
        disk.restore({ ...content, table });
        victim.start();
        const reader = stage.client('reader');
        const heal = stage.cut(reader.machine, stage.names(size - faults, size));
        await stage.ending(reader.session, { kind: 'read', object: object.id }, 5_000);
        heal();
        await stage.must(reader.session, { kind: 'read', object: object.id });
      },
    ),
};

export const tightScenarios: Readonly<Record<string, Scenario>> = {
  denial: lying('liars acknowledge without storing, and deny', withholding.forgettingAll),
  'stale-answers': lying('liars show what was before', withholding.stale),
  'forged-headers': uncounted('forged headers, and headers of other objects', falsifying.forging),
  'withheld-data': withheldData,
  'unfinished-write': unfinishedWrites(
    'a writer dies after reaching fewer than a quorum; readers, beside denying liars',
    withholding.forgettingAll,
  ),
  'fickle-liars': {
    ...unfinishedWrites(
      'a writer dies midway, beside liars that are honest to every other reader',
      fickle,
    ),
    tight: false,
  },
  'late-quorum': lateQuorum,
  impostors,
  'nagging-liars': naggingLiars,
  'absent-lies': lying('liars deny blocks', withholding.forgettingAll, withholding.blockDenying),
  'wrong-bytes': uncounted('liars give wrong bytes for blocks and objects', falsifying.wrongBytes),
  'late-answers': uncounted(
    'answers just before and just after everybody gave up on them',
    pestering.slow,
  ),
  'damage-beside-liars': damageBesideLiars,
};
