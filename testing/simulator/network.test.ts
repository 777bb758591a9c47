import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brand.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Channel } from '../../src/env/network.ts';
import { limits } from '../../src/wire/limits.ts';
import {
  corrupt,
  cutOneWay,
  delayConstant,
  delayUniform,
  duplicate,
  lose,
  only,
  replay,
  reset,
} from './faults.ts';
import { Fabric, type FabricOptions } from './network.ts';
import { type Machine, SimulatedNode } from './node.ts';
import { Simulation, type SimulationOptions } from './simulation.ts';

interface Received {
  readonly channel: Channel;
  readonly type: number;
  readonly payload: Uint8Array;
  readonly atMs: number;
}

/** A node that notes what it receives. */
class Listener {
  readonly node: SimulatedNode;
  readonly received: Received[] = [];
  readonly closed: Channel[] = [];
  machine: Machine | undefined;

  constructor(simulation: Simulation, fabric: Fabric, name: string) {
    // A test's key is as good as any other.
    this.node = new SimulatedNode(simulation, fabric, { name, peer: name as PeerId });
    this.node.start((machine) => {
      this.machine = machine;
      const { network } = machine;
      network.configure({ greeting: { type: 1, payload: utf8(name) } });
      network.onMessage((channel, type, payload) =>
        this.received.push({ channel, type, payload, atMs: simulation.nowMs }),
      );
      network.onClosed((channel) => this.closed.push(channel));
    });
  }

  to(other: Listener): Channel {
    const network = this.machine?.env.network;
    if (network === undefined) throw new RangeError('not started');
    return network.open(other.node.peer, other.node.address);
  }

  /** Types of the messages received, without greetings. */
  types(): number[] {
    return this.received.map(({ type }) => type).filter((type) => type !== 1);
  }
}

interface Pair {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly a: Listener;
  readonly b: Listener;
}

const constantLatency: FabricOptions = { latency: delayConstant(1000) };

function pair(
  options: FabricOptions = constantLatency,
  more: Partial<SimulationOptions> = {},
): Pair {
  const simulation = new Simulation({ seed: 1, ...more });
  const fabric = new Fabric(simulation, options);
  const a = new Listener(simulation, fabric, 'a');
  const b = new Listener(simulation, fabric, 'b');
  return { simulation, fabric, a, b };
}

/** Sends messages 100, 101, … once the link is up, and lets them arrive. */
async function sendMany({ simulation, a, b }: Pair, count: number): Promise<void> {
  a.to(b).send(2, utf8('first'));
  await simulation.runFor(1000);
  for (let i = 0; i < count; i++) a.to(b).send(100 + i, utf8(`message ${i}`));
  await simulation.runFor(60_000);
}

