// A replicated key-value store: get, put, delete, compare-and-set and ordered scans. It knows nothing of how it is
// replicated; its operations are deterministic, its state is all in pages, and its errors are results.

import type { PageStore, StateMachine } from 'holdfast/replication';
import { type Bytes, equalBytes } from './bytes.ts';
import {
  decodeOperation,
  type Entry,
  encodeResult,
  isStop,
  type Operation,
  type Result,
  readsOnly,
} from './codec.ts';
import { Tree } from './tree.ts';

/** What one result may hold at most. */
const resultSizeBytesMax = 64 * 1024;

const done = encodeResult({ kind: 'done' });
const absent = encodeResult({ kind: 'absent' });
const malformed = encodeResult({ kind: 'refused', reason: 'malformed' });
const full = encodeResult({ kind: 'refused', reason: 'full' });

export class KeyValueStore implements StateMachine {
  #tree: Tree | undefined;

  load(pages: PageStore): void {
    this.#tree = new Tree(pages);
  }

  execute(operation: Bytes): Bytes {
    const decoded = decodeOperation(operation);
    if (decoded === undefined || this.#tree === undefined) return malformed;
    return apply(this.#tree, decoded);
  }

  query(operation: Bytes): Bytes {
    return this.execute(operation);
  }

  isQuery(operation: Bytes): boolean {
    return readsOnly(operation);
  }

  isStop(operation: Bytes): boolean {
    return isStop(operation);
  }
}

function apply(tree: Tree, operation: Operation): Bytes {
  switch (operation.kind) {
    case 'get': {
      const value = tree.get(operation.key);
      return value === undefined ? absent : encodeResult({ kind: 'value', value });
    }
    case 'put':
      if (tree.isFull) return full;
      tree.set(operation.key, operation.value);
      return done;
    case 'delete':
      tree.delete(operation.key);
      return done;
    case 'compare-and-set':
      return compareAndSet(tree, operation);
    case 'scan':
      return encodeResult(scan(tree, operation.from, operation.limit));
    case 'stop':
      return done;
  }
}

function compareAndSet(
  tree: Tree,
  { key, expected, value }: Extract<Operation, { kind: 'compare-and-set' }>,
): Bytes {
  const current = tree.get(key);
  const isEqual =
    current === undefined || expected === undefined
      ? current === expected
      : equalBytes(current, expected);
  if (!isEqual) return encodeResult({ kind: 'differs', current });
  if (tree.isFull) return full;
  tree.set(key, value);
  return done;
}

/** As many entries as were asked for and as one result holds. */
function scan(tree: Tree, from: Bytes, limit: number): Result {
  const entries: Entry[] = [];
  let roomBytes = resultSizeBytesMax - 2;
  const isComplete = tree.scan(from, (entry) => {
    roomBytes -= 4 + entry.key.length + entry.value.length;
    if (entries.length === limit || roomBytes < 0) return false;
    entries.push(entry);
    return true;
  });
  return { kind: 'entries', entries, isComplete };
}
