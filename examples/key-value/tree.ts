// A B+-tree in numbered pages. Page 0 says where the tree begins; everything else that the tree knows is a cache of the
// pages. All choices (splits, joins, which page is taken next) follow from the pages alone.

import type { PageStore } from 'holdfast/replication';
import { type Bytes, bytesOfMapKey, mapKey } from './bytes.ts';
import type { Entry } from './codec.ts';
import {
  childIndex,
  decodeNode,
  emptyLeaf,
  encodeInner,
  type Inner,
  innerSizeBytes,
  joinLeaves,
  type Leaf,
  lowerBound,
  type Node,
  nodeSizeBytesMax,
  putEntry,
  removeEntry,
  splitLeaf,
  valueAt,
} from './nodes.ts';

/** Pages that a service may have. */
const pagesMax = 2 ** 24;
/** Decoded nodes kept; more are decoded again when needed. */
const cachedNodesMax = 65_536;
/** A node below this is joined with a neighbour if both fit well into one. */
const nodeSizeBytesMin = nodeSizeBytesMax / 4;
const joinedSizeBytesMax = (nodeSizeBytesMax * 3) / 4;
/** More than one insertion ever takes: three leaves and one inner node on each level. */
const reservedPages = 64;

/** One step of the way down: the inner node, its page, and which child was taken. */
interface Step {
  readonly page: number;
  readonly node: Inner;
  index: number;
}

export class Tree {
  readonly #pages: PageStore;
  readonly #cache = new Map<number, Node>();
  #root: number;
  #next: number;
  #free: number;

  constructor(pages: PageStore) {
    this.#pages = pages;
    const meta = pages.read(0);
    const view = meta && new DataView(meta.buffer, meta.byteOffset, meta.length);
    this.#root = view?.getUint32(0) ?? 0;
    this.#next = view?.getUint32(4) ?? 1;
    this.#free = view?.getUint32(8) ?? 0;
  }

  /** Whether there may be no room for another entry. */
  get isFull(): boolean {
    return this.#next > pagesMax - reservedPages;
  }

  get(key: Bytes): Bytes | undefined {
    if (this.#root === 0) return undefined;
    const text = mapKey(key);
    let node = this.#node(this.#root);
    while (node.kind === 'inner')
      node = this.#node(node.children[childIndex(node, text)] as number);
    const at = lowerBound(node.keys, text);
    return node.keys[at] === text ? valueAt(node, at) : undefined;
  }

  set(key: Bytes, value: Bytes): void {
    const text = mapKey(key);
    if (this.#root === 0) {
      this.#root = this.#allocate(emptyLeaf());
      this.#writeMeta();
    }
    const path: Step[] = [];
    const { page, leaf } = this.#descend(text, path);
    putEntry(leaf, lowerBound(leaf.keys, text), text, value);
    if (leaf.bytes.length <= nodeSizeBytesMax || leaf.keys.length === 1) {
      this.#pages.write(page, leaf.bytes);
      return;
    }
    const [first, ...others] = splitLeaf(leaf);
    this.#write(page, first as Leaf);
    const added = others.map((other) => ({
      key: other.keys[0] as string,
      page: this.#allocate(other),
    }));
    this.#insertAbove(path, page, added);
  }

  /** @returns whether the key was there. */
  delete(key: Bytes): boolean {
    if (this.#root === 0) return false;
    const text = mapKey(key);
    const path: Step[] = [];
    const { page, leaf } = this.#descend(text, path);
    const at = lowerBound(leaf.keys, text);
    if (leaf.keys[at] !== text) return false;
    removeEntry(leaf, at);
    if (leaf.keys.length === 0) {
      this.#release(page);
      this.#removeAbove(path);
      return true;
    }
    this.#pages.write(page, leaf.bytes);
    if (leaf.bytes.length < nodeSizeBytesMin) this.#join(path);
    return true;
  }

  /** Entries from `from` on, in order, until `take` says no. @returns whether there are no more. */
  scan(from: Bytes, take: (entry: Entry) => boolean): boolean {
    if (this.#root === 0) return true;
    const text = mapKey(from);
    const path: Step[] = [];
    let { leaf } = this.#descend(text, path);
    let at = lowerBound(leaf.keys, text);
    for (;;) {
      for (; at < leaf.keys.length; at++) {
        const entry = { key: bytesOfMapKey(leaf.keys[at] as string), value: valueAt(leaf, at) };
        if (!take(entry)) return false;
      }
      const next = this.#nextLeaf(path);
      if (next === undefined) return true;
      leaf = next;
      at = 0;
    }
  }

  #descend(key: string, path: Step[]): { page: number; leaf: Leaf } {
    let page = this.#root;
    let node = this.#node(page);
    while (node.kind === 'inner') {
      const index = childIndex(node, key);
      path.push({ page, node, index });
      page = node.children[index] as number;
      node = this.#node(page);
    }
    return { page, leaf: node };
  }

  #nextLeaf(path: Step[]): Leaf | undefined {
    let step = path.at(-1);
    while (step !== undefined && step.index + 1 >= step.node.children.length) {
      path.pop();
      step = path.at(-1);
    }
    if (step === undefined) return undefined;
    step.index += 1;
    let page = step.node.children[step.index] as number;
    let node = this.#node(page);
    while (node.kind === 'inner') {
      path.push({ page, node, index: 0 });
      page = node.children[0] as number;
      node = this.#node(page);
    }
    return node;
  }

  /** Puts new siblings of the node at the end of `path` into its parent, which may split in turn. */
  #insertAbove(path: Step[], below: number, added: readonly { key: string; page: number }[]): void {
    const step = path.pop();
    if (step === undefined) {
      const keys = added.map(({ key }) => key);
      const children = [below, ...added.map(({ page }) => page)];
      this.#root = this.#allocate({ kind: 'inner', keys, children });
      this.#writeMeta();
      return;
    }
    const { page, node, index } = step;
    node.keys.splice(index, 0, ...added.map(({ key }) => key));
    node.children.splice(index + 1, 0, ...added.map((each) => each.page));
    if (innerSizeBytes(node) <= nodeSizeBytesMax) {
      this.#write(page, node);
      return;
    }
    const middle = node.keys.length >>> 1;
    const right: Inner = {
      kind: 'inner',
      keys: node.keys.slice(middle + 1),
      children: node.children.slice(middle + 1),
    };
    const key = node.keys[middle] as string;
    node.keys.length = middle;
    node.children.length = middle + 1;
    this.#write(page, node);
    this.#insertAbove(path, page, [{ key, page: this.#allocate(right) }]);
  }

