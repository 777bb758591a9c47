// A member whose disk is lost has forgotten what it promised, so it counts as faulty until it has recovered. Until then it
// only learns: it is in no view, votes for nothing and leaves no view. It needs a change of keys with a counter above all
// that it ever used, and does not know which those were; 2f+1 of the others do, because a recovery needs as many.

import { diskForgottenCode } from '../contract.ts';
import type { Core } from './core.ts';
import { counterRiseMax, lossTimeouts } from './keys.ts';

export class Forgotten {
  readonly #core: Core;
  #isForgetful = false;
  /** By member: the counter of the newest NEW-KEY that it has of this one. */
  #known: (number | undefined)[] = [];
  /** When a recovery began again because of a later loss than its own. */
  #againMs = Number.NEGATIVE_INFINITY;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether this member makes no promises. */
  get isForgetful(): boolean {
    return this.#isForgetful;
  }

  /** At the start, when it is known what the disk still says. */
  start(hasForgotten: boolean, hasRecovered: boolean): void {
    this.#isForgetful = this.#core.rules.isForgetful(hasForgotten, hasRecovered);
    if (this.#isForgetful) this.#leave();
  }

  /** This member has made a statement of which its disk knows nothing. @returns whether that is so from now on. */
  notice(): boolean {
    const { rules, out, parts, view } = this.#core;
    this.#isForgetful = rules.isForgetful(true, false);
    if (!this.#isForgetful) return false;
    out.count(diskForgottenCode);
    parts.viewChanges.leave(view);
    this.#leave();
    parts.checkpoints.requestCompaction();
    return true;
  }

  /** Is in no view, and claims nothing about any. */
  #leave(): void {
    this.#core.parts.viewChanges.waitFor(this.#core.view);
    this.#core.isActive = false;
  }

  /** So many that they share a correct one with any 2f+1 others, liars left out. */
  hasEnough(answers: number): boolean {
    return answers > 2 * this.#core.faults;
  }

  ask(): void {
    const { n, index, out, instance } = this.#core;
    for (let member = 0; member < n; member++) {
      if (member === index || this.#known[member] !== undefined) continue;
      out.sendUrgently(this.#core.replica(member), 'queryStable', {
        instance,
        counter: 0,
        forgotten: 0,
      });
    }
  }

  askAgain(): void {
    this.#known = [];
    this.ask();
  }

  /**
   * @param began the counter with which this recovery began; 0 before.
   * @returns the largest counter that a member knows, when enough have said what they know.
   */
  onAnswer(member: number, counter: number, began = 0): number | undefined {
    this.#known[member] = counter;
    const all = this.#known.flatMap((known) => known ?? []).sort((a, b) => b - a);
    // This member is one of the f that may be faulty: of f others one is correct.
    const vouched = Math.max(all[this.#core.faults - 1] ?? 0, began);
    // What lies far above has been taken by no correct member, nor would a number above it be: only liars have it to show.
    const credible = all.filter((known) => known <= vouched + counterRiseMax / 2);
    return this.hasEnough(credible.length) || began > 0 ? credible[0] : undefined;
  }

  /**
   * Whether a NEW-KEY of a later loss than that from which it recovers makes it begin again. Others take the next loss only
   * after a while, and then it has as long to end: an intruder may have signed many such, and a liar show one after the other.
   */
  get mayForgetAgain(): boolean {
    const { nowMs, parameters } = this.#core;
    return nowMs - this.#againMs >= 2 * lossTimeouts * parameters.timeoutMs;
  }

  onAgain(): void {
    this.#againMs = this.#core.nowMs;
  }

  /** Recovered: as good as any other member, from this view on. */
  end(view: number): void {
    this.#isForgetful = false;
    const { viewChanges, newViews, normalCase, viewTimer } = this.#core.parts;
    viewChanges.waitFor(view);
    if (view === 0) {
      // It began without a NEW-VIEW.
      normalCase.enterView(0);
      viewTimer.onViewEntered();
    }
    newViews.tryAll();
  }
}
