// What the checkers say of a system's histories.

import { checkRegisterHistory } from '../checkers/linearizability.ts';
import { checkPresence } from '../checkers/presence.ts';
import { explain } from '../checkers/verdict.ts';
import type { Failure } from './run-report.ts';
import type { System } from './system.ts';

/** The first thing that is wrong. What a checker cannot decide counts as wrong. */
export function judge({ objects, blocks, falselyAccused }: System): Failure | undefined {
  const registers = checkRegisterHistory(objects);
  if (registers.result !== 'linearizable') return { kind: 'safety', message: explain(registers) };
  const present = checkPresence(blocks);
  if (present.result !== 'present') return { kind: 'safety', message: explain(present) };
  if (falselyAccused.size === 0) return undefined;
  const names = [...falselyAccused].join(', ');
  return { kind: 'safety', message: `correct servers called liars: ${names}` };
}
