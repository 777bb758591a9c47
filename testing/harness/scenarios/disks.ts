// Scenarios about what disks lose: power failures, lost disks, replays of the journal.

import type { Bytes } from '../../../src/base/bytes.ts';
import { blockId } from '../../../src/dbqs/ids.ts';
import { limits } from '../../../src/wire/limits.ts';
import * as pestering from '../../byzantine/lies/pestering.ts';
import * as withholding from '../../byzantine/lies/withholding.ts';
import { cutBothWays } from '../../simulator/faults.ts';
import { playOn, type Stage } from '../stage.ts';
import { liarsFirst, type Scenario } from './scenario.ts';

const largeBytes = 70_000;

function powerFails(stage: Stage): void {
  for (const server of stage.servers) server.crash();
  for (const server of stage.servers) server.start();
}

/** All servers lose power the moment a write is acknowledged. */
function blackout(sizeBytes: number): Scenario {
  return {
    about: `power fails everywhere when a write of ${sizeBytes} bytes is acknowledged`,
    tight: false,
    play: (settings, { faults }) =>
      playOn(settings, { faults }, async (stage) => {
        const object = stage.object();
        const { session } = stage.client('writer');
        for (const server of stage.servers)
          server.node.disk.conditions.latency = { lowUs: 1_000, highUs: 20_000 };
        for (let i = 0; i < 4; i++) {
          await stage.must(session, { kind: 'write', signer: object.signer, sizeBytes });
          const data: Bytes = new Uint8Array(sizeBytes).fill(i);
          await stage.must(session, { kind: 'put', data });
          powerFails(stage);
          await stage.must(session, { kind: 'read', object: object.id });
          await stage.must(session, { kind: 'get', block: blockId(data) });
        }
      }),
  };
}

/** Power fails while values are being written that readers may have seen. */
const blackoutAfterRead: Scenario = {
  about: 'power fails after a read of a value whose writing is under way',
  tight: false,
  play: (settings, { faults }) =>
    playOn(settings, { faults }, async (stage) => {
      for (let round = 0; round < 10; round++) await readThenBlackout(stage, round);
    }),
};

async function readThenBlackout(stage: Stage, round: number): Promise<void> {
  const object = stage.object();
  const writer = stage.client(`writer-${round}`);
  const reader = stage.client(`reader-${round}`);
  const write = { kind: 'write', signer: object.signer, sizeBytes: 20 } as const;
  const read = { kind: 'read', object: object.id } as const;
  await stage.must(writer.session, write);
  await stage.must(reader.session, read);
  const setLatency = (lowUs: number, highUs: number): void => {
    for (const server of stage.servers) server.node.disk.conditions.latency = { lowUs, highUs };
  };
  setLatency(100_000, 200_000);
  const writing = writer.session.perform(write, 30_000);
  await stage.simulation.runFor(stage.prng.between(5, 20));
  const reading = reader.session.perform(read, 30_000);
  await stage.simulation.runFor(stage.prng.between(5, 20));
  writer.machine.crash();
  powerFails(stage);
  setLatency(50, 300);
  await stage.simulation.complete(Promise.race([reading, writing]), 60_000);
  await stage.must(reader.session, read);
}

/** Small values go through the journal and large ones past it; the journal must not put the small ones back. */
const mixedSizes: Scenario = {
  about: 'small and large values in turn, with power failures between',
  tight: false,
  play: (settings, { faults }) =>
    playOn(settings, { faults }, async (stage) => {
      const object = stage.object();
      const { session } = stage.client('writer');
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 8; i++) {
          const data: Bytes = new Uint8Array([round, i]);
          await stage.must(session, { kind: 'put', data });
        }
        for (const sizeBytes of [20, largeBytes]) {
          await stage.must(session, { kind: 'write', signer: object.signer, sizeBytes });
          await stage.simulation.runFor(stage.prng.between(0, 100));
        }
        powerFails(stage);
        await stage.must(session, { kind: 'read', object: object.id });
      }
    }),
};

/** Disks are lost one after the other, each after the last one's contents are back; in the end none is the first. */
const rollingLosses: Scenario = {
  about: 'every disk is lost in turn, never more than the group bears',
  tight: true,
  play: (settings, { faults, liars }) =>
    playOn(settings, { faults, lies: new Map() }, async (stage) => {
      const object = stage.object();
      const { session, machine } = stage.client('writer');
      const size = 3 * faults + 1;
      const data: Bytes = new Uint8Array(50).fill(3);
      const heal = stage.cut(machine, stage.names(0, faults), 'write', 'store');
      await stage.must(session, { kind: 'write', signer: object.signer, sizeBytes: 20 });
      await stage.must(session, { kind: 'put', data });
      heal();
      for (let first = 0; first < size; first += liars) {
        const batch = stage.servers.slice(first, first + liars);
        for (const server of batch) server.loseDisk();
        // Those who come back empty cannot reach the others at first, and must not serve before they have.
        const names = batch.map(({ node }) => node.name);
        const others = stage.names(0, size).filter((name) => !names.includes(name));
        const heal = stage.system.world.fabric.add(cutBothWays(names, others));
        stage.simulation.after(3_000, heal);
        await stage.simulation.runFor(100);
        await stage.allServe();
        const reader = stage.client(`reader-${first}`);
        await stage.must(reader.session, { kind: 'read', object: object.id });
        await stage.must(reader.session, { kind: 'get', block: blockId(data) });
      }
    }),
};

