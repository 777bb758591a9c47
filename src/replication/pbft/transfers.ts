// Fetches the state of a stable checkpoint when this member's is missing or damaged. Meanwhile it votes like any other,
// because agreement needs no state, but executes and answers nothing.

import { hashSizeBytes } from '../../crypto/hash.ts';
import type { Certificate } from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { PagedState } from '../pages.ts';
import { StateTransfer, type TransferStep } from '../transfer.ts';
import { answerFetch } from '../transfer-answer.ts';
import type { Core } from './core.ts';

export const transferTimer = 'transfer';
export const lateTimer = 'late-fetches';

/** Questions for pages that one member may have waiting here; an honest one has two. */
const lateFetchesMax = 4;

export class Transfers {
  readonly #core: Core;
  #transfer: StateTransfer | undefined;
  #certificate: Certificate | undefined;
  /** Pages that nobody else uses, which the running transfer compares with: what is right of them becomes the state. */
  #held: PagedState | undefined;
  #started = 0;
  /** Questions of members that have had their share of this interval. */
  readonly #late: ReplicationMessageValue<'fetchState'>[][];
  #isLateAwaited = false;

  constructor(core: Core) {
    this.#core = core;
    this.#late = core.group.members.map(() => []);
  }

  get isRunning(): boolean {
    return this.#transfer !== undefined;
  }

  /** Sequence of the state that a running transfer goes for. */
  get target(): number | undefined {
    return this.#transfer === undefined ? undefined : this.#certificate?.sequence;
  }

  /** Share that is here, 0 … 1; undefined while none is running. */
  get progress(): number | undefined {
    return this.#transfer?.progress();
  }

  /**
   * Goes for the state that this certificate proves, or that f+1 members have stated (then it has no signatures); what a running transfer has
   * fetched is used.
   * @param local pages that need not be fetched where they are right; unless given, those in use.
   */
  fetch(certificate: Certificate, local: PagedState = this.#core.executor.state): void {
    this.#begin(certificate, local);
  }

  /**
   * Compares pages with those that this certificate proves and fetches what differs; the state in use stays until then.
   * Costs little where their digests were made before.
   * @param held nobody else has them.
   */
  replace(certificate: Certificate, held: PagedState): void {
    this.#held = held;
    this.#begin(certificate, held);
  }

  #begin(certificate: Certificate, local: PagedState): void {
    const core = this.#core;
    const { sequence, root } = certificate;
    const target = { sequence, root };
    this.#certificate = certificate;
    if (this.#transfer !== undefined) {
      this.#apply(this.#transfer.retarget(target, core.nowMs));
      return;
    }
    core.parts.execution.undo();
    core.out.count('transfer-started');
    this.#started += 1;
    const sources = core.group.members.map((_, i) => i).filter((i) => i !== core.index);
    this.#transfer = new StateTransfer({
      instance: core.instance,
      target,
      local,
      sources,
      seed: core.index + core.n * this.#started,
      timeoutMs: core.parameters.timeoutMs,
    });
    this.#apply(this.#transfer.begin(core.nowMs));
  }

  onPart(from: number, part: ReplicationMessageValue<'statePart'>): void {
    const { nowMs, out } = this.#core;
    if (this.#transfer === undefined) return out.count('transfer-unasked');
    this.#apply(this.#transfer.onPart(from, part, nowMs));
  }

  /** All channels were closed, and the one with this member is there again. */
  onReached(member: number): void {
    if (this.#transfer !== undefined)
      this.#apply(this.#transfer.onReached(member, this.#core.nowMs));
  }

  onTimer(): void {
    if (this.#transfer !== undefined) this.#apply(this.#transfer.onTimer(this.#core.nowMs));
  }

  #apply({ sends, timerAtMs, counts }: TransferStep): void {
    const { out } = this.#core;
    for (const send of sends) out.forward(send);
    for (const code of counts) out.count(code);
    out.timer(transferTimer, timerAtMs);
    if (this.#transfer?.isComplete === true) this.#install(this.#transfer);
  }

  /** Everything was checked against the agreed root, so the state is right; only then is it used. */
  #install({ result }: StateTransfer): void {
    const { executor, out, parts } = this.#core;
    const certificate = this.#certificate;
    if (certificate === undefined) return;
    const { sequence, root, isFinal } = certificate;
    const state = this.#held ?? new PagedState();
    state.become(result);
    this.#transfer = undefined;
    this.#held = undefined;
    if (!executor.install(state, { sequence, root, isEnded: isFinal === 1 })) {
      // Pages in memory were not what their digests said: these are made anew.
      out.count('transfer-wrong-root');
      this.fetch(certificate, state);
      return;
    }
    out.count('transfer-done');
    parts.execution.jumpTo(sequence);
    parts.checkpoints.onInstalled(certificate);
    parts.clientRequests.dropAnswered();
    parts.viewTimer.onTransferred();
    parts.recovery.onInstalled();
    parts.execution.run();
    parts.queries.onExecuted();
  }

  // ---- Answering ----

  /** Who has had much in this interval is answered in the next one, so that it need not ask again. */
  onFetch(from: number, fetch: ReplicationMessageValue<'fetchState'>): void {
    const { out, parts, nowMs, parameters } = this.#core;
    if (!parts.statusExchange.maySpend(from, 'fetchState')) return out.count('peer-too-eager');
    const late = this.#late[from];
    const hasWaiting = late !== undefined && late.length > 0;
    if (!hasWaiting && parts.statusExchange.maySend(from, 'state')) return this.#reply(from, fetch);
    if (late === undefined || late.length >= lateFetchesMax) return out.count('peer-too-eager');
    late.push(fetch);
    out.count('fetch-late');
    if (this.#isLateAwaited) return;
    this.#isLateAwaited = true;
    out.timer(lateTimer, nowMs + parameters.statusIntervalMs);
  }

  onLateTimer(): void {
    const { out, parts, nowMs, parameters } = this.#core;
    let isMore = false;
    this.#late.forEach((late, from) => {
      while (late.length > 0 && parts.statusExchange.maySend(from, 'state')) {
        const fetch = late.shift();
        if (fetch !== undefined) this.#reply(from, fetch);
      }
      if (late.length > 0) isMore = true;
    });
    this.#isLateAwaited = isMore;
    if (isMore) out.timer(lateTimer, nowMs + parameters.statusIntervalMs);
  }

  #reply(to: number, fetch: ReplicationMessageValue<'fetchState'>): void {
    const { out, executor, parts } = this.#core;
    const part = answerFetch(executor.state, fetch);
    parts.statusExchange.noteSent(to, 'state', partSizeBytes(part));
    out.sendUrgently(this.#core.replica(to), 'statePart', part);
  }
}

function partSizeBytes({ nodes, pages }: ReplicationMessageValue<'statePart'>): number {
  let sizeBytes = 0;
  for (const { children } of nodes) sizeBytes += hashSizeBytes * children.length;
  for (const { bytes } of pages) sizeBytes += bytes[0]?.length ?? 0;
  return sizeBytes;
}
