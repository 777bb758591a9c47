// Histories as JSON lines, one event a line, so that real processes can record while they run and be killed at any
// point. Several recordings become one history if their processes read one monotonic clock.

import type { HistoryEvent, Operation, OperationId, RecordedHistory } from './history.ts';

/** A recording that no recorder of ours can have written. */
export class RecordingDamaged extends Error {
  override readonly name = 'RecordingDamaged';
}

type Mutable = { -readonly [Key in keyof Operation]: Operation[Key] };

interface Sourced {
  readonly event: HistoryEvent;
  readonly where: string;
  readonly source: number;
}

export function eventToLine(event: HistoryEvent): string {
  return `${JSON.stringify(event)}\n`;
}

/** The events of a history as lines, in their order. `readRecordings` gives the same history back. */
export function* historyToLines(history: RecordedHistory): Generator<string> {
  const placed: Array<{ place: number; event: HistoryEvent }> = [];
  for (const { id, client, object, kind, value, outcome, ...at } of history.operations) {
    const call = { event: 'invoke', id, time: at.invokedAt, client, object } as const;
    placed.push({
      place: at.begin,
      event: kind === 'write' ? { ...call, kind, value } : { ...call, kind },
    });
    const answer = { id, time: at.endedAt };
    if (outcome === 'failed') {
      placed.push({ place: at.end, event: { event: 'fail', ...answer } });
    } else if (outcome === 'completed') {
      const result = kind === 'read' ? { value } : {};
      placed.push({ place: at.end, event: { event: 'complete', ...answer, ...result } });
    }
  }
  placed.sort((a, b) => a.place - b.place);
  for (const { event } of placed) yield eventToLine(event);
}

/**
 * Merges recordings into one history. A last line without its end is dropped: its process died while writing it, so
 * that answer never reached anyone. Between processes, events at one reading of the clock count as overlapping: the
 * checkers then never blame a system for the clock's grain.
 * @param recordings text of each recording; times of all of them must come from one clock.
 * @throws RecordingDamaged for anything but such lines, or answers to operations that are not under way.
 */
export function readRecordings(recordings: readonly string[]): RecordedHistory {
  const events = recordings.flatMap(readEvents);
  if (recordings.length > 1) events.sort(compareAcrossProcesses);
  const operations: Mutable[] = [];
  const open = recordings.map(() => new Map<number, Mutable>());
  const seen = recordings.map(() => new Set<number>());
  for (const [place, { event, where, source }] of events.entries()) {
    const ownOpen = open[source];
    const ownSeen = seen[source];
    if (ownOpen === undefined || ownSeen === undefined) continue;
    if (event.event === 'invoke') {
      if (ownSeen.has(event.id)) throw new RecordingDamaged(`${where}: operation invoked twice`);
      const operation = invoked(event, operations.length as OperationId, place);
      operations.push(operation);
      ownOpen.set(event.id, operation);
      ownSeen.add(event.id);
      continue;
    }
    const operation = ownOpen.get(event.id);
    if (operation === undefined) {
      throw new RecordingDamaged(`${where}: answer to an operation that is not under way`);
    }
    ownOpen.delete(event.id);
    answer(operation, event, place, where);
  }
  return { operations };
}

function invoked(
  event: HistoryEvent & { event: 'invoke' },
  id: OperationId,
  place: number,
): Mutable {
  return {
    id,
    client: event.client,
    object: event.object,
    kind: event.kind,
    value: event.kind === 'write' ? event.value : null,
    outcome: 'unknown',
    invokedAt: event.time,
    endedAt: Number.POSITIVE_INFINITY,
    begin: place,
    end: Number.POSITIVE_INFINITY,
  };
}

function answer(
  operation: Mutable,
  event: HistoryEvent & { event: 'complete' | 'fail' },
  place: number,
  where: string,
): void {
  if (event.time < operation.invokedAt) {
    throw new RecordingDamaged(`${where}: answered before it was invoked`);
  }
  operation.endedAt = event.time;
  operation.end = place;
  operation.outcome = event.event === 'fail' ? 'failed' : 'completed';
  if (event.event !== 'complete') return;
  if ((operation.kind === 'read') !== (event.value !== undefined)) {
    throw new RecordingDamaged(`${where}: a read has a result, a write has none`);
  }
  if (event.value !== undefined) operation.value = event.value;
}

/** By time; at equal times invocations first, which makes the operations overlap. */
function compareAcrossProcesses(a: Sourced, b: Sourced): number {
  if (a.event.time !== b.event.time) return a.event.time - b.event.time;
  return Number(a.event.event !== 'invoke') - Number(b.event.event !== 'invoke');
}

function readEvents(text: string, source: number): Sourced[] {
  const lines = text.split('\n');
  // After a complete last line this is the empty string; otherwise a line cut short.
  lines.pop();
  let timeLast = Number.NEGATIVE_INFINITY;
  return lines.map((line, index) => {
    const where = `recording ${source + 1}, line ${index + 1}`;
    const event = readEvent(line, where);
    if (event.time < timeLast) throw new RecordingDamaged(`${where}: time ran backwards`);
    timeLast = event.time;
    return { event, where, source };
  });
}

function readEvent(line: string, where: string): HistoryEvent {
  const fields = parseRecord(line, where);
  const { event, id, time, client, object, kind, value } = fields;
  const isNumbered = typeof id === 'number' && Number.isSafeInteger(id) && id >= 0;
  if (!isNumbered || typeof time !== 'number' || !Number.isFinite(time)) {
    throw new RecordingDamaged(`${where}: no id or time`);
  }
  if (event === 'fail') return { event, id, time };
  if (event === 'complete' && value === undefined) return { event, id, time };
  if (event === 'complete' && isValue(value)) return { event, id, time, value };
  if (event === 'invoke' && typeof client === 'string' && typeof object === 'string') {
    if (kind === 'read') return { event, id, time, client, object, kind };
    if (kind === 'write' && isValue(value)) return { event, id, time, client, object, kind, value };
  }
  throw new RecordingDamaged(`${where}: not an event of a history`);
}

function parseRecord(line: string, where: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw new RecordingDamaged(`${where}: not JSON`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null) {
    throw new RecordingDamaged(`${where}: not an event of a history`);
  }
  return { ...parsed };
}

function isValue(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}
