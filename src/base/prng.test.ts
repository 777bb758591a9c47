import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssertionFailed } from './assert.ts';
import { Prng } from './prng.ts';

/** Simulation seeds are kept in reports and tests: the draws of a seed never change. */
const goldenDraws: readonly number[] = [
  3000121443, 3095018909, 280544257, 1878357263, 407763556, 2698119940, 1624771031, 1878766027,
  4030860803, 4277469, 482429583, 2072304752, 4028658093, 3096255335, 1092938432, 618149980,
  408064542, 2318498114, 3248444295, 629928926, 1088851368, 1965870829, 1501304711, 3538627685,
  1094724934, 958388181, 1228730092, 1389900986, 138405738, 3136077211, 59117283, 50348243,
  2560279887, 2436425170, 3410875542, 253780774, 3680735709, 194726265, 3957825511, 803435414,
  142905155, 3534251096, 1759954274, 4230047449, 2954220923, 2237705797, 4037195915, 1031264237,
  3855019674, 1813157963, 1564268532, 1746234906, 1595357293, 2085668975, 2950626527, 1337411576,
  2339220763, 3981264398, 120262357, 1532459206, 1325390524, 1130547053, 626592037, 450756947,
  114498239, 3629346292, 1833813136, 767385367, 2413010629, 3933587798, 2292887564, 1040876843,
  2210081140, 566011369, 3738246179, 2166566780, 717192701, 1972773759, 1293121029, 989651677,
  2653065293, 2902861048, 2533607435, 3495492400, 2502460396, 1256986328, 32312431, 899916156,
  703434214, 2309731854, 2818034779, 206173676, 3783760308, 1847730798, 1881172129, 307950918,
  2813258153, 2665416240, 322304055, 4096783981,
];

function draws(prng: Prng, count: number): number[] {
  return Array.from({ length: count }, () => prng.uint32());
}

/**
 * The 99.9 % point of chi-square with `degrees` degrees of freedom, after Wilson and Hilferty. With fixed seeds the
 * tests either always pass or always fail.
 */
function chiSquareMax(degrees: number): number {
  const spread = 2 / (9 * degrees);
  return degrees * (1 - spread + 3.0902 * Math.sqrt(spread)) ** 3;
}

function chiSquare(counts: readonly number[], draws: number): number {
  const expected = draws / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

describe('draws', () => {
  it('of seed 42 are the first 100 of record', () => {
    expect(draws(new Prng(42), 100)).toEqual(goldenDraws);
  });

  it('follow the seed, in all its 53 bits', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(draws(new Prng(a), 8)).toEqual(draws(new Prng(a), 8));
        if (a !== b) expect(draws(new Prng(a), 8)).not.toEqual(draws(new Prng(b), 8));
      }),
    );
    const firsts = new Set(
      Array.from({ length: 20_000 }, (_, seed) => draws(new Prng(seed), 2).join()),
    );
    expect(firsts.size).toBe(20_000);
  });

  it('are spread evenly, also as the first draw of consecutive seeds', () => {
    for (const make of [
      draws(new Prng(7), 64_000),
      Array.from({ length: 64_000 }, (_, seed) => new Prng(seed).uint32()),
    ]) {
      for (const shift of [0, 12, 26]) {
        const counts = new Array<number>(64).fill(0);
        for (const draw of make) {
          const bin = (draw >>> shift) & 63;
          counts[bin] = (counts[bin] ?? 0) + 1;
        }
        expect(chiSquare(counts, make.length)).toBeLessThan(chiSquareMax(63));
      }
    }
  });
});

describe('below', () => {
  it.each([2, 3, 6, 7, 10, 100, 257])('%d is uniform', (bound) => {
    for (const seed of [1, 2, 3]) {
      const prng = new Prng(seed);
      const counts = new Array<number>(bound).fill(0);
      for (let i = 0; i < 50_000; i++) {
        const draw = prng.below(bound);
        counts[draw] = (counts[draw] ?? 0) + 1;
      }
      expect(counts.length).toBe(bound);
      expect(chiSquare(counts, 50_000)).toBeLessThan(chiSquareMax(bound - 1));
    }
  });

  it('has no bias where 2^32 is no multiple of the bound', () => {
    // Reducing without rejection would give the lower half two thirds of the draws.
    const bound = 3 * 2 ** 30;
    const prng = new Prng(5);
    let low = 0;
    for (let i = 0; i < 20_000; i++) if (prng.below(bound) < 2 ** 30) low += 1;
    expect(Math.abs(low - 20_000 / 3)).toBeLessThan(4 * Math.sqrt((20_000 * 2) / 9));
  });

  it('stays in range up to 2^32', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, bound) => {
        const draw = new Prng(seed).below(bound);
        expect(Number.isInteger(draw) && draw >= 0 && draw < bound).toBe(true);
      }),
    );
  });

  it.each([0, -1, 2 ** 32 + 1, Number.NaN])(
    'refuses the bound %d, which it could not serve',
    (bound) => {
      expect(() => new Prng(1).below(bound)).toThrow(AssertionFailed);
    },
  );
});

describe('choices', () => {
  it('between includes both ends', () => {
    const prng = new Prng(3);
    const seen = new Set(Array.from({ length: 200 }, () => prng.between(-2, 2)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });

  it('chance keeps its ratio', () => {
    const prng = new Prng(9);
    let hits = 0;
    for (let i = 0; i < 20_000; i++) if (prng.chance(1, 4)) hits += 1;
    expect(Math.abs(hits - 5000)).toBeLessThan(4 * Math.sqrt((20_000 * 3) / 16));
    expect(prng.chance(0, 5)).toBe(false);
    expect(prng.chance(5, 5)).toBe(true);
  });

  it('pick takes an element, or nothing of nothing', () => {
    expect(new Prng(1).pick([])).toBeUndefined();
    expect(new Prng(1).pick(['only'])).toBe('only');
  });

  it('shuffled gives every order equally often and leaves its argument', () => {
    const prng = new Prng(4);
    const counts = new Map<string, number>();
    const items = ['a', 'b', 'c', 'd'];
    for (let i = 0; i < 24_000; i++) {
      const order = prng.shuffled(items).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(items).toEqual(['a', 'b', 'c', 'd']);
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()], 24_000)).toBeLessThan(chiSquareMax(23));
  });

  it('fork gives a stream of its own', () => {
    const [a, b] = [new Prng(6), new Prng(6)];
    const child = a.fork();
    b.fork();
    draws(child, 10);
    expect(draws(a, 10)).toEqual(draws(b, 10));
    expect(draws(child, 10)).not.toEqual(draws(b, 10));
  });

  it('bytes have the length asked for', () => {
    expect(new Prng(1).bytes(33)).toHaveLength(33);
    expect(new Prng(1).bytes(0)).toHaveLength(0);
  });
});
