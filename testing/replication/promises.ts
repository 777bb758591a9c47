// What a correct replica has promised by leaving a view, and which log it has vouched for, over all its lives: no crash may
// make it go back on that.

import type {
  ReplicationMessage,
  ReplicationMessageValue,
} from '../../src/wire/replication-registry.ts';

interface Held {
  readonly view: number;
  /** Its log of that view reached at least so far. */
  readonly sequence: number;
}

export class Promises {
  readonly #index: number;
  /** It has said that it takes part in no view before this one any more. */
  #promised = 0;
  /** Views for which it has made a VIEW-CHANGE, with the loss that each names: those of before one may be handed on for ever. */
  readonly #left = new Set<string>();
  /** The newest log that it has said to hold durably. */
  #held: Held = { view: 0, sequence: 0 };
  /** By view, the end of the log that it has begun that view with as its primary. */
  readonly #begun = new Map<number, number>();

  constructor(index: number) {
    this.#index = index;
  }

  /** Its disk is gone, and the others are told so: what it has promised counts for nothing any more. */
  release(): void {
    this.#promised = 0;
  }

  /** @returns what is wrong with its saying this now. */
  note({ name, value }: ReplicationMessage): string | undefined {
    switch (name) {
      case 'viewChange':
        // Other members' are handed on.
        if (value.statement.replica !== this.#index) return;
        return this.#leaveOnce(value.statement.view, value.statement.forgotten);
      case 'vrStartViewChange':
        return this.#leave(name, value.view);
      case 'vrDoViewChange':
        return this.#leave(name, value.view) ?? this.#vote(value);
      case 'vrStartView':
        return this.#stay(name, value.view) ?? this.#begin(value);
      case 'vrPrepareOk':
        return this.#stay(name, value.view) ?? this.#acknowledge(value);
      case 'vrPrepare':
        return this.#stay(name, value.view) ?? this.#propose(value);
      case 'prePrepare':
      case 'pbftPrepare':
      case 'pbftCommit':
      case 'vrCommit':
      case 'vrLeaseRequest':
      case 'vrLeaseGrant':
      case 'vrRecoveryResponse':
        return this.#stay(name, value.view);
      default:
        return;
    }
  }

  /** Who misses what a NEW-VIEW rests on is shown it again, whatever was left since; the watch sees that it is the same. */
  #leaveOnce(view: number, forgotten: number): string | undefined {
    const which = `${view} ${forgotten}`;
    if (this.#left.has(which)) return undefined;
    this.#left.add(which);
    return this.#leave('viewChange', view);
  }

  #leave(name: string, view: number): string | undefined {
    const wrong = this.#stay(name, view);
    this.#promised = Math.max(this.#promised, view);
    return wrong;
  }

  #stay(name: string, view: number): string | undefined {
    if (view >= this.#promised) return undefined;
    return `${name} of view ${view} after leaving for ${this.#promised}`;
  }

  #hold(view: number, sequence: number): void {
    const { view: before, sequence: known } = this.#held;
    if (view > before) this.#held = { view, sequence };
    else if (view === before) this.#held = { view, sequence: Math.max(known, sequence) };
  }

  #vote(value: ReplicationMessageValue<'vrDoViewChange'>): string | undefined {
    const { lastNormal, sequence, hasLog, view } = value;
    const held = this.#held;
    if (lastNormal < held.view) return `a vote for ${view} without the log of ${held.view}`;
    // A witness keeps no log when all that hold the state have it.
    if (hasLog === 0) return undefined;
    // It may end later when the vote is repeated: a state that was fetched meanwhile is in it.
    this.#hold(lastNormal, sequence);
    if (lastNormal > held.view || sequence >= held.sequence) return undefined;
    return `a vote for ${view} with ${sequence} entries of ${held.sequence} of ${lastNormal}`;
  }

  #begin({ view, sequence }: ReplicationMessageValue<'vrStartView'>): undefined {
    this.#begun.set(view, sequence);
    this.#hold(view, sequence);
  }

  #acknowledge({ view, sequence }: ReplicationMessageValue<'vrPrepareOk'>): string | undefined {
    const held = this.#held;
    this.#hold(view, sequence);
    if (view > held.view || (view === held.view && sequence >= held.sequence)) return undefined;
    return `${sequence} acknowledged in ${view} after ${held.sequence} in ${held.view}`;
  }

  #propose({ view, sequence }: ReplicationMessageValue<'vrPrepare'>): string | undefined {
    const inherited = this.#begun.get(view) ?? 0;
    if (sequence > inherited) return undefined;
    return `${sequence} proposed in ${view}, which began with ${inherited} entries`;
  }
}
