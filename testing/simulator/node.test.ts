import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brand.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Channel } from '../../src/env/network.ts';
import { delayUniform, duplicate, lose, replay } from './faults.ts';
import { Fabric } from './network.ts';
import { type Boot, type Machine, type NodeOptions, SimulatedNode } from './node.ts';
import { Simulation } from './simulation.ts';

interface System {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  node(name: string, options?: Partial<NodeOptions>): SimulatedNode;
}

function system(seed = 1): System {
  const simulation = new Simulation({ seed, traceLinesKept: 1000 });
  const fabric = new Fabric(simulation);
  const node: System['node'] = (name, options = {}) =>
    new SimulatedNode(simulation, fabric, { name, peer: name as PeerId, ...options });
  return { simulation, fabric, node };
}

/** Starts the node with `boot` doing nothing else, and gives what it was handed. */
function started(node: SimulatedNode): Machine {
  const machines: Machine[] = [];
  node.start((machine) => machines.push(machine));
  const machine = machines[0];
  if (machine === undefined) throw new RangeError('was up already');
  return machine;
}

describe('a clock', () => {
  it('runs at its own rate', async () => {
    for (const [clockRatePpm, shownMs] of [
      [0, 10_000],
      [100_000, 11_000],
      [-50_000, 9500],
      [1, 10_000.01],
    ] as const) {
      const { simulation, node } = system();
      const { clock } = started(node('a', { clockRatePpm })).env;
      const startMs = clock.nowMs();
      await simulation.runFor(10_000);
      expect(clock.nowMs() - startMs).toBeCloseTo(shownMs, 3);
    }
  });

  it('never goes back, and timers wait for it', async () => {
    for (const clockRatePpm of [0, 333_333, -333_333, 7, -7]) {
      const { simulation, node } = system();
      const { clock, timers } = started(node('a', { clockRatePpm })).env;
      const delaysMs = Array.from({ length: 500 }, () => simulation.prng.below(1_000_000) / 1000);
      let fired = 0;
      let lastMs = clock.nowMs();
      for (const delayMs of delaysMs) {
        const dueMs = clock.nowMs() + delayMs;
        timers.after(delayMs, () => {
          fired++;
          expect(clock.nowMs()).toBeGreaterThanOrEqual(dueMs);
          expect(clock.nowMs()).toBeLessThan(dueMs + 0.003);
          expect(clock.nowMs()).toBeGreaterThanOrEqual(lastMs);
          lastMs = clock.nowMs();
        });
      }
      await simulation.runFor(2000);
      expect(fired).toBe(500);
    }
  });

  it('stands still while its machine sleeps, and timers with it', async () => {
    const { simulation, node } = system();
    const sleeper = node('a');
    const { clock, timers } = started(sleeper).env;
    const startMs = clock.nowMs();
    const firedMs: number[] = [];
    timers.after(100, () => firedMs.push(simulation.nowMs));
    await simulation.runFor(40);
    sleeper.pause({ clockStops: true });
    await simulation.runFor(1000);
    sleeper.resume();
    expect(clock.nowMs() - startMs).toBe(40);
    await simulation.runFor(1000);
    expect(firedMs).toEqual([1100]);
  });

  it('takes any delay', async () => {
    const { simulation, node } = system();
    const { timers } = started(node('a')).env;
    let fired = 0;
    for (const delayMs of [-5, 0, Number.NaN]) timers.after(delayMs, () => fired++);
    timers.after(Number.POSITIVE_INFINITY, () => fired++);
    timers.after(1, () => fired++).cancel();
    await simulation.runFor(100);
    expect(fired).toBe(3);
  });
});

describe('an old incarnation', () => {
  it('is inert whatever it goes on to do', async () => {
    const { simulation, node } = system();
    const received: string[] = [];
    const receiver = node('b');
    receiver.start(({ env }) =>
      env.network.onMessage((_, type, payload) =>
        received.push(`${type} ${new TextDecoder().decode(payload)}`),
      ),
    );
    const sender = node('a');
    const log: string[] = [];
    let resume: () => void = () => {};
    sender.start(async ({ env, disk, incarnation }) => {
      if (incarnation > 1) return;
      const link = env.network.open(receiver.peer, receiver.address);
      link.send(2, utf8('alive'));
      env.timers.after(50, () => log.push('timer'));
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
      log.push('continues');
      expect(link.send(2, utf8('ghost'))).toBe(false);
      expect(env.network.open(receiver.peer, receiver.address).send(2, utf8('ghost'))).toBe(false);
      env.timers.after(1, () => log.push('timer'));
      env.metrics.count('ghosts');
      env.log.error('ghost');
      disk.journal.append(utf8('ghost'));
      disk.journal.trim(100);
      void disk.table
        .write([{ key: utf8('k'), value: utf8('ghost') }])
        .then(() => log.push('write'));
      expect(disk.table.get(utf8('k'))).toBeUndefined();
      await disk.journal.sync();
      log.push('synced');
    });
    await simulation.runFor(10);
    sender.restart();
    const { entries } = simulation.trace;
    simulation.after(1, () => resume());
    await simulation.runFor(1000);
    expect(log).toEqual(['continues']);
    expect(received).toEqual(['2 alive']);
    expect(sender.metrics.counted('ghosts')).toBe(0);
    expect(sender.disk.journal.length).toBe(0);
    expect(sender.disk.table.length).toBe(0);
    expect(simulation.trace.entries).toBe(entries);
  });

  it('does not handle what was under way to it', async () => {
    const { simulation, node } = system();
    const handled: number[] = [];
    const boot: Boot = ({ env, incarnation }) =>
      env.network.onMessage(() => handled.push(incarnation));
    const [a, b] = [node('a'), node('b')];
    const { network } = started(a).env;
    b.start(boot);
    const link = network.open(b.peer, b.address);
    link.send(2, utf8('x'));
    await simulation.runFor(10);
    link.send(2, utf8('under way'));
    b.restart();
    await simulation.runFor(10);
    link.send(2, utf8('y'));
    await simulation.runFor(1000);
    expect(handled).toEqual([1, 2]);
  });
});

