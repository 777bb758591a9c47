// Questions that nobody orders: reads in one round, results asked for again. Anyone may ask without a signature, and one
// question may cost as much as many operations. So they have a budget of their own in each turn of the process, in bytes, and
// are answered from one client after another; what is left over waits for the next turn, after all other work that has come.

import { limits } from '../wire/limits.ts';
import { turnSizeBytes } from './fair-queue.ts';

/** What one answer costs besides its bytes, and for each page that is read for it. */
export const answerCostBytes = 1024;
/** What all answers of one turn may cost; the last one may cost more. */
const turnCostBytes = 64 * 1024;
/** Refusals of one turn; beyond them silence says the same. */
const refusalsMax = 32;

interface Asker<Question> {
  readonly key: string;
  /** From the oldest on. */
  readonly waiting: Question[];
  /** What it has had beyond its turns. */
  debtBytes: number;
}

export class QuestionTurns<Question> {
  readonly #answer: (question: Question) => number | undefined;
  readonly #askers = new Map<string, Asker<Question>>();
  #turns: Asker<Question>[] = [];
  #count = 0;
  #creditBytes = turnCostBytes;
  #refusals = 0;

  /** @param answer answers and gives what that cost, in bytes; undefined: it cannot be answered yet. */
  constructor(answer: (question: Question) => number | undefined) {
    this.#answer = answer;
  }

  get count(): number {
    return this.#count;
  }

  /** What waits of one client, by the key that stands for it. */
  waitingOf(key: string): readonly Question[] {
    return this.#askers.get(key)?.waiting ?? [];
  }

  /** Whether `beginTurn` is wanted, as soon as everything else that has come is done. */
  get wantsTurn(): boolean {
    return this.#creditBytes < turnCostBytes / 2 || this.#refusals > 0;
  }

  /** @returns `refused`: it found no place, and may be told so; `dropped`: it found none. */
  ask(key: string, question: Question): 'taken' | 'refused' | 'dropped' {
    const known = this.#askers.get(key);
    if (known === undefined && this.#creditBytes > 0) {
      const costBytes = this.#answer(question);
      if (costBytes !== undefined) {
        this.#creditBytes -= costBytes;
        if (costBytes > turnSizeBytes) this.#askerOf(key).debtBytes = costBytes - turnSizeBytes;
        return 'taken';
      }
    }
    if (!this.#hasRoom(known?.waiting.length ?? 0)) {
      this.#refusals += 1;
      return this.#refusals <= refusalsMax ? 'refused' : 'dropped';
    }
    const asker = this.#askerOf(key);
    asker.waiting.push(question);
    this.#count += 1;
    if (asker.debtBytes > 0) this.run();
    return 'taken';
  }

  /** One of each client is taken as long as there is any room at all. */
  #hasRoom(waiting: number): boolean {
    if (waiting === 0) return this.#count < 2 * limits.heldQueriesMax;
    return waiting < limits.heldQueriesPerClientMax && this.#count < limits.heldQueriesMax;
  }

  /** Everything that had come is done. */
  beginTurn(): void {
    this.#creditBytes = turnCostBytes;
    this.#refusals = 0;
    this.run();
  }

  /** Answers what can be answered now, as far as this turn's budget goes. */
  run(): void {
    // So many in a row can be answered no question.
    let idle = 0;
    while (this.#creditBytes > 0 && idle < this.#turns.length) {
      const asker = this.#turns.shift() as Asker<Question>;
      if (asker.debtBytes > 0) {
        asker.debtBytes -= turnSizeBytes;
        this.#line(asker);
        continue;
      }
      const question = asker.waiting[0];
      const costBytes = question === undefined ? undefined : this.#answer(question);
      if (costBytes === undefined) idle += 1;
      else {
        idle = 0;
        asker.waiting.shift();
        this.#count -= 1;
        this.#creditBytes -= costBytes;
        asker.debtBytes += Math.max(0, costBytes - turnSizeBytes);
      }
      this.#line(asker);
    }
  }

  #askerOf(key: string): Asker<Question> {
    let asker = this.#askers.get(key);
    if (asker === undefined) {
      asker = { key, waiting: [], debtBytes: 0 };
      this.#askers.set(key, asker);
      this.#turns.push(asker);
    }
    return asker;
  }

  /** To the end of the line, if it waits for anything or has had more than its turns. */
  #line(asker: Asker<Question>): void {
    if (asker.waiting.length > 0 || asker.debtBytes > 0) this.#turns.push(asker);
    else this.#askers.delete(asker.key);
  }
}