describe('connections', () => {
  it('greet first, then deliver on a channel that names the sender by its key', async () => {
    const { simulation, a, b } = pair({ latency: delayUniform(1, 100_000) });
    for (let i = 0; i < 20; i++) expect(a.to(b).send(100 + i, utf8('x'))).toBe(true);
    await simulation.runFor(1000);
    expect(b.received[0]).toMatchObject({ type: 1, payload: utf8('a') });
    expect(b.received).toHaveLength(21);
    expect(new Set(b.received.map(({ channel }) => channel)).size).toBe(1);
    expect(b.received[0]?.channel.peer).toBe('a');
    expect(a.to(b)).toBe(a.to(b));
  });

  it('carry answers back to the link that was opened', async () => {
    const { simulation, a, b } = pair();
    a.to(b).send(2, utf8('question'));
    await simulation.runFor(10);
    b.received.at(-1)?.channel.send(3, utf8('answer'));
    await simulation.runFor(10);
    expect(a.received).toHaveLength(1);
    expect(a.received[0]).toMatchObject({ type: 3, payload: utf8('answer') });
    expect(a.received[0]?.channel).toBe(a.to(b));
  });

  it('break when the opener dies: the other end hears of it, and a restart gives a new channel', async () => {
    const { simulation, a, b } = pair();
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(10);
    const before = b.received.at(-1)?.channel;
    a.node.restart();
    await simulation.runFor(10);
    expect(b.closed).toEqual([before]);
    expect(before?.send(3, utf8('y'))).toBe(false);
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(10);
    expect(b.received.map(({ type }) => type)).toEqual([1, 2, 1, 2]);
    expect(b.received.at(-1)?.channel).not.toBe(before);
  });

  it('break when the acceptor dies: the link greets again on the next send', async () => {
    const { simulation, a, b } = pair();
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(10);
    b.node.crash();
    await simulation.runFor(10);
    expect(a.closed).toEqual([]);
    // What waits while nobody answers is dropped, as by the real link.
    expect(a.to(b).send(3, utf8('waits'))).toBe(true);
    await simulation.runFor(1000);
    b.node.restart();
    await simulation.runFor(20_000);
    a.to(b).send(4, utf8('x'));
    await simulation.runFor(1000);
    expect(b.received.map(({ type }) => type)).toEqual([1, 2, 1, 4]);
  });

  it('stay half open after a silent crash until the survivor writes', async () => {
    const { simulation, fabric, a, b } = pair();
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(10);
    b.node.crash({ silently: true });
    b.node.restart();
    await simulation.runFor(1000);
    expect(a.to(b).send(3, utf8('lost'))).toBe(true);
    await simulation.runFor(10);
    expect(fabric.counters.counted('messages_dropped', 'closed')).toBe(1);
    a.to(b).send(4, utf8('y'));
    await simulation.runFor(100);
    expect(b.types()).toEqual([2, 4]);
  });

  it('can be closed by either end', async () => {
    const { simulation, a, b } = pair();
    const link = a.to(b);
    link.send(2, utf8('x'));
    await simulation.runFor(10);
    b.received.at(-1)?.channel.close('fault');
    await simulation.runFor(10);
    expect(b.closed).toHaveLength(1);
    await simulation.runFor(100);
    expect(link.send(3, utf8('again'))).toBe(true);
    await simulation.runFor(10);
    link.close('fault');
    expect(link.send(4, utf8('never'))).toBe(false);
    await simulation.runFor(10);
    expect(b.types()).toEqual([2, 3]);
    expect(b.closed).toHaveLength(2);
    expect(a.to(b)).not.toBe(link);
  });

  it('do not come about with a node that holds another key', async () => {
    const { simulation, fabric, a, b } = pair();
    const wrong = a.machine?.env.network.open('c' as PeerId, b.node.address);
    wrong?.send(2, utf8('secret'));
    await simulation.runFor(1000);
    expect(b.received).toEqual([]);
    expect(fabric.counters.counted('dials_failed', 'wrong-key')).toBeGreaterThan(0);
  });

  it('refuse more than the bounded queue holds, connected or not', async () => {
    const { simulation, a, b } = pair();
    const payload = new Uint8Array(limits.sendQueueBytesMax / 4 - 100);
    const sent = (): boolean[] => Array.from({ length: 5 }, () => a.to(b).send(2, payload));
    expect(sent()).toEqual([true, true, true, true, false]);
    await simulation.runFor(1000);
    expect(b.types()).toHaveLength(4);
    b.node.pause();
    expect(sent()).toEqual([true, true, true, true, false]);
    await simulation.runFor(1000);
    expect(a.to(b).send(2, payload)).toBe(false);
    b.node.resume();
    await simulation.runFor(1);
    expect(b.types()).toHaveLength(8);
    expect(a.to(b).send(2, payload)).toBe(true);
  });

  it('end on a frame that the receiver would refuse', async () => {
    const sizeBytesMax = (type: number): number | undefined => (type < 10 ? 5 : undefined);
    const { simulation, a, b } = pair();
    b.machine?.network.configure({ sizeBytesMax });
    for (const [type, size] of [
      [2, 5],
      [2, 6],
      [11, 1],
    ] as const) {
      a.to(b).send(type, new Uint8Array(size));
      await simulation.runFor(100);
    }
    expect(b.types()).toEqual([2]);
    expect(b.closed).toHaveLength(2);
  });

  it('fail the run when somebody changes bytes that were handed on', async () => {
    const { simulation, a, b } = pair();
    const payload = utf8('abc');
    a.to(b).send(2, payload);
    simulation.after(2.5, () => payload.fill(0));
    await expect(simulation.runFor(100)).rejects.toThrow('changed the bytes');
  });
});

describe('a node', () => {
  it('lets in whom it admits, and drops others when it changes its mind', async () => {
    const { simulation, fabric, a, b } = pair();
    let admitted = false;
    b.machine?.network.configure({ admit: () => admitted });
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(1000);
    expect(fabric.counters.counted('dials_failed', 'not-admitted')).toBe(1);
    admitted = true;
    a.to(b).send(3, utf8('x'));
    await simulation.runFor(1000);
    admitted = false;
    b.machine?.network.readmit();
    expect(b.closed).toHaveLength(1);
    expect(b.types()).toEqual([3]);
  });

  it('is no longer reached once its network is closed', async () => {
    const { simulation, a, b } = pair();
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(100);
    await b.machine?.network.close();
    expect(b.to(a).send(2, utf8('x'))).toBe(false);
    for (let i = 0; i < 5; i++) {
      a.to(b).send(3, utf8('x'));
      await simulation.runFor(1000);
    }
    expect(b.types()).toEqual([2]);
  });
});

describe('order', () => {
  it('is free by default and kept on request', async () => {
    for (const inOrder of [false, true]) {
      const system = pair({ latency: delayUniform(1, 10_000), inOrder });
      await sendMany(system, 50);
      const types = system.b.types().slice(1);
      const sorted = [...types].sort((x, y) => x - y);
      expect(types).toHaveLength(50);
      if (inOrder) expect(types).toEqual(sorted);
      else expect(types).not.toEqual(sorted);
    }
  });
});

