// Goes through the tree of a content in order, one path of nodes in memory. The number of steps is bounded by the
// length that the root states, the depth by that length's logarithm; nothing else in a block can prolong the walk.

import type { Bytes } from '../../base/bytes.ts';
import { toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import {
  childCount,
  childSpanBytes,
  decodeNode,
  decodeRoot,
  type Root,
  standardShape,
  type TreeFault,
  type TreeShape,
} from './node.ts';
import { Scope } from './scope.ts';
import type { BlockStore } from './store.ts';

/** One block of a tree, and which bytes of the content lie in it or below it. */
export interface Part {
  readonly kind: 'root' | 'node' | 'data';
  readonly id: Bytes;
  readonly offset: number;
  /** 0 for the root: it is given out before it is read. */
  readonly lengthBytes: number;
}

export interface WalkOptions {
  readonly signal: AbortSignal;
  /** Told the length of the whole content, in bytes, as soon as it is known. */
  readonly onLength?: (lengthBytes: number) => void;
  readonly shape?: TreeShape;
}

/**
 * Every block of a content: each node before what lies below it, data in order of offset. A node is fetched after it
 * has been given out, so a node that cannot be had is the last part before the error. Equal blocks come as often as
 * they occur.
 * @throws HoldfastError as `BlockStore.get`; `verification-failed` if the blocks are not a tree.
 */
export async function* walkContent(
  rootId: Bytes,
  store: BlockStore,
  options: WalkOptions,
): AsyncGenerator<Part, void, undefined> {
  const shape = options.shape ?? standardShape;
  const scope = new Scope(options.signal);
  try {
    scope.throwIfFailed();
    yield { kind: 'root', id: rootId, offset: 0, lengthBytes: 0 };
    const root = await fetchRoot(rootId, store, scope, shape);
    options.onLength?.(root.length);
    for await (const part of partsOf(root, store, scope, shape)) {
      scope.throwIfFailed();
      yield part;
    }
  } finally {
    scope.close();
  }
}

interface Level {
  readonly children: readonly Bytes[];
  next: number;
  readonly height: number;
  readonly offset: number;
  readonly end: number;
}

/** The parts below a root. */
export async function* partsOf(
  root: Root,
  store: BlockStore,
  scope: Scope,
  shape: TreeShape,
): AsyncGenerator<Part, void, undefined> {
  const path: Level[] = [
    { children: root.children, next: 0, height: root.depth, offset: 0, end: root.length },
  ];
  for (let level = path.at(-1); level !== undefined; level = path.at(-1)) {
    const id = level.children[level.next];
    if (id === undefined) {
      path.pop();
      continue;
    }
    const spanBytes = childSpanBytes(level.height, shape);
    const offset = level.offset + level.next * spanBytes;
    const lengthBytes = Math.min(spanBytes, level.end - offset);
    level.next += 1;
    if (level.height === 1) {
      yield { kind: 'data', id, offset, lengthBytes };
      continue;
    }
    const part: Part = { kind: 'node', id, offset, lengthBytes };
    yield part;
    const height = level.height - 1;
    const data = await fetchPart(part, store, scope);
    const children = decodeNode(data, childCount(lengthBytes, height, shape));
    if (typeof children === 'string') throw badPart(part, children);
    path.push({ children, next: 0, height, offset, end: offset + lengthBytes });
  }
}

/** @throws HoldfastError as `BlockStore.get`; `verification-failed` if the block is not a root. */
export async function fetchRoot(
  rootId: Bytes,
  store: BlockStore,
  scope: Scope,
  shape: TreeShape,
): Promise<Root> {
  const root = decodeRoot(await scope.until(store.get(rootId, scope.signal)), shape);
  if (typeof root !== 'string') return root;
  throw new HoldfastError('verification-failed', rootFaultText(root), {
    cure: rootFaultCure(root),
    details: { block: toHex(rootId), fault: root },
  });
}

/** The bytes of a part below the root; an error says which bytes of the content are concerned. */
export async function fetchPart(part: Part, store: BlockStore, scope: Scope): Promise<Bytes> {
  let data: Bytes;
  try {
    data = await scope.until(store.get(part.id, scope.signal));
  } catch (error) {
    scope.throwIfFailed();
    throw error instanceof HoldfastError ? atPart(error, part) : error;
  }
  if (part.kind === 'data' && data.length !== part.lengthBytes) throw badPart(part, 'bad-length');
  return data;
}

function rangeText(part: Part): string {
  return `bytes ${part.offset} to ${part.offset + part.lengthBytes - 1} of the content`;
}

function partDetails(part: Part): Record<string, unknown> {
  return { block: toHex(part.id), offset: part.offset, lengthBytes: part.lengthBytes };
}

function atPart(error: HoldfastError, part: Part): HoldfastError {
  return new HoldfastError(error.code, `cannot read ${rangeText(part)}: ${error.message}`, {
    ...(error.cure === undefined ? {} : { cure: error.cure }),
    details: { ...error.details, ...partDetails(part) },
    cause: error,
  });
}

function badPart(part: Part, fault: TreeFault): HoldfastError {
  return new HoldfastError(
    'verification-failed',
    `the block for ${rangeText(part)} is not one that belongs there`,
    {
      cure: 'The content was not stored by correct software. Ask its author to store it again.',
      details: { ...partDetails(part), fault },
    },
  );
}

function rootFaultText(fault: TreeFault): string {
  if (fault === 'not-a-root') return 'the address names a block that is not the start of a content';
  if (fault === 'unknown-version')
    return 'the content was stored by a version of the software that is not known here';
  return 'the start of the content is not well formed';
}

function rootFaultCure(fault: TreeFault): string {
  if (fault === 'not-a-root')
    return 'Use the address that was printed when the content was stored.';
  if (fault === 'unknown-version') return 'Use a newer version of the software.';
  return 'The content was not stored by correct software. Ask its author to store it again.';
}