  /** Takes the child that `path` leads to out of its parent; what becomes empty goes too. */
  #removeAbove(path: Step[]): void {
    const step = path.pop();
    if (step === undefined) {
      this.#root = 0;
      this.#writeMeta();
      return;
    }
    const { page, node, index } = step;
    node.children.splice(index, 1);
    node.keys.splice(Math.max(index - 1, 0), 1);
    if (node.children.length === 0) {
      this.#release(page);
      this.#removeAbove(path);
    } else if (node.children.length === 1 && path.length === 0) {
      this.#release(page);
      this.#root = node.children[0] as number;
      this.#writeMeta();
      this.#lowerRoot();
    } else {
      this.#write(page, node);
    }
  }

  /** A root with one child is no use. */
  #lowerRoot(): void {
    for (;;) {
      const node = this.#node(this.#root);
      if (node.kind === 'leaf' || node.children.length > 1) return;
      this.#release(this.#root);
      this.#root = node.children[0] as number;
      this.#writeMeta();
    }
  }

  /** Joins the small leaf that `path` leads to with its right neighbour, or its left one, if both fit into one. */
  #join(path: Step[]): void {
    const step = path.at(-1);
    if (step === undefined) return;
    const { node, index } = step;
    const left = index + 1 < node.children.length ? index : index - 1;
    if (left < 0) return;
    const leftPage = node.children[left] as number;
    const rightPage = node.children[left + 1] as number;
    const [a, b] = [this.#node(leftPage), this.#node(rightPage)];
    if (a.kind !== 'leaf' || b.kind !== 'leaf') return;
    if (a.bytes.length + b.bytes.length > joinedSizeBytesMax) return;
    this.#write(leftPage, joinLeaves(a, b));
    this.#release(rightPage);
    step.index = left + 1;
    this.#removeAbove(path);
  }

  #node(page: number): Node {
    const known = this.#cache.get(page);
    if (known !== undefined) return known;
    const node = decodeNode(this.#pages.read(page) ?? emptyLeaf().bytes);
    this.#remember(page, node);
    return node;
  }

  #remember(page: number, node: Node): void {
    if (this.#cache.size >= cachedNodesMax) this.#cache.clear();
    this.#cache.set(page, node);
  }

  #write(page: number, node: Node): void {
    this.#remember(page, node);
    this.#pages.write(page, node.kind === 'leaf' ? node.bytes : encodeInner(node));
  }

  /** Takes a page: the one freed last, or a new one. */
  #allocate(node: Node): number {
    let page = this.#free;
    if (page === 0) {
      page = this.#next;
      this.#next += 1;
    } else {
      const freed = this.#pages.read(page) as Bytes;
      this.#free = new DataView(freed.buffer, freed.byteOffset, freed.length).getUint32(1);
    }
    this.#write(page, node);
    this.#writeMeta();
    return page;
  }

  #release(page: number): void {
    const freed = new Uint8Array(5);
    freed[0] = 2;
    new DataView(freed.buffer).setUint32(1, this.#free);
    this.#pages.write(page, freed);
    this.#cache.delete(page);
    this.#free = page;
    this.#writeMeta();
  }

  #writeMeta(): void {
    const meta = new Uint8Array(12);
    const view = new DataView(meta.buffer);
    view.setUint32(0, this.#root);
    view.setUint32(4, this.#next);
    view.setUint32(8, this.#free);
    this.#pages.write(0, meta);
  }
}
