// What each operation costs, message by message and signature by signature, against the model in docs/PERFORMANCE.md.
// Every message takes one unit of time and disks take none, so latencies are exact too.

import { describe, expect, it } from 'vitest';
import { limits } from '../../src/wire/limits.ts';
import { messageName } from '../../src/wire/registry.ts';
import type { FaultRule, Packet } from '../../testing/simulator/faults.ts';
import { type RegisterSystem, registerSystem } from '../compliance/register-system.ts';

const delayUs = 1_000;
const never = new AbortController().signal;
/** Length, type, instance, epoch and nonce. */
const envelopeBytes = 6 + 32 + 8 + 16;

interface Cost {
  readonly delays: number;
  readonly messages: number;
  readonly signed: number;
  readonly verified: number;
}

interface Measured extends Cost {
  readonly bytes: number;
  readonly names: Readonly<Record<string, number>>;
}

function recorder(packets: Packet[]): FaultRule {
  return {
    stage: 'cut',
    judge(packet) {
      packets.push(packet);
      return { kind: 'pass' };
    },
  };
}

async function measure(system: RegisterSystem, run: () => Promise<unknown>): Promise<Measured> {
  const packets: Packet[] = [];
  const remove = system.fabric.add(recorder(packets));
  const { signed, verified } = system.crypto;
  const startUs = system.simulation.nowUs;
  await system.simulation.complete(run(), 60_000);
  const delays = (system.simulation.nowUs - startUs) / delayUs;
  // Replies that come after the operation has ended belong to it all the same.
  await system.simulation.runFor(500);
  remove();
  const names: Record<string, number> = {};
  let bytes = 0;
  for (const { type, payload } of packets) {
    const name = messageName(type) ?? 'unknown';
    names[name] = (names[name] ?? 0) + 1;
    bytes += payload.length + 6;
  }
  return {
    delays,
    messages: packets.length,
    signed: system.crypto.signed - signed,
    verified: system.crypto.verified - verified,
    bytes,
    names,
  };
}

const costOf = ({ delays, messages, signed, verified }: Measured): Cost => ({
  delays,
  messages,
  signed,
  verified,
});

/** A system whose links are all up and whose object has one version. */
async function warm(faults: number, data: Uint8Array): Promise<RegisterSystem> {
  const system = await registerSystem('dissemination', 'epochs', 1, { faults, delayUs });
  for (const client of [0, 1]) {
    const signal = new AbortController().signal;
    await system.simulation.complete(
      system.storage(client).writeObject(system.objectSigner, data, signal),
      60_000,
    );
  }
  await system.simulation.runFor(2_000);
  return system;
}

const small = new Uint8Array(1024).fill(7);
const big = new Uint8Array(limits.inlineSizeBytesMax + 1).fill(9);

for (const faults of [1, 2]) {
  const n = 3 * faults + 1;
  const object = async (system: RegisterSystem) =>
    (await import('../../src/dbqs/ids.ts')).objectId(system.objectSigner.publicKey);

  describe(`with f = ${faults}`, () => {
    it('a write takes two rounds, one signature and one verification per server', async () => {
      const system = await warm(faults, small);
      const storage = system.storage(0);
      const cost = await measure(system, () =>
        storage.writeObject(system.objectSigner, small, never),
      );
      // The client verifies the one version that the replies show; each server the new one.
      expect(costOf(cost)).toEqual({ delays: 4, messages: 4 * n, signed: 1, verified: 1 + n });
      const header = 32 + 60 + 4 + 64;
      expect(cost.names).toEqual({ readVersion: n, version: n, write: n, written: n });
      // S is the data; the rest is headers, ids and envelopes.
      expect(cost.bytes).toBeGreaterThan(n * (small.length + 2 * header + 4 * envelopeBytes));
      expect(cost.bytes).toBeLessThan(
        n * (small.length + 2 * header + 4 * (envelopeBytes + 48)) + n * 96,
      );
    });

    it('a single writer takes one round', async () => {
      const system = await warm(faults, small);
      const storage = system.storage(0);
      await system.simulation.complete(
        storage.writeObjectAlone(system.objectSigner, small, never),
        60_000,
      );
      const cost = await measure(system, () =>
        storage.writeObjectAlone(system.objectSigner, small, never),
      );
      expect(costOf(cost)).toEqual({ delays: 2, messages: 2 * n, signed: 1, verified: n });
    });

    it('a quiet read of a small object takes one round and one verification', async () => {
      const system = await warm(faults, small);
      const id = await object(system);
      const storage = system.storage(2);
      await system.simulation.complete(storage.readObject(id, never), 60_000);
      const cold = system.storage(2);
      const cost = await measure(system, () => cold.readObject(id, never));
      expect(costOf(cost)).toEqual({ delays: 2, messages: 2 * n, signed: 0, verified: 1 });
      expect(cost.bytes).toBeGreaterThan((faults + 1) * small.length);
      expect(cost.bytes).toBeLessThan((faults + 2) * small.length + n * 2 * 400);
    });

    it('a read of a large object fetches the data once', async () => {
      const system = await warm(faults, big);
      const id = await object(system);
      const storage = system.storage(2);
      await system.simulation.complete(storage.readObject(id, never), 60_000);
      const cost = await measure(system, () => storage.readObject(id, never));
      expect(costOf(cost)).toEqual({ delays: 4, messages: 2 * n + 2, signed: 0, verified: 0 });
      expect(cost.bytes).toBeLessThan(big.length + n * 2 * 400);
    });

    it('a read that must write back takes one more round', async () => {
      const system = await warm(faults, small);
      const id = await object(system);
      const storage = system.storage(1);
      await system.simulation.complete(storage.readObject(id, never), 60_000);
      // A write that reached only what a reader must hear anyway: f+1 servers.
      const missed = system.servers.slice(faults + 1).map(({ name }) => name);
      const heal = system.fabric.add({
        stage: 'cut',
        judge: ({ from, to }) =>
          from === 'client1' && missed.includes(to)
            ? { kind: 'drop', reason: 'test' }
            : { kind: 'pass' },
      });
      const controller = new AbortController();
      const write = system
        .storage(0)
        .writeObject(system.objectSigner, big.subarray(0, 2048), controller.signal);
      write.catch(() => {});
      await system.simulation.runFor(100);
      controller.abort();
      heal();
      await system.simulation.runFor(2_000);
      const cost = await measure(system, () => storage.readObject(id, never));
      // Either the quorum saw the unfinished write and finished it, or it did not see it.
      expect([2, 4]).toContain(cost.delays);
      expect(cost.messages).toBe(cost.delays === 4 ? 4 * n : 2 * n);
    });

    it('a block is stored in one round and fetched from one server', async () => {
      const system = await warm(faults, small);
      const storage = system.storage(0);
      const block = new Uint8Array(100_000).fill(3);
      const put = await measure(system, () => storage.putBlock(block, never));
      expect(costOf(put)).toEqual({ delays: 2, messages: 2 * n, signed: 0, verified: 0 });
      const id = await system.simulation.complete(storage.putBlock(block, never), 60_000);
      const get = await measure(system, () => storage.getBlock(id, never));
      expect(costOf(get)).toEqual({ delays: 2, messages: 2, signed: 0, verified: 0 });
      expect(get.bytes).toBe(block.length + 2 * (envelopeBytes + 32) + 4);
    });
  });
}
