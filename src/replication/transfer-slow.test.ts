import { describe, expect, it } from 'vitest';
import { toHex } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { limits } from '../wire/limits.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import { PagedState } from './pages.ts';
import { StateTransfer, type TransferStep } from './transfer.ts';
import { answerFetch } from './transfer-answer.ts';

// Sources that take their time: how long a transfer takes when some of them do so to spoil it.

type Fetch = ReplicationMessageValue<'fetchState'>;
type Part = ReplicationMessageValue<'statePart'>;
/** What a source answers and after how long, or nothing. */
type Source = (fetch: Fetch, nowMs: number) => { afterMs: number; part: Part } | undefined;

const instance = new Uint8Array(32).fill(5);
const timeoutMs = 1000;

function stateOf(pages: number): PagedState {
  const state = new PagedState();
  for (let i = 0; i < pages; i++) state.region('service').write(i, new Uint8Array(20).fill(i + 1));
  state.region('clients').write(3, Uint8Array.of(1));
  state.checkpoint(4);
  return state;
}

const large = stateOf(2000);
const small = stateOf(3);

interface Run {
  readonly tookMs: number;
  readonly asked: number;
  readonly pagesGiven: number;
}

/** The time until the state is here, which it must be in the end. */
function run(state: PagedState, sources: readonly Source[], seed: number): Run {
  const root = state.rootNow();
  const transfer = new StateTransfer({
    instance,
    target: { sequence: 4, root },
    local: new PagedState(),
    sources: sources.map((_, i) => i),
    seed,
    timeoutMs,
  });
  const underway: { atMs: number; from: number; part: Part }[] = [];
  let nowMs = 0;
  let timerAtMs: number | undefined;
  let asked = 0;
  let pagesGiven = 0;
  const apply = (step: TransferStep): void => {
    timerAtMs = step.timerAtMs;
    for (const { to, name, value } of step.sends) {
      if (to.kind !== 'replica' || name !== 'fetchState') continue;
      expect(value.indexes.length).toBeLessThanOrEqual(limits.fetchIndexesMax);
      asked += 1;
      const answer = sources[to.index]?.(value, nowMs);
      if (answer === undefined) continue;
      pagesGiven += answer.part.pages.length;
      underway.push({ atMs: nowMs + answer.afterMs, from: to.index, part: answer.part });
      underway.sort((a, b) => a.atMs - b.atMs);
    }
  };
  apply(transfer.begin(nowMs));
  for (let i = 0; i < 100_000 && !transfer.isComplete; i++) {
    const arrival = underway[0];
    if (arrival !== undefined && arrival.atMs <= (timerAtMs ?? arrival.atMs)) {
      underway.shift();
      nowMs = arrival.atMs;
      apply(transfer.onPart(arrival.from, arrival.part, nowMs));
    } else {
      if (timerAtMs === undefined) break;
      nowMs = timerAtMs;
      apply(transfer.onTimer(nowMs));
    }
  }
  expect(transfer.isComplete).toBe(true);
  expect(toHex(PagedState.sift(transfer.result).state.rootNow())).toBe(toHex(root));
  return { tookMs: nowMs, asked, pagesGiven };
}

const silent: Source = () => undefined;

function honest(state: PagedState, afterMs: number): Source {
  return (fetch) => ({ afterMs, part: answerFetch(state, fetch) });
}

/** The least that counts as an answer. */
function leastOf(state: PagedState, fetch: Fetch): Part {
  return answerFetch(state, { ...fetch, indexes: fetch.indexes.slice(0, 1) });
}

function trickling(afterMs: number): (state: PagedState) => Source {
  return (state) => (fetch) => ({ afterMs, part: leastOf(state, fetch) });
}

/** Anything, in any order. */
function random(state: PagedState, seed: number): Source {
  const prng = new Prng(seed);
  return (fetch) => {
    const afterMs = timeoutMs * (prng.below(40) / 2) ** prng.below(2) * (prng.below(100) / 100);
    const parts = [
      answerFetch(state, fetch),
      leastOf(state, fetch),
      { ...answerFetch(state, { ...fetch, sequence: 3 }), sequence: 4 },
    ];
    const part = parts[prng.below(parts.length + 1)];
    return part === undefined ? undefined : { afterMs, part };
  };
}

const liars: Record<string, (state: PagedState, seed: number) => Source> = {
  'trickle at once': trickling(1),
  'trickle before others are asked': trickling(timeoutMs / 4 - 1),
  'trickle in time': trickling(0.9 * timeoutMs),
  'trickle late': trickling(1.7 * timeoutMs),
  'trickle very late': trickling(60 * timeoutMs),
  'answer in time': (state) => honest(state, 0.9 * timeoutMs),
  'answer very late': (state) => honest(state, 60 * timeoutMs),
  'are quick, then late': (state) => {
    let asked = 0;
    return (fetch) => {
      asked += 1;
      return { afterMs: asked < 6 ? 1 : 15 * timeoutMs, part: answerFetch(state, fetch) };
    };
  },
  'are quick with what is small, and silent about pages': (state) => (fetch) =>
    fetch.level === 0 ? undefined : { afterMs: 1, part: answerFetch(state, fetch) },
  'answer every other question': (state) => {
    let asked = 0;
    return (fetch) => {
      asked += 1;
      return asked % 2 === 0 ? undefined : { afterMs: 1, part: answerFetch(state, fetch) };
    };
  },
  'do anything': random,
};