describe('faults', () => {
  it('cut one direction and leave the other open', async () => {
    const { simulation, fabric, a, b } = pair();
    a.to(b).send(2, utf8('x'));
    b.to(a).send(2, utf8('x'));
    await simulation.runFor(100);
    const remove = fabric.add(cutOneWay(['a'], ['b']));
    a.to(b).send(3, utf8('x'));
    b.to(a).send(3, utf8('x'));
    await simulation.runFor(100);
    expect(a.types()).toEqual([2, 3]);
    expect(b.types()).toEqual([2]);
    remove();
    a.to(b).send(4, utf8('x'));
    await simulation.runFor(100);
    expect(b.types()).toEqual([2, 4]);
  });

  it('keep connections from coming about while either direction is cut, and let them once healed', async () => {
    const { simulation, fabric, a, b } = pair();
    fabric.add(cutOneWay(['b'], ['a']));
    a.to(b).send(2, utf8('x'));
    await simulation.runFor(60_000);
    expect(b.received).toEqual([]);
    fabric.heal();
    a.to(b).send(3, utf8('x'));
    await simulation.runFor(1000);
    expect(b.types()).toEqual([3]);
  });

  it('lose about as many messages as the ratio says', async () => {
    const system = pair();
    system.fabric.add(only((packet) => !packet.setup, lose({ of: 1, in: 4 })));
    await sendMany(system, 1000);
    const lost = system.fabric.counters.counted('messages_dropped', 'lost');
    expect(lost).toBeGreaterThan(180);
    expect(lost).toBeLessThan(320);
    expect(system.b.types()).toHaveLength(1001 - lost);
  });

  it('duplicate every message three times over', async () => {
    const system = pair();
    await sendMany(system, 0);
    system.fabric.add(duplicate({ of: 1, in: 1 }, 1));
    system.fabric.add(duplicate({ of: 1, in: 1 }, 1));
    await sendMany(system, 10);
    expect(system.b.types().filter((type) => type >= 100)).toHaveLength(30);
    expect(system.fabric.counters.counted('messages_repeated', 'duplicate')).toBe(22);
  });

  it('drop a corrupted message and count it, or deliver it when asked to', async () => {
    for (const delivered of [false, true]) {
      const system = pair();
      await sendMany(system, 0);
      system.fabric.add(corrupt({ of: 1, in: 1 }, { bitsMax: 1, delivered }));
      system.a.to(system.b).send(50, utf8('payload'));
      await system.simulation.runFor(100);
      const last = system.b.received.at(-1);
      expect(last?.type).toBe(delivered ? 50 : 2);
      expect(last?.payload).not.toEqual(utf8('payload'));
      const { counters } = system.fabric;
      expect(counters.counted('messages_dropped', 'corrupted')).toBe(delivered ? 0 : 1);
      expect(counters.counted('messages_corrupted')).toBe(delivered ? 1 : 0);
    }
  });

  it('break connections, which the opener sets up anew', async () => {
    const system = pair();
    const { simulation, fabric, a, b } = system;
    fabric.add(reset({ of: 1, in: 10 }));
    for (let i = 0; i < 200; i++) {
      a.to(b).send(2, utf8('x'));
      await simulation.runFor(100);
    }
    expect(fabric.counters.counted('messages_dropped', 'reset')).toBeGreaterThan(5);
    expect(new Set(b.closed).size).toBe(fabric.counters.counted('dials_failed', 'connection-lost'));
    const before = b.types().length;
    expect(before).toBeGreaterThan(50);
    fabric.heal();
    for (let i = 0; i < 10; i++) a.to(b).send(2, utf8('x'));
    await simulation.runFor(10_000);
    expect(b.types().length).toBeGreaterThanOrEqual(before + 10);
  });

  it('replay old packets to the same receiver on a channel of the same peer', async () => {
    const system = pair();
    const { simulation, fabric, a, b } = system;
    fabric.add(replay({ of: 1, in: 1 }, 10));
    await sendMany(system, 5);
    a.node.restart();
    await simulation.runFor(100);
    await sendMany(system, 5);
    expect(fabric.counters.counted('messages_repeated', 'replay')).toBe(11);
    expect(b.types()).toHaveLength(23);
    expect(b.received.every(({ channel }) => channel.peer === 'a')).toBe(true);
    expect(a.received).toEqual([]);
  });

  it('are gone after healing', async () => {
    const system = pair();
    system.fabric.add(lose({ of: 1, in: 1 }));
    system.fabric.add(duplicate({ of: 1, in: 1 }, 5));
    system.fabric.heal();
    await sendMany(system, 20);
    expect(system.b.types()).toHaveLength(21);
  });
});
