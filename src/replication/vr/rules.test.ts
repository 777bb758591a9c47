import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vrParameters } from './parameters.ts';
import { vrRules } from './rules.ts';

const sequence = fc.nat({ max: 20 });

describe('the rules of Viewstamped Replication', () => {
  it('commit what the primary and as many backups as needed hold', () => {
    fc.assert(
      fc.property(sequence, fc.array(sequence, { maxLength: 8 }), fc.nat(8), (own, others, f) => {
        let expected = 0;
        for (let n = 0; n <= own; n++) {
          if (others.filter((other) => other >= n).length >= f) expected = n;
        }
        expect(vrRules.committed(own, others, f)).toBe(expected);
      }),
    );
  });

  it('choose a log by its view, then by its length, and never one that is not there', () => {
    const claim = (lastNormal: number, end: number, hasLog = true) => ({
      lastNormal,
      sequence: end,
      hasLog,
    });
    expect(vrRules.chooseLog([claim(1, 9), claim(2, 3), claim(2, 4)])).toBe(2);
    expect(vrRules.chooseLog([claim(1, 9), claim(1, 9)])).toBe(0);
    expect(vrRules.chooseLog([claim(1, 2), claim(7, 9, false)])).toBe(0);
    expect(vrRules.chooseLog([claim(7, 9, false)])).toBe(-1);
  });

  it('replace a log only by that of a view above the one it belongs to', () => {
    const own = { view: 4, lastNormal: 3, status: 'view-change' };
    expect([2, 3, 4, 5].map((v) => vrRules.mayReplaceLog(own, v))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(vrRules.mayReplaceLog({ ...own, lastNormal: 4 }, 4)).toBe(false);
  });

  it('keep only what is known to be committed under another suffix, and demand what lies between', () => {
    expect(vrRules.kept(5, 3, 9)).toBe(5);
    expect(vrRules.kept(5, 6, 9)).toBe(5);
    expect(vrRules.kept(5, 7, 9)).toBeUndefined();
  });

  it('recover only with f+1 answers, among them that of the newest view, which is not too old', () => {
    const primaryOf = (view: number) => view % 5;
    const answers = (...given: readonly (readonly [number, number])[]) =>
      new Map(given.map(([from, view]) => [from, { view }]));
    const recoveryView = (promised: number, ...given: readonly (readonly [number, number])[]) =>
      vrRules.recoveryView(answers(...given), promised, 2, primaryOf);
    expect(recoveryView(0, [1, 6], [2, 6])).toBeUndefined();
    expect(recoveryView(0, [1, 6], [2, 6], [3, 4])).toBe(6);
    expect(recoveryView(0, [1, 6], [2, 7], [3, 6])).toBe(7);
    expect(recoveryView(0, [1, 6], [3, 8], [4, 7])).toBe(8);
    expect(recoveryView(0, [1, 6], [4, 8], [0, 7])).toBeUndefined();
    expect(recoveryView(7, [1, 6], [2, 6], [3, 4])).toBeUndefined();
  });

  it('let no lease outlive the promises that it rests on, whatever the clocks', () => {
    const ppm = 1000;
    for (const holder of [1 - ppm / 1e6, 1, 1 + ppm / 1e6]) {
      for (const grantor of [1 - ppm / 1e6, 1, 1 + ppm / 1e6]) {
        // Asked at 0 of real time and granted at once, the worst case.
        const leaseEnds = vrRules.leaseEnd(0, 0, 300, ppm) / holder;
        const promiseEnds = vrRules.promiseEnd(0, 300, ppm) / grantor;
        expect(leaseEnds).toBeLessThanOrEqual(promiseEnds + 1e-3);
      }
    }
  });
});

describe('parameters', () => {
  it('are refused when they make no sense', () => {
    expect(() => vrParameters({ pipelineMax: 0 })).toThrow('pipelineMax');
    expect(() => vrParameters({ leaseMs: -1 })).toThrow('leaseMs');
    expect(() => vrParameters({ batchRequestsMax: 10 ** 6 })).toThrow('batchRequestsMax');
    expect(() => vrParameters({ witnesses: true, mode: 'view' })).toThrow('witnesses');
  });
});
