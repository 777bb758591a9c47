import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brand.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { drawClockRatePpm, drawFaults, type FaultMix, fabricOptions } from './fault-mix.ts';
import { Fabric } from './network.ts';
import { SimulatedNode } from './node.ts';
import { Simulation } from './simulation.ts';
import { Trouble } from './trouble.ts';

describe('a drawn fault mix', () => {
  const mixes = Array.from({ length: 300 }, (_, seed) => drawFaults(new Prng(seed)));

  it('is one line of JSON that says all of it, the same for the same seed', () => {
    for (const [seed, mix] of mixes.entries()) {
      const line = JSON.stringify(mix);
      expect(line).not.toContain('\n');
      expect(JSON.parse(line)).toEqual(mix);
      expect(drawFaults(new Prng(seed))).toEqual(mix);
    }
  });

  it('has each fault in some runs and not in others', () => {
    const optional = [
      'lose',
      'reset',
      'corrupt',
      'duplicate',
      'slow',
      'replay',
      'crashes',
      'pauses',
      'partitions',
    ] as const satisfies readonly (keyof FaultMix)[];
    for (const name of optional) {
      const count = mixes.filter((mix) => mix[name] !== undefined).length;
      expect(count, name).toBeGreaterThan(100);
      expect(count, name).toBeLessThan(200);
    }
  });
});

interface Outcome {
  readonly hash: string;
  readonly unavailableMost: number;
  readonly crashes: number;
  readonly answeredAtTheEnd: number;
}

/** Four nodes that keep asking each other, under the mix of a seed for a while and then in peace. */
async function run(seed: number): Promise<Outcome> {
  const simulation = new Simulation({ seed });
  const mix = drawFaults(simulation.prng.fork());
  const fabric = new Fabric(simulation, fabricOptions(mix));
  const nodes = ['a', 'b', 'c', 'd'].map(
    (name) =>
      new SimulatedNode(simulation, fabric, {
        name,
        peer: name as PeerId,
        clockRatePpm: drawClockRatePpm(mix, simulation.prng),
      }),
  );
  let unavailableMost = 0;
  for (const node of nodes) {
    node.start(({ env }) => {
      env.network.onMessage((channel, type, payload) => {
        env.metrics.count('handled', `${type}`);
        if (type === 1) channel.send(2, payload);
      });
      const ask = (): void => {
        const down = nodes.filter(({ up, paused }) => !up || paused).length;
        if (simulation.nowMs > 0) unavailableMost = Math.max(unavailableMost, down);
        for (const { peer, address } of nodes) env.network.open(peer, address).send(1, utf8('?'));
        env.timers.after(100, ask);
      };
      ask();
    });
  }
  const trouble = new Trouble({ simulation, fabric, mix, nodes, unavailableMax: 2 });
  await simulation.runFor(20_000);
  trouble.end();
  // The longest dial and the longest back-off, so that every link is up.
  await simulation.runFor(30_000);
  const answers = (): number =>
    nodes.reduce((sum, { metrics }) => sum + metrics.counted('handled', '2'), 0);
  const before = answers();
  await simulation.runFor(10_000);
  expect(nodes.every(({ up, paused }) => up && !paused)).toBe(true);
  return {
    hash: simulation.trace.hash(),
    unavailableMost,
    crashes: nodes.reduce((sum, { incarnation }) => sum + incarnation - 1, 0),
    answeredAtTheEnd: answers() - before,
  };
}

describe('trouble', () => {
  it('is the same for the same seed, keeps to its bound, and ends', async () => {
    let crashes = 0;
    let unavailableMost = 0;
    for (let seed = 0; seed < 12; seed++) {
      const outcome = await run(seed);
      crashes += outcome.crashes;
      unavailableMost = Math.max(unavailableMost, outcome.unavailableMost);
      // 16 links, 100 questions each, less what clock rates and messages under way take away.
      expect(outcome.answeredAtTheEnd).toBeGreaterThan(1400);
      expect(outcome.answeredAtTheEnd).toBeLessThan(1800);
      if (seed < 4) expect(await run(seed)).toEqual(outcome);
    }
    expect(crashes).toBeGreaterThan(5);
    expect(unavailableMost).toBe(2);
  });
});
