// Goes on where a replica's disk says that it was: nothing that it has said is forgotten, so after a restart it is merely
// slow. Records may be the newest ones or some of the oldest again; they are taken in order and the latest view wins.

import { type Bytes, equalBytes, mapKey } from '../../base/bytes.ts';
import {
  type Certificate,
  CheckpointNotes,
  type NewView,
  type ViewChange,
} from '../../wire/pbft.ts';
import { decodeAs } from '../../wire/registry.ts';
import type { Restored, SavedCheckpoint } from '../contract.ts';
import { PagedState } from '../pages.ts';
import { requestDigest } from '../requests.ts';
import { type Batch, batchDigest, isNull, nullBatch } from './batch.ts';
import type { Core } from './core.ts';
import { decodeRecord, type PbftRecord } from './records.ts';

interface Placed {
  readonly sequence: number;
  readonly digest: Bytes;
  readonly view: number;
}

interface KeptBody {
  readonly batch: Batch;
  readonly digest: Bytes;
  readonly record: Bytes;
}

/** What the records add up to. */
class Recollection {
  certificate: Certificate | undefined;
  readonly accepted: Placed[] = [];
  readonly prepared = new Map<number, Placed>();
  readonly executed = new Map<number, Bytes>();
  readonly bodies = new Map<string, KeptBody>();
  readonly #core: Core;
  #support: ViewChange[] = [];
  /** The highest sequence at which a digest is known. */
  readonly #until = new Map<string, number>();

  constructor(core: Core) {
    this.#core = core;
  }

  take(record: PbftRecord, bytes: Bytes): void {
    switch (record.name) {
      case 'accepted':
        this.#place(record.value.sequence, record.value.digest);
        this.accepted.push(record.value);
        return;
      case 'prepared': {
        this.#place(record.value.sequence, record.value.digest);
        this.#prepare(record.value);
        return;
      }
      case 'body': {
        const { requests, agreed } = record.value;
        const { instance } = this.#core;
        const digests = requests.map(({ request }) => requestDigest(instance, request));
        const digest = batchDigest(digests, agreed);
        const batch = { requests, digests, agreed };
        this.bodies.set(mapKey(digest), { batch, digest, record: bytes });
        return;
      }
      case 'executed':
        record.value.digests.forEach((digest, i) => {
          this.#place(record.value.first + i, digest);
          this.executed.set(record.value.first + i, digest);
        });
        return;
      case 'stable':
        if (record.value.sequence > (this.certificate?.sequence ?? 0)) {
          this.certificate = record.value;
        }
        return;
      case 'supportedView':
        this.#support.push(record.value);
        return;
      case 'leftView':
        this.#leave(record.value);
        return;
      case 'enteredView':
        this.#enter(record.value);
        return;
      case 'newKey':
        this.#core.parts.recovery.keys.restore(record.value);
        return;
      case 'voted':
        this.#core.parts.checkpoints.restoreVoted(record.value.sequence);
        return;
      case 'doubted':
        this.#core.parts.viewChanges.restoreDoubted(record.value.view);
        return;
      case 'recovered':
        this.#core.parts.recovery.restoreRecovered(record.value);
        return;
    }
  }

  #prepare(placed: Placed): void {
    const known = this.prepared.get(placed.sequence);
    if (known === undefined || known.view <= placed.view)
      this.prepared.set(placed.sequence, placed);
  }

  #leave(message: ViewChange): void {
    this.#support = [];
    const { view, prepared, accepted } = message.statement;
    if (view < this.#core.view) return;
    for (const placed of prepared) this.#prepare(placed);
    this.accepted.push(...accepted);
    for (const { sequence, digest } of accepted) this.#place(sequence, digest);
    this.#core.parts.viewChanges.restoreLeft(message);
  }

  #enter(message: NewView): void {
    const { view, height, batches } = message.statement;
    batches.forEach((digest, i) => {
      this.#place(height + 1 + i, digest);
    });
    if (view >= this.#core.view) {
      this.#core.parts.newViews.restoreEntered(message, this.#support);
    }
    this.#support = [];
  }

  #place(sequence: number, digest: Bytes): void {
    const key = mapKey(digest);
    this.#until.set(key, Math.max(this.#until.get(key) ?? 0, sequence));
  }

  /** Up to where a body may be needed; to the end of the window if nothing says. */
  until(digest: Bytes): number {
    const { height, window } = this.#core.log;
    return this.#until.get(mapKey(digest)) ?? height + window;
  }

  batch(digest: Bytes): Batch | undefined {
    return isNull(digest) ? nullBatch : this.bodies.get(mapKey(digest))?.batch;
  }
}

