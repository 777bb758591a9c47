// How long each server is waited for in a row of questions, where every answer is wanted and none is needed.

import type { PeerId } from '../base/brand.ts';

/** A server that keeps silent again is waited for this much shorter. */
const shrinkFactor = 4;
/** Enough for a server that runs; one that does not costs no more than this at each question. */
const waitMsMin = 20;

/**
 * A server that was silent once is waited for less and less, or a hundred questions would wait for it a hundred times.
 * One answer in time restores it.
 */
export class Patience {
  readonly #fullMs: number;
  readonly #waitsMs = new Map<PeerId, number>();

  /** @param fullMs for a server that has not been silent, in milliseconds. */
  constructor(fullMs: number) {
    this.#fullMs = fullMs;
  }

  waitMs(peer: PeerId): number {
    return this.#waitsMs.get(peer) ?? this.#fullMs;
  }

  answered(peer: PeerId): void {
    this.#waitsMs.delete(peer);
  }

  silent(peer: PeerId): void {
    const shorter = Math.max(waitMsMin, this.waitMs(peer) / shrinkFactor);
    this.#waitsMs.set(peer, Math.min(this.#fullMs, shorter));
  }
}
