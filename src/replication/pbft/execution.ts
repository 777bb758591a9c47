// Executes committed batches in order, and at most once per client and number; one batch deep also tentatively, as soon
// as it is prepared (PBFT, 5.1), to be undone if the view changes.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { Batch } from './batch.ts';
import type { Core } from './core.ts';
import { encodeRecord } from './records.ts';
import type { Slot } from './slot.ts';

export class Execution {
  readonly #core: Core;
  /** The last batch executed for good. */
  #executed = 0;
  /** Digest of the batch executed tentatively on top of it. */
  #tentative: Bytes | undefined;
  /** How many requests of that one had not been executed before. */
  #tentativelyExecuted = 0;
  /** Digests of batches executed and not yet recorded as such: they go along with the next records. */
  #unrecorded: Bytes[] = [];
  /** Highest batch known to be committed. */
  #committed = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  get executed(): number {
    return this.#executed;
  }

  get committed(): number {
    return Math.max(this.#committed, this.#executed);
  }

  /** Whether the pages hold what is not committed. */
  get isAhead(): boolean {
    return this.#tentative !== undefined;
  }

  /** A batch is known to be committed: by COMMITs, or because f+1 members say so. */
  commit(slot: Slot, digest: Bytes): void {
    slot.committed = digest;
    this.#committed = Math.max(this.#committed, slot.sequence);
    this.run();
  }

  /** Executes what is next, committed and here. */
  run(): void {
    const core = this.#core;
    while (!core.parts.transfers.isRunning) {
      const sequence = this.#executed + 1;
      const digest = core.log.slot(sequence)?.committed;
      if (digest === undefined) break;
      const batch = core.log.batchAt(sequence, digest);
      if (batch === undefined) {
        core.parts.bodies.want(digest, sequence);
        break;
      }
      this.#settle(sequence, digest, batch);
    }
    this.executeTentatively();
  }

  #settle(sequence: number, digest: Bytes, batch: Batch): void {
    const core = this.#core;
    let executed = 0;
    if (this.#tentative !== undefined && equalBytes(this.#tentative, digest)) {
      core.executor.keep();
      this.#tentative = undefined;
      executed = this.#tentativelyExecuted;
      for (const { request } of batch.requests) core.queue.remove(request.client, request.number);
    } else {
      this.undo();
      executed = this.#execute(sequence, batch, false);
    }
    this.#executed = sequence;
    if (this.#unrecorded.length === limits.pbftWindowMax) this.#unrecorded = [];
    this.#unrecorded.push(digest);
    if (executed > 0) core.parts.viewTimer.onProgress();
    core.parts.checkpoints.onExecuted(sequence);
    core.parts.queries.onExecuted();
  }

  /** Executes the batch after the last one if it is prepared, everything before it is for good and it can be undone. */
  executeTentatively(): void {
    const core = this.#core;
    const { executor, parameters, log, parts } = core;
    if (!parameters.isTentative || this.#tentative !== undefined) return;
    if (!core.isActive || executor.ended || parts.transfers.isRunning) return;
    const sequence = this.#executed + 1;
    const slot = log.slot(sequence);
    const digest = slot?.accepted;
    if (slot === undefined || digest === undefined || !slot.isPrepared) return;
    const batch = log.batchAt(sequence, digest);
    if (batch === undefined) return;
    // Nothing that cannot be taken back: the end of the instance is executed when it is committed.
    if (batch.requests.some(({ request }) => executor.isStop(request))) return;
    executor.mark();
    this.#tentativelyExecuted = this.#execute(sequence, batch, true);
    this.#tentative = digest;
  }

  /** Takes tentative execution back: before leaving a view and before the state is replaced. */
  undo(): void {
    if (this.#tentative === undefined) return;
    this.#core.executor.undo();
    this.#tentative = undefined;
  }

  /** @returns how many requests had not been executed before. */
  #execute(sequence: number, batch: Batch, isTentative: boolean): number {
    const { executor, queue, parts } = this.#core;
    let executed = 0;
    for (const { request } of batch.requests) {
      const { outcome, result, isNew } = executor.execute(request, batch.agreed, sequence);
      if (isNew) executed += 1;
      const queued = isTentative
        ? queue.find(request.client, request.number)
        : queue.remove(request.client, request.number);
      parts.clientRequests.reply(request, outcome, result, {
        sequence,
        isTentative,
        fullReplier: queued?.fullReplier,
      });
    }
    return executed;
  }

  // ---- Records ----

  /** Notes what was executed along with other records, so that it costs no write of its own. */
  recordExecuted(): void {
    const digests = this.#unrecorded;
    if (digests.length === 0 || !this.#core.out.hasRecords) return;
    const first = this.#executed - digests.length + 1;
    this.#unrecorded = [];
    this.#core.out.record(encodeRecord('executed', { first, digests }));
  }

  /** The state was replaced by that of a checkpoint. */
  jumpTo(sequence: number): void {
    this.#executed = sequence;
    this.#unrecorded = [];
  }

  /** Executes batches recorded as executed again, without replies, as far as their bodies are here. */
  replay(digests: ReadonlyMap<number, Bytes>, bodies: (digest: Bytes) => Batch | undefined): void {
    const { executor, log, parts } = this.#core;
    for (;;) {
      const sequence = this.#executed + 1;
      const digest = digests.get(sequence);
      const batch = digest === undefined ? undefined : bodies(digest);
      if (digest === undefined || batch === undefined) return;
      for (const { request } of batch.requests) executor.execute(request, batch.agreed, sequence);
      this.#executed = sequence;
      const slot = log.slotAt(sequence);
      if (slot !== undefined) slot.committed = digest;
      parts.checkpoints.onExecuted(sequence);
    }
  }

  /** Digests of the batches above the last saved checkpoint, for a journal that begins anew. */
  *executedRecords(above: number): Generator<Bytes> {
    const digests: Bytes[] = [];
    let first = above + 1;
    for (let sequence = first; sequence <= this.#executed; sequence++) {
      const digest = this.#core.log.slot(sequence)?.committed;
      if (digest === undefined) {
        first = sequence + 1;
        digests.length = 0;
      } else digests.push(digest);
    }
    if (digests.length > 0) yield encodeRecord('executed', { first, digests });
  }
}
