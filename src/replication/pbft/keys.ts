// The newest NEW-KEY of each member: what it sent on channels of before is void, and, if it has forgotten, its VIEW-CHANGEs
// of before too. Who asks how far this member is says by its counter which one it means.

import type { Bytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { limits } from '../../wire/limits.ts';
import type { NewKey } from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Core } from './core.ts';
import { encodeRecord } from './records.ts';
import type { Reported } from './recovery-rules.ts';
import { newKeyBytes } from './statements.ts';

/**
 * How often a member is believed that it has lost its disk, in time-outs of a view: it voids VIEW-CHANGEs that others may
 * rest a view on, so that a liar who said it anew in every view could keep the group from ever entering one.
 */
export const lossTimeouts = 64;

/**
 * How far the counter of a member is believed to rise at once, since the start; besides by one in each time-out. Its own
 * changes of keys are seldom. Without this an intruder could sign the last number that there is, after which a member
 * that lost its disk could never say that it has newer keys.
 */
export const counterRiseMax = 2 ** 20;

export class Keys {
  readonly #core: Core;
  /** By member. */
  readonly #newest: (NewKey | undefined)[];
  /** When a NEW-KEY of each was taken last, and when one that told of a loss was. */
  readonly #takenMs: number[];
  readonly #lossMs: number[];
  /** By member: how far its counter has risen since the start. */
  readonly #risen: number[];
  #startedMs = 0;
  #isBehind = false;
  /** By member: its own change of keys that it is known to have heard of, and when it was told last. */
  readonly #heardBy: number[] = [];
  readonly #toldMs: number[] = [];

  constructor(core: Core) {
    this.#core = core;
    this.#newest = new Array<NewKey | undefined>(core.n).fill(undefined);
    this.#takenMs = new Array<number>(core.n).fill(Number.NEGATIVE_INFINITY);
    this.#lossMs = new Array<number>(core.n).fill(Number.NEGATIVE_INFINITY);
    this.#risen = new Array<number>(core.n).fill(0);
  }

  /** @throws HoldfastError `data-folder` when the module with its key knows less of its changes of keys than the member. */
  start(): void {
    const { nowMs, signer, index } = this.#core;
    const signed = signer.keyChanges?.();
    const made = this.counterOf(index);
    if (signed !== undefined && signed < made) throw behind(signed, made);
    this.#startedMs = nowMs;
    this.#isBehind = signed !== undefined && signed > made;
    this.#demandKeys();
  }