/** A disk is lost beside f-1 liars: recovery meets all of them and all members that missed the write. */
const lossBesideLiars: Scenario = {
  about: 'a lost disk beside f-1 liars and f members that missed the write',
  tight: false,
  play: (settings, { faults }) => {
    const liars = faults - 1;
    const lies = liarsFirst(liars, withholding.denying);
    return playOn(settings, { faults, lies }, async (stage) => {
      const size = 3 * faults + 1;
      const object = stage.object();
      const writer = stage.client('writer');
      const heal = stage.cut(writer.machine, stage.names(liars, liars + faults), 'write');
      await stage.must(writer.session, { kind: 'write', signer: object.signer, sizeBytes: 20 });
      heal();
      // One holder after the other, as long as a single one of the first holders is left.
      for (let lost = liars + faults; lost < size; lost++) {
        stage.server(lost).loseDisk();
        await stage.simulation.runFor(100);
        await stage.allServe();
      }
      for (const name of ['first', 'second']) {
        const reader = stage.client(name);
        const blind = stage.cut(reader.machine, stage.names(size - faults, size));
        await stage.must(reader.session, { kind: 'read', object: object.id });
        blind();
      }
    });
  },
};

/** More is lost than one page of a list holds, and f-1 liars make lists of their own. */
const longLists: Scenario = {
  about: 'a lost disk that held more than a page of a list, beside f-1 liars that invent lists',
  tight: false,
  play: (settings, { faults }) => {
    const liars = faults - 1;
    return playOn(
      settings,
      { faults, lies: liarsFirst(liars, pestering.listLying) },
      async (stage) => {
        const { session } = stage.client('writer');
        const count = limits.listEntriesMax + 40;
        for (let i = 0; i < count; i++) {
          const data: Bytes = new Uint8Array([i >> 8, i & 0xff]);
          const write = { kind: 'write', signer: stage.object().signer, sizeBytes: 10 } as const;
          await stage.must(session, { kind: 'put', data });
          await stage.must(session, write);
        }
        const victim = stage.server(liars);
        victim.loseDisk();
        await stage.simulation.runFor(100);
        await stage.allServe(300_000);
        const { objects = 0, blocks = 0 } = victim.server?.status() ?? {};
        stage.expect(
          objects >= count && blocks >= count,
          `only ${objects} and ${blocks} came back`,
        );
      },
    );
  },
};

/** A walk through the lists of others that gets no further ends after 30 s. */
const firstAttemptMs = 31_000;

/** A server comes back and reaches nobody, until its first attempt to catch up is over. */
const cutOffAtStart: Scenario = {
  about: 'a server that reaches nobody when it comes back has what it missed soon after it does',
  tight: false,
  play: (settings, { faults }) =>
    playOn(settings, { faults }, async (stage) => {
      const size = 3 * faults + 1;
      const victim = stage.server(size - 1);
      victim.crash();
      const object = stage.object();
      const { session, machine } = stage.client('writer');
      await stage.must(session, { kind: 'write', signer: object.signer, sizeBytes: 20 });
      // Or it would tell the server itself.
      machine.crash();
      const heal = stage.system.world.fabric.add(
        cutBothWays([victim.node.name], stage.names(0, size - 1)),
      );
      victim.start();
      await stage.simulation.runFor(firstAttemptMs);
      const held = (): number => victim.server?.status().objects ?? 0;
      stage.expect(held() === 0, 'it was not cut off');
      heal();
      const done = await stage.simulation.runUntil(() => held() > 0, 20_000);
      stage.expect(done, 'it does not have what it missed');
    }),
};

export const diskScenarios: Readonly<Record<string, Scenario>> = {
  'blackout-small': blackout(20),
  'blackout-large': blackout(largeBytes),
  'blackout-after-read': blackoutAfterRead,
  'blackout-mixed-sizes': mixedSizes,
  'rolling-losses': rollingLosses,
  'loss-beside-liars': lossBesideLiars,
  'long-lists': longLists,
  'cut-off-at-start': cutOffAtStart,
};
