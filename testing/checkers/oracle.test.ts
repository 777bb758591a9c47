// Both methods of judging a register against the plainest one there is: try every order.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { History, type Operation, type OperationId } from './history.ts';
import { checkBySearch, checkRegisterHistory } from './linearizability.ts';
import { registerHistory } from './register.ts';
import { checkByZones, hasDistinctWrites } from './zones.ts';

/** Every order that respects real time, one operation after another, with and without each unknown write. */
function isLinearizable(operations: readonly Operation[]): boolean {
  const mattering = operations.filter(
    ({ kind, outcome }) =>
      outcome === 'completed' ||
      (kind === 'write' && (outcome === 'unknown' || outcome === 'pending')),
  );
  return canFinish(null, mattering);
}

function canFinish(held: string | null, left: readonly Operation[]): boolean {
  if (left.every(({ outcome }) => outcome !== 'completed')) return true;
  return left.some((next) => {
    const others = left.filter((other) => other !== next);
    if (others.some((other) => other.outcome === 'completed' && other.end < next.begin))
      return false;
    if (next.kind === 'read') return next.value === held && canFinish(held, others);
    return canFinish(next.value, others);
  });
}

type Step =
  | { readonly act: 'write'; readonly value: number }
  | { readonly act: 'read' }
  | { readonly act: 'advance'; readonly which: number; readonly fate: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant('write' as const), value: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('read' as const) }) },
  {
    weight: 12,
    arbitrary: fc.record({
      act: fc.constant('advance' as const),
      which: fc.nat(9),
      fate: fc.nat(15),
    }),
  },
);

interface Underway {
  readonly id: OperationId;
  readonly kind: 'write' | 'read';
  readonly value: string;
  result?: string | null;
  isAbandoned?: boolean;
}

/**
 * Runs a true atomic register: each operation is invoked, takes effect at some later step, answers at a still later
 * one. Some writes fail, some are abandoned before or after they take effect.
 */
function runRegister(
  steps: readonly Step[],
  operationsMax: number,
  areDistinct: boolean,
): Operation[] {
  const history = new History();
  const underway: Underway[] = [];
  let held: string | null = null;
  for (const [time, now] of steps.entries()) {
    if (now.act === 'advance') {
      const one = underway[now.which % Math.max(underway.length, 1)];
      if (one === undefined) continue;
      const isDone = one.result !== undefined;
      if (!isDone && now.fate === 0 && !one.isAbandoned) {
        history.fail(one.id, time);
        underway.splice(underway.indexOf(one), 1);
      } else if (now.fate <= 2 && !one.isAbandoned) {
        history.abandon(one.id);
        one.isAbandoned = true;
      } else if (!isDone) {
        if (one.kind === 'write') held = one.value;
        one.result = held;
      } else {
        if (!one.isAbandoned && one.kind === 'write') history.completeWrite(one.id, time);
        if (!one.isAbandoned && one.kind === 'read')
          history.completeRead(one.id, time, one.result ?? null);
        underway.splice(underway.indexOf(one), 1);
      }
    } else if (history.operations.length < operationsMax) {
      const value = areDistinct ? `v${time}` : `v${now.act === 'write' ? now.value % 2 : 0}`;
      const call = { time, client: `c${time}`, object: 'x' };
      const id =
        now.act === 'write'
          ? history.invoke({ ...call, kind: 'write', value })
          : history.invoke({ ...call, kind: 'read' });
      underway.push({ id, kind: now.act, value });
    }
  }
  return [...history.operations];
}

interface Damage {
  readonly which: number;
  readonly how: number;
}

/** Makes one read return something else, or one failed or unknown operation another outcome. */
function damage(operations: readonly Operation[], damages: readonly Damage[]): Operation[] {
  const result = [...operations];
  const values = [null, 'nowhere', ...result.map(({ value }) => value)];
  for (const { which, how } of damages) {
    const index = which % Math.max(result.length, 1);
    const victim = result[index];
    if (victim === undefined) continue;
    if (victim.kind === 'read' && victim.outcome === 'completed') {
      result[index] = { ...victim, value: values[how % values.length] ?? null };
    } else if (victim.kind === 'write' && victim.outcome !== 'completed') {
      // It failed at once, or was never heard of again.
      const isFailed = how % 2 === 0;
      const end = isFailed ? victim.begin + 0.5 : Number.POSITIVE_INFINITY;
      result[index] = { ...victim, outcome: isFailed ? 'failed' : 'unknown', end, endedAt: end };
    }
  }
  return result;
}

