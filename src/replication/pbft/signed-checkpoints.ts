// Which checkpoints members have signed: this one, and the others, who can be shown it. Whoever has signed one of which its
// disk knows nothing has another disk than it had.

import type { Certificate, CheckpointVote } from '../../wire/pbft.ts';
import type { Core } from './core.ts';

export class SignedCheckpoints {
  readonly #core: Core;
  /** By member: its newest vote for what is stable, as it came on its channel, checked or not. */
  readonly #past: (CheckpointVote | undefined)[] = [];
  /** Above this one this member has signed none. */
  #top = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** This member signs one, or its disk says that it may have. */
  noteOwn(sequence: number): void {
    this.#top = Math.max(this.#top, sequence);
  }

  keepPast(vote: CheckpointVote): void {
    const { replica, sequence } = vote;
    if (sequence > (this.#past[replica]?.sequence ?? 0)) this.#past[replica] = vote;
  }

  /**
   * Somebody shows this member a CHECKPOINT of its own. It records the sequence before it sends one, so of one above all
   * that it knows of it has lost the record.
   */
  onOwn(from: number, vote: CheckpointVote): void {
    const { out, statements, parts } = this.#core;
    if (vote.sequence <= this.#top || !parts.recovery.mayHaveForgotten) {
      return out.count('checkpoint-odd');
    }
    if (!parts.statusExchange.maySpend(from, 'checkpoint')) return out.count('peer-too-eager');
    if (!statements.isCheckpointVote(vote)) return out.count('checkpoint-not-signed');
    parts.recovery.onShown();
  }

  /** Whether this member seems to have signed it, and does not know of that. */
  isForgotten({ sequence, signatures }: Certificate): boolean {
    const { index, parts } = this.#core;
    if (sequence <= this.#top || !parts.recovery.mayHaveForgotten) return false;
    return signatures.some(({ replica }) => replica === index);
  }

  /** A member says that it has come less far than it has signed: it may have forgotten that. @param held its votes above. */
  remind(member: number, reached: number, held: Iterable<CheckpointVote>): void {
    let newest = this.#past[member];
    for (const vote of held) if (vote.sequence > (newest?.sequence ?? 0)) newest = vote;
    if (newest === undefined || newest.sequence <= reached) return;
    this.#core.out.send(this.#core.replica(member), 'checkpoint', newest);
  }
}