const firstStart: Restored = { checkpoint: undefined, records: [], damage: [] };

export function restore(core: Core, restored: Restored = firstStart): void {
  const { checkpoint, records, damage, hasForgotten } = restored;
  core.parts.checkpoints.noteDamage(damage);
  const wrong = checkpoint === undefined ? undefined : restoreCheckpoint(core, checkpoint);
  // Without saved pages this replica is where the instance began, if that was with none.
  const hasNothing = core.parts.execution.executed === 0;
  const isLost = hasNothing && !equalBytes(core.executor.state.rootNow(), core.genesis);
  const recollection = new Recollection(core);
  for (const bytes of records) {
    const record = decodeRecord(bytes);
    if (record === undefined) core.out.count('record-invalid');
    else recollection.take(record, bytes);
  }
  const { log, parts } = core;
  parts.recovery.onRestored(hasForgotten === true);
  if (recollection.certificate !== undefined) log.raise(recollection.certificate);
  for (const { sequence, digest, view } of recollection.accepted) {
    if (log.isInWindow(sequence)) log.markAccepted(sequence, digest, view);
  }
  for (const { sequence, digest, view } of recollection.prepared.values()) {
    if (log.isInWindow(sequence)) log.markPrepared(sequence, digest, view);
  }
  for (const { batch, digest, record } of recollection.bodies.values()) {
    const until = recollection.until(digest);
    if (until > log.height) log.keepBody(digest, batch, record, until);
  }
  // From the saved checkpoint on: what the journal still has makes fetching state unnecessary.
  if (!isLost) {
    parts.execution.replay(recollection.executed, (digest) => recollection.batch(digest));
  }
  resumeView(core);
  if (!isLost) parts.checkpoints.resume();
  if (isLost || parts.execution.executed < log.height) {
    parts.transfers.fetch(log.certificate, wrong);
  }
  parts.newViews.resume();
}

/** @returns the pages if they are not those that were saved: what of them is right need not be fetched. */
function restoreCheckpoint(core: Core, checkpoint: SavedCheckpoint): PagedState | undefined {
  const { sequence, root, notes, pages } = checkpoint;
  const { checkpoints, execution } = core.parts;
  const decoded = decodeAs(CheckpointNotes, notes);
  const isFinal = decoded?.isFinal === 1;
  const { state, found } = PagedState.sift(pages);
  checkpoints.noteDamage(found);
  checkpoints.onFound({ sequence, root, isFinal });
  const agreed = sequence === 0 ? core.genesis : root;
  if (!core.executor.install(state, { sequence, root: agreed, isEnded: isFinal })) {
    checkpoints.noteDamage(['disk-pages-differ']);
    return state;
  }
  execution.jumpTo(sequence);
  checkpoints.onRestored({ sequence, root, isFinal });
  return undefined;
}

/** Rebuilds the slots of the view, if it is active, before anything is accepted in it. */
function resumeView(core: Core): void {
  const { log, view, newViewTop, parts } = core;
  if (!core.isActive) {
    parts.normalCase.enterView(newViewTop);
    return;
  }
  const prepared = new Map(log.preparedEntries().map((entry) => [entry.sequence, entry]));
  let top = newViewTop;
  const own: { sequence: number; digest: Bytes; isPrepared: boolean }[] = [];
  for (const { sequence, digest, view: at } of log.acceptedEntries()) {
    if (at !== view) continue;
    top = Math.max(top, sequence);
    const last = prepared.get(sequence);
    own.push({ sequence, digest, isPrepared: last?.view === view });
  }
  parts.normalCase.enterView(top);
  for (const { sequence, digest, isPrepared } of own) {
    const slot = log.slotAt(sequence);
    if (slot === undefined) continue;
    const batch = log.batchAt(sequence, digest);
    if (batch !== undefined && sequence > parts.execution.executed) {
      parts.normalCase.learnBatch(batch);
    }
    parts.normalCase.restore(slot, digest, isPrepared);
  }
}