const steps = fc.array(step, { minLength: 8, maxLength: 45 });
const damages = fc.array(fc.record({ which: fc.nat(20), how: fc.nat(20) }), {
  minLength: 1,
  maxLength: 4,
});
const runs = { numRuns: 4_000, seed: 20_240_601 };

describe('against the oracle of all orders', () => {
  for (const areDistinct of [true, false]) {
    const writes = areDistinct ? 'distinct writes' : 'repeated writes';

    test(`true registers are accepted: ${writes}`, () => {
      fc.assert(
        fc.property(steps, (script) => {
          const operations = runRegister(script, 12, areDistinct);
          const register = registerHistory('x', operations);
          expect(checkBySearch(register, 100_000)).toBeUndefined();
          if (areDistinct) expect(checkByZones(register)).toBeUndefined();
          expect(checkRegisterHistory({ operations }).result).toBe('linearizable');
        }),
        runs,
      );
    });

    test(`damaged histories are judged alike: ${writes}`, () => {
      const verdicts = { good: 0, bad: 0 };
      fc.assert(
        fc.property(steps, damages, (script, faults) => {
          const operations = damage(runRegister(script, 8, areDistinct), faults);
          const expected = isLinearizable(operations);
          verdicts[expected ? 'good' : 'bad']++;
          const register = registerHistory('x', operations);
          const found = checkBySearch(register, 100_000);
          expect(found === undefined).toBe(expected);
          if (areDistinct) {
            expect(hasDistinctWrites(register)).toBe(true);
            expect(checkByZones(register) === undefined).toBe(expected);
          }
          // What the explanation names is a violation by itself.
          for (const violation of [found, areDistinct ? checkByZones(register) : undefined]) {
            if (violation === undefined || violation === 'unknown') continue;
            expect(isLinearizable(withWrites(violation.operations, operations))).toBe(false);
          }
        }),
        runs,
      );
      // The generator must not have drifted to one side.
      expect(Math.min(verdicts.good, verdicts.bad)).toBeGreaterThan(500);
    });
  }

  test('a scrambled history of no register at all', () => {
    const verdicts = { good: 0, bad: 0 };
    fc.assert(
      fc.property(scrambled, (operations) => {
        const expected = isLinearizable(operations);
        verdicts[expected ? 'good' : 'bad']++;
        const register = registerHistory('x', operations);
        expect(checkBySearch(register, 100_000) === undefined).toBe(expected);
        if (hasDistinctWrites(register))
          expect(checkByZones(register) === undefined).toBe(expected);
      }),
      { ...runs, numRuns: 10_000 },
    );
    expect(Math.min(verdicts.good, verdicts.bad)).toBeGreaterThan(500);
  });
});

/** The named operations and the writes of the values that they read: these alone must be impossible. */
function withWrites(named: readonly Operation[], all: readonly Operation[]): Operation[] {
  const values = new Set(named.map(({ value }) => value));
  const kept = new Set([
    ...named,
    ...all.filter(({ kind, value }) => kind === 'write' && values.has(value)),
  ]);
  return [...kept].filter(({ id }) => id >= 0);
}

/** Up to seven operations with any places, values and outcomes; most of them nonsense, many barely so. */
const scrambled: fc.Arbitrary<Operation[]> = fc
  .integer({ min: 2, max: 7 })
  .chain((count) =>
    fc.tuple(
      fc.array(
        fc.record({
          kind: fc.constantFrom('write' as const, 'read' as const),
          value: fc.constantFrom(null, 'a', 'a', 'b', 'b', 'c'),
          outcome: fc.constantFrom(
            'completed' as const,
            'completed' as const,
            'completed' as const,
            'unknown' as const,
          ),
        }),
        { minLength: count, maxLength: count },
      ),
      fc.shuffledSubarray([...Array(2 * count).keys()], {
        minLength: 2 * count,
        maxLength: 2 * count,
      }),
    ),
  )
  .map(([drafts, places]) =>
    drafts
      .map(({ kind, value, outcome }, index): Operation => {
        const pair = [places[2 * index] ?? 0, places[2 * index + 1] ?? 0];
        const [begin, answered] = [Math.min(...pair), Math.max(...pair)];
        const end = outcome === 'completed' ? answered : Number.POSITIVE_INFINITY;
        return {
          id: index as OperationId,
          client: `c${index}`,
          object: 'x',
          kind,
          value,
          outcome,
          invokedAt: begin,
          endedAt: end,
          begin,
          end,
        };
      })
      .sort((a, b) => a.begin - b.begin),
  );
