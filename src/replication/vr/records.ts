// What a replica writes to its journal, and how it finds itself in it after a restart. A record is one byte that names
// its kind and an SSZ container.

import type { Bytes } from '../../base/bytes.ts';
import { decodeAs } from '../../wire/registry.ts';
import { VrAdoptRecord, VrEntryRecord, VrStateRecord } from '../../wire/vr.ts';
import { decodeEntry, type LogEntry, VrLog } from './log.ts';

const kinds = { state: 1, append: 2, stage: 3, adopt: 4 } as const;

function framed(kind: number, body: Bytes): Bytes {
  const record = new Uint8Array(1 + body.length);
  record[0] = kind;
  record.set(body, 1);
  return record;
}

export function stateRecord(state: VrStateRecord): Bytes {
  return framed(kinds.state, VrStateRecord.serialize(state));
}

export function adoptRecord(adopt: VrAdoptRecord): Bytes {
  return framed(kinds.adopt, VrAdoptRecord.serialize(adopt));
}

/** Kind, sequence and offset of an entry's record: VrEntryRecord written out, since every batch makes one. */
const entryHeaderSizeBytes = 1 + 8 + 4;

function entryRecord(kind: number, sequence: number, entry: Bytes): Bytes {
  const record = new Uint8Array(entryHeaderSizeBytes + entry.length);
  const view = new DataView(record.buffer);
  record[0] = kind;
  view.setUint32(1, sequence >>> 0, true);
  view.setUint32(5, Math.floor(sequence / 2 ** 32), true);
  view.setUint32(9, entryHeaderSizeBytes - 1, true);
  record.set(entry, entryHeaderSizeBytes);
  return record;
}

/** An entry at the end of the log. */
export function appendRecord(sequence: number, entry: Bytes): Bytes {
  return entryRecord(kinds.append, sequence, entry);
}

/** An entry of a log that an adopt record will make this replica's. */
export function stageRecord(sequence: number, entry: Bytes): Bytes {
  return entryRecord(kinds.stage, sequence, entry);
}

export interface RestoredLog {
  readonly state: VrStateRecord;
  readonly log: VrLog;
}

interface Replay {
  /** Undefined before the first record: a journal begins with a state record. */
  state: VrStateRecord | undefined;
  readonly log: VrLog;
  readonly staged: LogEntry[];
  stagedFirst: number;
}

/**
 * State and log that the records tell of, or undefined if they are not such as this module writes: then nothing that
 * this replica may have promised is known any more.
 * @param checkpoint the sequence of the saved checkpoint, 0 for none.
 */
export function replay(records: readonly Bytes[], checkpoint: number): RestoredLog | undefined {
  const replayed: Replay = {
    state: undefined,
    log: new VrLog(),
    staged: [],
    stagedFirst: 0,
  };
  for (const record of records) if (!replayRecord(replayed, record)) return undefined;
  const { log, state = { ...initial, base: checkpoint } } = replayed;
  // Entries that do not reach the checkpoint: the rest is in it.
  if (log.last < checkpoint) log.reset(checkpoint);
  return { state, log };
}

const initial = { view: 0, lastNormal: 0, hasLog: 1, low: 0, active: [] };

function replayRecord(replayed: Replay, record: Bytes): boolean {
  const body = record.subarray(1);
  // What a crash cut short before its adopt record never counts, nor does it join what is staged later.
  if (record[0] === kinds.state || record[0] === kinds.append) replayed.staged.length = 0;
  switch (record[0]) {
    case kinds.state:
      return replayState(replayed, body);
    case kinds.append:
      return replayAppend(replayed, body);
    case kinds.stage:
      return replayStage(replayed, body);
    default:
      return record[0] === kinds.adopt && replayAdopt(replayed, body);
  }
}

function replayState(replayed: Replay, body: Bytes): boolean {
  const state = decodeAs(VrStateRecord, body);
  if (state === undefined || state.view < (replayed.state?.view ?? 0)) return false;
  // The first one begins the journal. What a later one says to be forgotten was so: it may be void behind a checkpoint.
  if (replayed.state === undefined) replayed.log.reset(state.base);
  else replayed.log.dropTo(state.base);
  if (state.hasLog === 0) replayed.log.reset(state.low);
  replayed.state = state;
  return true;
}

function replayAppend({ log, state }: Replay, body: Bytes): boolean {
  const record = decodeAs(VrEntryRecord, body);
  const entry = record && decodeEntry(record.entry);
  if (record === undefined || entry === undefined || state === undefined) return false;
  if (record.sequence !== log.last + 1) return false;
  log.append(entry);
  return true;
}

function replayStage(replayed: Replay, body: Bytes): boolean {
  const record = decodeAs(VrEntryRecord, body);
  const entry = record && decodeEntry(record.entry);
  if (record === undefined || entry === undefined) return false;
  if (record.sequence !== replayed.stagedFirst + replayed.staged.length) {
    replayed.staged.length = 0;
    replayed.stagedFirst = record.sequence;
  }
  replayed.staged.push(entry);
  return true;
}

function replayAdopt(replayed: Replay, body: Bytes): boolean {
  const adopt = decodeAs(VrAdoptRecord, body);
  if (adopt === undefined || replayed.state === undefined) return false;
  const { log, staged } = replayed;
  const { view, keep, isReset, sequence, low, active } = adopt;
  if (isReset === 1) log.reset(keep);
  if (keep < log.first - 1 || keep > log.last) return false;
  const count = sequence - keep;
  if (count < 0 || (count > 0 && (replayed.stagedFirst !== keep + 1 || staged.length !== count))) {
    return false;
  }
  log.cutAbove(keep);
  if (count > 0) for (const entry of staged) log.append(entry);
  staged.length = 0;
  replayed.state = { view, lastNormal: view, hasLog: 1, base: log.first - 1, low, active };
  return true;
}
