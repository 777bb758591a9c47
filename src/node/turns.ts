// Shares the event loop among the peers of a process. A socket hands over as much as has arrived, and a peer who sends work
// faster than it can be done would keep timers, sends and everybody else waiting for as long as it goes on.
//
// Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996), between those who are known and strangers, and among the
// peers of each of the two: whoever has had least goes first, whatever one frame took is charged, and nobody saves up
// time. So a peer that asks for less than its share is served as soon as its frames arrive, and a flood gets what is left.

import type { PeerId } from '../base/brand.ts';

/** A connection that has frames to be handled. */
export interface Worker {
  /** All connections of one peer have one share. */
  readonly peer: PeerId;
  /** Whether its peer is one that this process works for or with; strangers together get no more than those together. */
  readonly isKnown: boolean;
  /** Of the time that the last frame took, so much at most counts as in vain: none of it if the frame was of use. */
  readonly inVainMsMax: number;
  /** What receiving that frame took, beside handling it. */
  readonly receiptMs: number;
  /** What receiving has taken that was not asked for yet. */
  takeReceiptMs(): number;
  /** Handles one frame. False when none is left after it. */
  work(): boolean;
  /** All its frames are handled. */
  caughtUp(): void;
}

/** Handling goes on for so long, then what else there is to do comes first. */
const turnMs = 10;
/** And for one peer for so long, in each turn. */
const sliceMs = 1;
/** What a peer may have had done in vain at a time, and of all time: beyond it, it is made to wait. */
const inVainMsMax = 50;
const inVainShare = 0.1;
/** So often those who are made to wait are looked at. */
const holdMs = 10;
/** Shares kept of peers that may have left, before they are looked through. */
const idleSharesMax = 1024;

/** Those who are known, or the strangers. */
class Side {
  readonly waiting: Share[] = [];
  /** Where on the clock of both its next slice begins. */
  fromMs = 0;
  /** Where the slice began that was given last: who had nothing to do until now begins there too. */
  clockMs = 0;

  /** Whoever waits and has had least. */
  first(): Share | undefined {
    let first: Share | undefined;
    for (const share of this.waiting) {
      if (first === undefined || share.fromMs < first.fromMs) first = share;
    }
    return first;
  }
}

/** What one peer has had. */
class Share {
  /** Its connections that wait. */
  readonly workers: Worker[] = [];
  side: Side;
  /** Where on the clock of its side its next slice begins. */
  fromMs = 0;
  isHeld = false;
  /** Time spent on it in vain, less what it may; as of `inVainAtMs`. */
  #inVainMs = 0;
  #inVainAtMs = 0;

  constructor(side: Side) {
    this.side = side;
    this.fromMs = side.clockMs;
  }

  addInVain(ms: number, nowMs: number): void {
    this.#inVainMs = this.inVainMs(nowMs) + ms;
    this.#inVainAtMs = nowMs;
  }

  inVainMs(nowMs: number): number {
    return Math.max(0, this.#inVainMs - (nowMs - this.#inVainAtMs) * inVainShare);
  }
}

export interface TurnsEnv {
  nowMs(): number;
  /** Time so far that this process had its processor, or did not want it. */
  grantedMs(): number;
  after(delayMs: number, then: () => void): void;
}

const systemEnv: TurnsEnv = {
  nowMs: () => performance.now(),
  grantedMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000 + performance.nodeTiming.idleTime;
  },
  after: (delayMs, then) => void setTimeout(then, delayMs).unref(),
};

export class Turns {
  readonly #onHeld: () => void;
  readonly #env: TurnsEnv;
  readonly #known = new Side();
  readonly #strangers = new Side();
  readonly #shares = new Map<PeerId, Share>();
  #sharesMax = idleSharesMax;
  /** Who is made to wait for what was done for it in vain. */
  #held: Share[] = [];
  #clockMs = 0;
  #spentMs = 0;
  #isScheduled = false;
  /** As of `#grantedAtMs`: never more than has passed. */
  #grantedMs = 0;
  #grantedLastMs = 0;
  #grantedAtMs = 0;

  /** @param onHeld called when a peer is made to wait for what was done for it in vain. */
  constructor(onHeld: () => void = () => {}, env: TurnsEnv = systemEnv) {
    this.#onHeld = onHeld;
    this.#env = env;
  }

  /** Peers of which something is kept. */
  get peersCount(): number {
    return this.#shares.size;
  }