describe('a paused node', () => {
  it('handles what piled up in order when it goes on, and nothing before', async () => {
    const { simulation, node } = system();
    const events: string[] = [];
    const [a, b] = [node('a'), node('b')];
    const { network } = started(a).env;
    b.start(({ env }) => {
      env.network.onMessage((_, type) => events.push(`${type} at ${simulation.nowMs}`));
      env.timers.after(300, () => events.push(`timer at ${simulation.nowMs}`));
    });
    const link = network.open(b.peer, b.address);
    link.send(2, utf8('x'));
    await simulation.runFor(100);
    events.length = 0;
    b.pause();
    link.send(3, utf8('x'));
    await simulation.runFor(100);
    link.send(4, utf8('x'));
    await simulation.runFor(300);
    expect(events).toEqual([]);
    b.resume();
    await simulation.runFor(100);
    expect(events).toEqual(['3 at 500', '4 at 500', 'timer at 500']);
  });

  it('loses what piled up when it crashes instead', async () => {
    const { simulation, node } = system();
    const a = node('a');
    let fired = 0;
    a.start(({ env }) => env.timers.after(10, () => fired++));
    a.pause();
    await simulation.runFor(100);
    a.crash();
    expect(a.paused).toBe(false);
    await simulation.runFor(100);
    expect(fired).toBe(0);
  });
});

describe('a node whose code fails', () => {
  it('ends the run when a handler throws', async () => {
    const { simulation, node } = system();
    node('a').start(({ env }) =>
      env.timers.after(5, () => {
        throw new RangeError('a bug');
      }),
    );
    await expect(simulation.runFor(10)).rejects.toThrow(
      'seed 1, at 0.005 s: a threw in timer: a bug',
    );
  });

  it('is down and says why when it does not start', async () => {
    const { simulation, node } = system();
    const [sudden, late] = [node('a'), node('b')];
    sudden.start(() => {
      throw new RangeError('no disk');
    });
    late.start(async ({ disk }) => {
      await disk.journal.sync();
      throw new RangeError('no data');
    });
    expect(sudden.bootFailure).toEqual(new RangeError('no disk'));
    expect(late.up).toBe(true);
    await simulation.runFor(10);
    expect([sudden.up, late.up]).toEqual([false, false]);
    expect(late.bootFailure).toEqual(new RangeError('no data'));
  });
});

/** Asynchronous nodes under faults and crashes that write to their disks; gives what is left at the end. */
async function chatter(seed: number): Promise<string> {
  const { simulation, fabric, node } = system(seed);
  fabric.add(lose({ of: 1, in: 20 }));
  fabric.add(duplicate({ of: 1, in: 10 }, 2));
  fabric.add(replay({ of: 1, in: 20 }, 20));
  fabric.add(delayUniform(0, 20_000));
  const nodes = ['a', 'b', 'c', 'd'].map((name, i) => node(name, { clockRatePpm: 1000 * i }));
  for (const self of nodes) {
    self.start(async ({ env, disk }) => {
      for (const { bytes } of disk.journal.recover()) env.log.info('found', { size: bytes.length });
      const answer = async (channel: Channel, type: number, payload: Uint8Array): Promise<void> => {
        disk.journal.append(payload);
        await disk.journal.sync();
        if (type < 20) channel.send(type + 1, env.entropy.bytes(8));
        await disk.table.write([{ key: payload.subarray(0, 2), value: payload }]);
        env.metrics.count('answers');
      };
      env.network.onMessage((channel, type, payload) => void answer(channel, type, payload));
      const links = nodes.map(({ peer, address }) => env.network.open(peer, address));
      for (;;) {
        for (const link of links) link.send(10, env.entropy.bytes(16));
        await new Promise<void>((resolve) => env.timers.after(100, resolve));
      }
    });
  }
  for (const [i, one] of nodes.entries()) simulation.after(500 * (i + 1), () => one.restart());
  await simulation.runFor(4000);
  expect(nodes.every(({ metrics }) => metrics.counted('answers') > 100)).toBe(true);
  const counts = nodes.map(({ metrics, disk }) => [metrics.counted('answers'), disk.table.length]);
  return JSON.stringify([simulation.trace.hash(), simulation.trace.entries, counts]);
}

describe('a seed', () => {
  it('gives the same run each time, asynchronous code, crashes and disks included', async () => {
    const [one, again, both, other] = [
      await chatter(42),
      await chatter(42),
      // Two simulations in one process do not meet.
      ...(await Promise.all([chatter(42), chatter(43)])),
    ];
    expect(again).toBe(one);
    expect(both).toBe(one);
    expect(other).not.toBe(one);
  });

  it('differs from other seeds', async () => {
    const runs = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => chatter(seed)));
    expect(new Set(runs).size).toBe(6);
  });
});