function several<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

describe('state transfer from slow sources', () => {
  const seeds = [1, 2, 3];
  const cases = [
    { f: 1, state: large, honestMs: 10 },
    { f: 1, state: large, honestMs: 1.5 * timeoutMs },
    { f: 1, state: small, honestMs: 8 * timeoutMs },
    { f: 2, state: small, honestMs: 0.7 * timeoutMs },
    { f: 2, state: large, honestMs: 3 * timeoutMs },
    { f: 3, state: small, honestMs: 10 },
  ];

  /** The longest of all that `2f` honest sources take beside `f` others. */
  function longest(
    { f, state, honestMs }: (typeof cases)[number],
    other: (seed: number) => Source,
  ): number {
    const runs = seeds.map((seed) => {
      const sources = several(2 * f, () => honest(state, honestMs));
      return run(state, [...sources, ...several(f, (i) => other(100 * seed + i))], seed);
    });
    return Math.max(...runs.map(({ tookMs }) => tookMs));
  }

  it.each(cases)('waits little for f = $f silent ones, honest ones taking $honestMs ms', (each) => {
    const without = longest(each, () => honest(each.state, each.honestMs));
    expect(longest(each, () => silent)).toBeLessThan(2 * without + timeoutMs / 2);
  });

  it.each(Object.keys(liars))(
    'is held up hardly more than by silent ones by liars that %s',
    (name) => {
      for (const each of cases) {
        const { f, state, honestMs } = each;
        const beside = longest(each, (seed) => liars[name]?.(state, seed) ?? silent);
        const limitMs = 1.5 * longest(each, () => silent) + 2 * honestMs;
        expect(beside, `f = ${f}, ${honestMs} ms`).toBeLessThan(limitMs);
      }
    },
  );

  it('is not held up by liars that know when others are asked too', () => {
    for (const each of cases) {
      const afterMs = Math.min(2 * each.honestMs, timeoutMs / 4) - 0.1;
      const beside = longest(each, () => trickling(afterMs)(each.state));
      const limitMs = 1.5 * longest(each, () => silent) + 2 * each.honestMs;
      expect(beside, `f = ${each.f}, ${each.honestMs} ms`).toBeLessThan(limitMs);
    }
  });

  it.each([5, 40])('takes what comes later than is waited, after %d time-outs', (timeouts) => {
    // Nodes come at once, so that this is not known before the first pages are asked for.
    const slowForPages: Source = (fetch) => ({
      afterMs: fetch.level === 0 ? timeouts * timeoutMs : 1,
      part: answerFetch(large, fetch),
    });
    const { tookMs, pagesGiven } = run(large, [slowForPages, slowForPages, silent], 1);
    // 32 questions for pages, four at a time.
    expect(tookMs).toBeLessThan(10 * timeouts * timeoutMs);
    expect(pagesGiven).toBeLessThan(4 * 2001);
  });

  it('asks little twice of sources that answer one question after the other, slowly', () => {
    const serial = (): Source => {
      let freeAtMs = 0;
      return (fetch, nowMs) => {
        freeAtMs = Math.max(freeAtMs, nowMs) + 0.8 * timeoutMs;
        return { afterMs: freeAtMs - nowMs, part: answerFetch(large, fetch) };
      };
    };
    const { asked, pagesGiven } = run(large, several(3, serial), 1);
    expect(asked).toBeLessThan(60);
    expect(pagesGiven).toBeLessThan(1.25 * 2001);
  });

  it('fetches nothing twice from sources that are alike', () => {
    const { pagesGiven } = run(
      large,
      several(6, () => honest(large, 10)),
      1,
    );
    expect(pagesGiven).toBe(2001);
  });

  it.each(seeds)('is quick soon after nobody was reached for long (seed %d)', (seed) => {
    const backAtMs = 3600 * timeoutMs;
    const back: Source = (fetch, nowMs) =>
      nowMs < backAtMs ? undefined : { afterMs: 20, part: answerFetch(large, fetch) };
    const { tookMs, asked } = run(large, [back, back, silent], seed);
    expect(tookMs - backAtMs).toBeLessThan(18 * timeoutMs);
    // Meanwhile they are asked now and then.
    expect(asked).toBeLessThan(2 * 3 * (3600 / 16 + 10) + 100);
  });
});