  /**
   * Lets a worker handle what has come: now if nobody waits who has had less and this turn is young, else later.
   * @returns whether it has caught up; if not, `caughtUp` tells it later, and it does not ask again before that.
   */
  run(worker: Worker): boolean {
    const share = this.#shareOf(worker);
    this.#schedule();
    if (this.#isNext(share) && this.#slice(share, worker)) return true;
    share.workers.push(worker);
    if (share.workers.length === 1) this.#line(share);
    return false;
  }

  #shareOf(worker: Worker): Share {
    let share = this.#shares.get(worker.peer);
    if (share === undefined) {
      if (this.#shares.size >= this.#sharesMax) this.#forgetIdle();
      share = new Share(this.#strangers);
      this.#shares.set(worker.peer, share);
    }
    if (share.workers.length === 0) this.#takeSide(share, worker);
    return share;
  }

  /** Asked each time: a greeting may have made a stranger known. */
  #takeSide(share: Share, worker: Worker): void {
    const side = worker.isKnown ? this.#known : this.#strangers;
    share.fromMs = share.side === side ? Math.max(share.fromMs, side.clockMs) : side.clockMs;
    share.side = side;
  }

  /** Whether nobody waits who has had less. */
  #isNext(share: Share): boolean {
    if (this.#spentMs >= turnMs || share.workers.length > 0) return false;
    if (this.#isOverdrawn(share)) return false;
    const side = share.side;
    const other = side === this.#known ? this.#strangers : this.#known;
    if (other.waiting.length > 0 && other.fromMs < this.#fromMs(side)) return false;
    const first = side.first();
    return first === undefined || share.fromMs <= first.fromMs;
  }

  #fromMs(side: Side): number {
    return Math.max(side.fromMs, this.#clockMs);
  }

  #isOverdrawn(share: Share): boolean {
    return share.inVainMs(this.#grantedNowMs()) > inVainMsMax;
  }

  /** A process that has to wait for its processor has less to give away. Looked up seldom: it takes a system call. */
  #grantedNowMs(): number {
    const nowMs = this.#env.nowMs();
    const passedMs = nowMs - this.#grantedAtMs;
    if (passedMs >= holdMs) {
      const grantedMs = this.#env.grantedMs();
      this.#grantedMs += Math.min(passedMs, grantedMs - this.#grantedLastMs);
      this.#grantedLastMs = grantedMs;
      this.#grantedAtMs = nowMs;
    }
    return this.#grantedMs;
  }

  /** @returns whether the worker has caught up. */
  #slice(share: Share, worker: Worker): boolean {
    const side = share.side;
    side.fromMs = this.#fromMs(side);
    this.#clockMs = side.fromMs;
    side.clockMs = Math.max(side.clockMs, share.fromMs);
    const { nowMs } = this.#env;
    const startMs = nowMs();
    let endMs = startMs;
    let isMore = true;
    while (isMore && endMs - startMs < sliceMs) {
      const beganMs = endMs;
      isMore = worker.work();
      endMs = nowMs();
      // The bound is for a process that has to wait for its processor: what that takes is nobody's fault.
      const most = worker.inVainMsMax;
      if (most > 0) {
        const ms = Math.min(endMs - beganMs, most) + worker.receiptMs;
        share.addInVain(ms, this.#grantedNowMs());
      }
    }
    const tookMs = endMs - startMs + worker.takeReceiptMs();
    this.#spentMs += tookMs;
    side.fromMs += tookMs;
    share.fromMs += tookMs;
    return !isMore;
  }

  /** Puts who has something to do where it waits. */
  #line(share: Share): void {
    const wasHeld = share.isHeld;
    share.isHeld = this.#isOverdrawn(share);
    if (!share.isHeld) {
      const side = share.side;
      if (side.waiting.length === 0) side.fromMs = this.#fromMs(side);
      side.waiting.push(share);
      return;
    }
    if (!wasHeld) this.#onHeld();
    if (this.#held.length === 0) this.#lookAtHeldLater();
    this.#held.push(share);
  }

  #lookAtHeldLater(): void {
    this.#env.after(holdMs, () => {
      const held = this.#held;
      this.#held = [];
      for (const share of held) this.#lineAgain(share);
      this.#schedule();
    });
  }

  #lineAgain(share: Share): void {
    const [worker] = share.workers;
    if (worker === undefined) return;
    this.#takeSide(share, worker);
    this.#line(share);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#spentMs = 0;
      this.#turn();
    });
  }

  /** Each who waits gets a slice, as far as the turn goes; the rest of it is for who comes meanwhile. */
  #turn(): void {
    const known = this.#known.waiting;
    const strangers = this.#strangers.waiting;
    for (let left = known.length + strangers.length; left > 0; left--) {
      if (this.#spentMs >= turnMs) break;
      const share = this.#takeFirst();
      const worker = share?.workers.shift();
      if (share === undefined || worker === undefined) break;
      const hasCaughtUp = this.#slice(share, worker);
      if (!hasCaughtUp) share.workers.push(worker);
      this.#lineAgain(share);
      if (hasCaughtUp) worker.caughtUp();
    }
    if (known.length + strangers.length > 0) this.#schedule();
  }

  #takeFirst(): Share | undefined {
    const known = this.#known.first();
    const strangers = this.#strangers.first();
    const isKnown = strangers === undefined || this.#known.fromMs <= this.#strangers.fromMs;
    const side = known !== undefined && isKnown ? this.#known : this.#strangers;
    const first = side === this.#known ? known : strangers;
    if (first !== undefined) side.waiting.splice(side.waiting.indexOf(first), 1);
    return first;
  }

  /** Anyone can make keys: what is kept of peers that have nothing to do and owe nothing is dropped. */
  #forgetIdle(): void {
    const nowMs = this.#grantedNowMs();
    for (const [peer, share] of this.#shares) {
      const { side, workers } = share;
      const isAhead = side.waiting.length > 0 && share.fromMs > side.clockMs;
      const owes = isAhead || share.inVainMs(nowMs) > 0;
      if (workers.length === 0 && !owes) this.#shares.delete(peer);
    }
    this.#sharesMax = this.#shares.size + idleSharesMax;
  }
}
