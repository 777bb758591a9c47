import { describe, expect, it } from 'vitest';
import { type Mode, modes, runSeed } from './test-campaign.ts';
import { mutants } from './test-mutants.ts';
import { Violation } from './test-violation.ts';

const runs = 60;

describe('random troubles', () => {
  for (const mode of Object.keys(modes) as Mode[]) {
    it(`${mode}: what is committed stays, once and in one order, and work goes on after healing`, () => {
      const seen = new Map<string, number>();
      let reads = 0;
      for (let seed = 0; seed < runs; seed++) {
        const cluster = runSeed(mode, seed);
        for (const [code, count] of cluster.counts) seen.set(code, (seen.get(code) ?? 0) + count);
        for (const client of cluster.clients) reads += client.reads.length;
      }
      // Runs in which nothing goes wrong would show nothing.
      expect(seen.get('vr-view-started')).toBeGreaterThan(0);
      expect(seen.get('vr-log-fetched')).toBeGreaterThan(0);
      if (mode.startsWith('view')) expect(seen.get('vr-recovery')).toBeGreaterThan(0);
      if (mode.includes('witnesses')) expect(seen.get('vr-witness-released')).toBeGreaterThan(0);
      if (mode.includes('leases')) expect(reads).toBeGreaterThan(0);
    });
  }

  // From one seed on, before another; most others are played by hand.
  const found: Readonly<Record<string, readonly [number, number]>> = {
    'one acknowledgement too few commits': [0, 100],
    'gaps are acknowledged': [700, 900],
    'uncommitted entries of an older view are kept below a suffix': [0, 400],
    'f votes start a view': [0, 100],
    'a replica restarts as normal in a view whose log it lacks': [0, 200],
    'a restarted primary goes on': [0, 100],
  };
  for (const [name, [first, end]] of Object.entries(found)) {
    it(`finds that ${name}`, () => {
      const mutant = mutants[name];
      if (mutant === undefined) throw new Violation(`no mutant: ${name}`);
      expect(() => {
        for (let seed = first; seed < end; seed++) runSeed(mutant.mode, seed, mutant.rules);
      }).toThrow(Violation);
    });
  }
});
