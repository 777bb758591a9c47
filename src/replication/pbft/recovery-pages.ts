// The pages of a recovery: those on the disk, not those in memory, are read and hashed in slices, then what differs from
// what is stable is fetched.

import { equalBytes } from '../../base/bytes.ts';
import type { Certificate } from '../../wire/pbft.ts';
import type { SavedCheckpoint } from '../contract.ts';
import type { Core } from './core.ts';
import { PageCheck } from './page-check.ts';

/** Runs out at once: everything else that waits comes before the next slice of pages. */
export const pageCheckTimer = 'page-check';

interface Reading {
  readonly check: PageCheck;
  /** What was stable when it began. */
  readonly certificate: Certificate;
  /** Of the pages that are read. */
  readonly sequence: number;
}

export class RecoveryPages {
  readonly #core: Core;
  /** H_M. */
  readonly #bound: number;
  #stage: 'unchecked' | 'loading' | 'reading' | 'fetching' | 'right' = 'unchecked';
  #reading: Reading | undefined;

  constructor(core: Core, bound: number) {
    this.#core = core;
    this.#bound = bound;
  }

  /** The recovery begins again: what is being read is let go, or nothing would ever be saved again. */
  close(): void {
    this.#reading?.check.close();
    this.#reading = undefined;
    this.#stage = 'unchecked';
  }

  get areRight(): boolean {
    return this.#stage === 'right' && !this.#core.parts.transfers.isRunning;
  }

  /** At the end of an event: asks for what the disk holds. */
  settle(): void {
    const { log, out, parts } = this.#core;
    if (this.#stage !== 'unchecked' || log.height === 0 || parts.transfers.isRunning) return;
    if (!this.#isComparable(parts.checkpoints.saved)) return;
    this.#stage = 'loading';
    out.reload();
  }

  /** @param checkpoint undefined: all is in memory, and the digests of that are made anew. */
  onReloaded(checkpoint: SavedCheckpoint | undefined): void {
    const { executor, log, out, parts } = this.#core;
    const check = new PageCheck(checkpoint?.pages ?? executor.state.frozenPages());
    if (this.#stage !== 'loading') return check.close();
    const saved = checkpoint?.sequence ?? parts.checkpoints.saved;
    if (parts.transfers.isRunning || !this.#isComparable(saved)) {
      check.close();
      this.#stage = 'unchecked';
      return;
    }
    out.count('recovery-pages-checked');
    const sequence = checkpoint?.sequence ?? parts.execution.executed;
    this.#stage = 'reading';
    this.#reading = { check, certificate: log.certificate, sequence };
    this.onTimer();
  }

  /** Reads and hashes one slice. */
  onTimer(): void {
    const { log, nowMs, out, parts } = this.#core;
    if (this.#reading === undefined) return;
    const { check, certificate, sequence } = this.#reading;
    if (parts.transfers.isRunning) {
      // The state is replaced anyhow, and the disk's with it: that one is checked then.
      check.close();
      this.#reading = undefined;
      this.#stage = 'unchecked';
      return;
    }
    if (!check.step()) return out.timer(pageCheckTimer, nowMs);
    this.#reading = undefined;
    this.#stage = 'fetching';
    for (const code of check.found) out.count(code);
    if (sequence === certificate.sequence && !equalBytes(check.state.rootNow(), certificate.root)) {
      out.count('recovery-pages-differ');
    }
    // A later one may have become stable meanwhile; what has changed since then is fetched.
    parts.transfers.replace(log.certificate, check.state);
  }

  /**
   * Whether what was saved last is stable, or a later one is. Before, this member would give its state up for an older one
   * that nobody may hold any more. What is above H_M was never saved by a correct member, and is not waited for.
   */
  #isComparable(saved: number): boolean {
    return saved <= this.#core.log.height || saved > this.#bound;
  }

  /** The pages of a stable checkpoint are here, each compared with what was agreed. */
  onInstalled(): void {
    if (this.#stage === 'fetching') this.#stage = 'right';
  }
}