  /** Whether a change of keys was signed of which this member knew nothing when it started. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Channels with keys of before are closed, and opened no more. */
  #demandKeys(): void {
    this.#core.out.demandKeys(this.#newest.map((message) => message?.counter ?? 0));
  }

  /** This member's own. */
  get own(): NewKey | undefined {
    return this.#newest[this.#core.index];
  }

  counterOf(member: number): number {
    return this.#newest[member]?.counter ?? 0;
  }

  /** The counter with which a member began anew after the loss of its disk; 0: never. */
  forgottenBy(member: number): number {
    return this.#newest[member]?.forgotten ?? 0;
  }

  /** A new one of its own; undefined when a module does not sign it, or not yet. */
  signed(counter: number, forgotten: number): NewKey | undefined {
    const { instance, index, signer } = this.#core;
    const stated = { replica: index, counter, forgotten };
    try {
      return { instance, ...stated, signature: signer.sign(newKeyBytes(instance, stated)) };
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'not-permitted') return undefined;
      throw error;
    }
  }

  /** From now on it has this one, and all channels are made anew. */
  renew(message: NewKey): NewKey {
    const { index, out } = this.#core;
    this.#newest[index] = message;
    out.record(encodeRecord('newKey', message));
    out.rekey('all');
    return message;
  }

  /** Another member's, whoever hands it on. */
  onNewKey(from: number, message: ReplicationMessageValue<'newKey'>): void {
    const { out, n, statements, parts } = this.#core;
    const { replica, counter, forgotten } = message;
    if (replica >= n || counter > limits.newKeyCounterMax || forgotten > counter) {
      return out.count('new-key-odd');
    }
    if (!this.#isNewer(message)) return out.count('new-key-old');
    // An intruder may have had it sign many for later: they count on its own channel, of which that one has lost the keys.
    // Only who has lost its disk is told by others too how often each has changed them, since nobody says that again.
    if (from !== replica && !parts.recovery.isForgetful) return out.count('new-key-odd');
    if (!this.#isNear(message)) return out.count('new-key-far');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    if (!statements.isNewKey(message)) return out.count('new-key-not-signed');
    if (forgotten < this.forgottenBy(replica)) return out.count('new-key-odd');
    const isLoss = forgotten > this.forgottenBy(replica);
    if (!this.#mayTake(replica, isLoss)) return out.count('new-key-too-soon');
    this.#take(message, isLoss);
  }

  #take(message: NewKey, isLoss: boolean): void {
    const { out, n, index, parts, log } = this.#core;
    const { replica, counter } = message;
    this.#risen[replica] = this.#riseOf(message);
    this.#newest[replica] = message;
    // Whoever was in it may have made it forget what others had told it.
    this.#heardBy[replica] = 0;
    out.record(encodeRecord('newKey', message));
    out.rekey(replica);
    this.#demandKeys();
    out.count('new-key');
    log.forgetVotes(replica, index, n);
    parts.checkpoints.forgetVotes(replica);
    if (isLoss) parts.viewChanges.onForgotten(replica);
    this.#tell(replica, counter);
  }

  /** A member that lost its disk may not know that it had used the same counter before. */
  #isNewer({ replica, counter, forgotten }: NewKey): boolean {
    const known = this.counterOf(replica);
    return counter > known || (counter === known && forgotten > this.forgottenBy(replica));
  }

  #riseOf({ replica, counter }: NewKey): number {
    return (this.#risen[replica] ?? 0) + counter - this.counterOf(replica);
  }

  /** What is too far now may be near enough later. */
  #isNear(message: NewKey): boolean {
    const { nowMs, parameters } = this.#core;
    const timeouts = Math.floor((nowMs - this.#startedMs) / parameters.timeoutMs);
    return this.#riseOf(message) <= counterRiseMax + timeouts;
  }

  /** Who is sincere says it again until it is heard. */
  #mayTake(replica: number, isLoss: boolean): boolean {
    const { nowMs, parameters } = this.#core;
    const { timeoutMs } = parameters;
    // In no view it has none to lose, and what it does not take now nobody tells it again.
    if (this.#core.parts.recovery.isForgetful) return true;
    if (nowMs - (this.#takenMs[replica] ?? 0) < timeoutMs) return false;
    if (isLoss && nowMs - (this.#lossMs[replica] ?? 0) < lossTimeouts * timeoutMs) return false;
    this.#takenMs[replica] = nowMs;
    if (isLoss) this.#lossMs[replica] = nowMs;
    return true;
  }

  /** Who asks counts on the answer as a sign that its NEW-KEY is known: of that one, not just of one with this counter. */
  onQueryStable(
    from: number,
    { counter, forgotten }: ReplicationMessageValue<'queryStable'>,
  ): void {
    const { out, parts } = this.#core;
    const known = this.#newest[from];
    const newest = this.counterOf(from);
    const behind = counter - newest || forgotten - this.forgottenBy(from);
    // Who does not know of a loss that is known here begins again above it, whatever counter it has got to.
    if (behind > 0 && forgotten >= this.forgottenBy(from)) return out.count('query-stable-early');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    if (known === undefined || behind === 0) return this.#tell(from, counter);
    out.send(this.#core.replica(from), 'newKey', known);
  }

  /** A member says nothing of what it has done: it may have forgotten this too. */
  remind(member: number): void {
    const known = this.#newest[member];
    if (known !== undefined) this.#core.out.send(this.#core.replica(member), 'newKey', known);
  }

  /** A member that was away when this one changed its keys takes those of before. */
  tellOwn(member: number): void {
    const { nowMs, out, instance, parameters } = this.#core;
    const own = this.own;
    if (own === undefined || (this.#heardBy[member] ?? 0) >= own.counter) return;
    if (nowMs - (this.#toldMs[member] ?? Number.NEGATIVE_INFINITY) < parameters.timeoutMs) return;
    this.#toldMs[member] = nowMs;
    const { counter, forgotten } = own;
    out.send(this.#core.replica(member), 'newKey', own);
    out.send(this.#core.replica(member), 'queryStable', { instance, counter, forgotten });
  }

  /** What a member answers shows that it knows this change of keys. */
  onHeard(member: number, counter: number): void {
    this.#heardBy[member] = Math.max(counter, this.#heardBy[member] ?? 0);
  }

  #tell(to: number, counter: number): void {
    const { out, instance } = this.#core;
    // Who has lost its disk would take keys that others have changed since, and has forgotten which of them had lost theirs.
    const hasForgotten = counter > 0 && this.forgottenBy(to) > 0;
    for (const message of hasForgotten ? this.#newest : []) {
      if (message === undefined || message.replica === to) continue;
      out.send(this.#core.replica(to), 'newKey', message);
    }
    out.send(this.#core.replica(to), 'replyStable', { instance, counter, ...this.reported() });
  }

  /** Of itself. The newest checkpoint taken, not only the newest stable one: so a stable one is never above it. */
  reported(): Reported {
    const { log, parts, view } = this.#core;
    const checkpoint = parts.checkpoints.taken;
    return { checkpoint, prepared: Math.max(log.preparedTop, checkpoint), view };
  }

  *records(): Generator<Bytes> {
    for (const message of this.#newest) {
      if (message !== undefined) yield encodeRecord('newKey', message);
    }
  }

  restore(message: NewKey): void {
    const { replica } = message;
    const { n, statements, out } = this.#core;
    // An intruder may have written it: it must not outlive him.
    if (replica >= n || !this.#isNewer(message)) return;
    if (!statements.isNewKey(message)) return out.count('new-key-not-signed');
    this.#newest[replica] = message;
  }
}

/** Nobody would take its channels. */
function behind(signed: number, made: number): HoldfastError {
  return new HoldfastError(
    'data-folder',
    `the signing module has signed ${signed} changes of keys, but this member has made ${made}`,
    {
      cure: "If the module's folder was made when the member had run already, start the member with its seed until the instance ends. If it is an older copy, put the newest back; without that the member needs a new identity, in the next group.",
    },
  );
}
