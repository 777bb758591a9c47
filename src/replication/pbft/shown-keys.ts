// The NEW-KEYs of this member that others show it while it recovers: an intruder may have had it sign them for later. Who has
// taken one takes none below, so that the recovery has to begin above those that some other member can have taken.

import type { NewKey } from '../../wire/pbft.ts';
import { counterRiseMax } from './keys.ts';

export interface ShownKeysOptions {
  readonly faults: number;
  readonly timeoutMs: number;
  /** This member's newest counter at the start. */
  readonly counterThen: number;
}

export class ShownKeys {
  readonly #options: ShownKeysOptions;
  /** By member: the newest that it has shown. */
  readonly #shown: (NewKey | undefined)[] = [];
  /** When one was shown first that no other can have taken at that time. */
  #farMs: number | undefined;

  constructor(options: ShownKeysOptions) {
    this.#options = options;
  }

  /** @returns all that have been shown and that others can have taken; undefined if not this one. */
  add(from: number, message: NewKey, nowMs: number): readonly NewKey[] | undefined {
    const { faults, timeoutMs, counterThen } = this.#options;
    if (isNewer(message, this.#shown[from])) this.#shown[from] = message;
    // Others take no counter that rises too far; of f+1 who show such a one some correct one has taken it all the same.
    const shown = this.#shown.flatMap((each) => each ?? []).sort((a, b) => b.counter - a.counter);
    const waited = Math.floor((nowMs - (this.#farMs ?? nowMs)) / timeoutMs);
    const most = Math.max(shown[faults]?.counter ?? 0, counterThen) + counterRiseMax + waited;
    if (message.counter > most) {
      this.#farMs ??= nowMs;
      return undefined;
    }
    return shown.filter(({ counter }) => counter <= most);
  }
}

/** Of the same author: whether one is newer. */
function isNewer(one: NewKey, other: NewKey | undefined): boolean {
  if (other === undefined || one.counter > other.counter) return true;
  return one.counter === other.counter && one.forgotten > other.forgotten;
}
