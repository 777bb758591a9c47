import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';
import { taggedHash } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import type { PageChange, Region } from './contract.ts';
import { PagedState } from './pages.ts';

type Model = Map<string, Bytes>;

const placeOf = (region: Region, page: number): string => `${region}/${page}`;
const numbers = { service: 0, clients: 1 } as const;
const zero = new Uint8Array(32);
const u32 = (n: number): Bytes => Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);

/** The tree written down naively: all subtrees that hold something, from the pages up. */
function naiveRegionRoot(model: Model, region: Region): Bytes {
  let level = new Map<number, Bytes>();
  const tag = Uint8Array.of(numbers[region]);
  for (const [place, bytes] of model) {
    const [name, page] = place.split('/');
    if (name !== region) continue;
    level.set(Number(page), taggedHash('page', tag, u32(Number(page)), bytes));
  }
  for (let height = 1; height <= 3; height++) {
    const above = new Map<number, Bytes>();
    for (const index of new Set([...level.keys()].map((key) => key >>> 8))) {
      const children = Array.from({ length: 256 }, (_, i) => level.get(index * 256 + i) ?? zero);
      above.set(
        index,
        taggedHash('page-node', tag, Uint8Array.of(height), u32(index), concatBytes(...children)),
      );
    }
    level = above;
  }
  return level.get(0) ?? zero;
}

function naiveRoot(model: Model): string {
  return toHex(
    taggedHash('state-root', naiveRegionRoot(model, 'service'), naiveRegionRoot(model, 'clients')),
  );
}

function contentsOf(pages: Iterable<PageChange>): Record<string, string> {
  const contents: Record<string, string> = {};
  for (const { region, page, bytes } of pages) {
    contents[placeOf(region, page)] = bytes === undefined ? 'gone' : toHex(bytes);
  }
  return contents;
}

function modelContents(model: Model): Record<string, string> {
  return Object.fromEntries([...model].map(([place, bytes]) => [place, toHex(bytes)]));
}

const region = fc.constantFrom<Region>('service', 'clients');
/** Few pages, close to each other and far apart, so that steps meet. */
const page = fc.constantFrom(0, 1, 2, 255, 256, 257, 65_535, 65_536, 70_000, limits.pagesMax - 1);
const bytes = fc.option(fc.uint8Array({ maxLength: 5 }), { nil: undefined, freq: 4 });
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('write' as const), region, page, bytes }) },
  fc.record({ do: fc.constantFrom('mark' as const, 'undo', 'keep', 'checkpoint', 'root') }),
  fc.record({ do: fc.constantFrom('rollback' as const, 'drop', 'restore'), which: fc.nat(5) }),
);

/** PagedState beside maps that are copied whole. */
class Checker {
  readonly state = new PagedState();
  model: Model = new Map();
  readonly frozen = new Map<number, Model>();
  #marked: Model | undefined;
  #base: Model = new Map();
  #sequence = 0;

  run(each: typeof step extends fc.Arbitrary<infer T> ? T : never): void {
    switch (each.do) {
      case 'write': {
        this.state.region(each.region).write(each.page, each.bytes);
        const place = placeOf(each.region, each.page);
        if (each.bytes === undefined) this.model.delete(place);
        else this.model.set(place, each.bytes);
        expect(this.state.region(each.region).read(each.page)).toBe(each.bytes);
        return;
      }
      case 'mark':
        if (this.#marked !== undefined) return;
        this.state.mark();
        this.#marked = new Map(this.model);
        return;
      case 'undo':
        if (this.#marked === undefined) return;
        this.state.undo();
        this.model = this.#marked;
        this.#marked = undefined;
        return;
      case 'keep':
        if (this.#marked === undefined) return;
        this.state.keep();
        this.#marked = undefined;
        return;
      case 'checkpoint':
        if (this.#marked === undefined) this.#checkpoint();
        return;
      case 'root':
        expect(toHex(this.state.rootNow())).toBe(naiveRoot(this.model));
        return;
      case 'rollback':
      case 'drop':
      case 'restore':
        this.#withCheckpoint(each.do, [...this.frozen.keys()][each.which]);
    }
  }

  #checkpoint(): void {
    this.#sequence += 1;
    const { root, changes } = this.state.checkpoint(this.#sequence);
    expect(toHex(root)).toBe(naiveRoot(this.model));
    const changed = contentsOf(changes);
    // Applying the changes to the checkpoint before gives this one.
    const applied = { ...modelContents(this.#base), ...changed };
    for (const [place, text] of Object.entries(applied)) if (text === 'gone') delete applied[place];
    expect(applied).toEqual(modelContents(this.model));
    this.frozen.set(this.#sequence, new Map(this.model));
    this.#base = new Map(this.model);
  }

  #withCheckpoint(what: 'rollback' | 'drop' | 'restore', sequence: number | undefined): void {
    if (sequence === undefined) return;
    const then = this.frozen.get(sequence) as Model;
    if (what === 'drop') {
      this.state.dropBelow(sequence);
      for (const held of [...this.frozen.keys()]) if (held < sequence) this.frozen.delete(held);
      return;
    }
    this.#marked = undefined;
    this.model = new Map(then);
    if (what === 'rollback') {
      this.state.rollback(sequence);
      for (const held of [...this.frozen.keys()]) if (held > sequence) this.frozen.delete(held);
      return;
    }
    const pages = [...then].map(([place, content]) => {
      const [name, number] = place.split('/');
      return { region: name as Region, page: Number(number), bytes: content };
    });
    this.#sequence += 1;
    const { state: other, found } = PagedState.sift(pages);
    expect(found).toEqual([]);
    expect(toHex(other.rootNow())).toBe(naiveRoot(then));
    this.state.adopt(other, this.#sequence);
    // Neither sees what is written to the other one later.
    other.region('service').write(0, Uint8Array.of(1, 2, 3, 4, 5, 6));
    other.region('clients').write(257, undefined);
    this.frozen.clear();
    this.frozen.set(this.#sequence, new Map(then));
    this.#base = new Map(then);
  }

  checkAll(): void {
    expect(contentsOf(this.state.all())).toEqual(modelContents(this.model));
    expect(this.state.checkpoints()).toEqual([...this.frozen.keys()]);
    for (const [sequence, model] of this.frozen) {
      expect(toHex(this.state.root(sequence) as Bytes)).toBe(naiveRoot(model));
      for (const [place, content] of model) {
        const [name, number] = place.split('/');
        expect(this.state.page(sequence, name as Region, Number(number))).toBe(content);
      }
      for (const each of ['service', 'clients'] as const) this.#checkNodes(sequence, each);
    }
  }

  /** Each node's children hash to the digest that the node above has for it. */
  #checkNodes(sequence: number, each: Region): void {
    const roots = this.state.regionRoots(sequence) as readonly Bytes[];
    const check = (level: number, index: number, digest: Bytes): void => {
      const children = this.state.node(sequence, each, level, index);
      if (toHex(digest) === toHex(zero)) return expect(children).toBeUndefined();
      const tag = Uint8Array.of(numbers[each]);
      const joined = concatBytes(...(children as readonly Bytes[]));
      expect(toHex(taggedHash('page-node', tag, Uint8Array.of(level), u32(index), joined))).toBe(
        toHex(digest),
      );
      if (level === 1) return;
      children?.forEach((child, i) => {
        if (toHex(child) !== toHex(zero)) check(level - 1, index * 256 + i, child);
      });
    };
    check(3, 0, roots[numbers[each]] as Bytes);
  }
}

describe('paged state', () => {
  it('does what copies of maps do, and its digests are those of the written rule', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const checker = new Checker();
        for (const each of steps) checker.run(each);
        checker.checkAll();
      }),
      { numRuns: 250 },
    );
  });

  it('gives equal pages the same root, however they came about', () => {
    const a = new PagedState();
    const b = new PagedState();
    for (let i = 0; i < 700; i++) a.region('service').write(i, Uint8Array.of(i));
    a.checkpoint(1);
    for (let i = 3; i < 700; i++) a.region('service').write(i, undefined);
    for (let i = 2; i >= 0; i--) b.region('service').write(i, Uint8Array.of(i));
    expect(toHex(a.rootNow())).toBe(toHex(b.rootNow()));
    for (let i = 0; i < 3; i++) a.region('service').write(i, undefined);
    expect(toHex(a.rootNow())).toBe(toHex(new PagedState().rootNow()));
  });

  it('says of a checkpoint only what changed', () => {
    const state = new PagedState();
    for (let i = 0; i < 1000; i++) state.region('service').write(i, Uint8Array.of(1));
    expect(state.checkpoint(1).changes).toHaveLength(1000);
    expect(state.checkpoint(2).changes).toHaveLength(0);
    state.region('service').write(500, Uint8Array.of(2));
    state.region('clients').write(7, undefined);
    expect(state.checkpoint(3).changes).toEqual([
      { region: 'service', page: 500, bytes: Uint8Array.of(2) },
    ]);
  });

  it('undoes nothing when nothing was written, and says so', () => {
    const state = new PagedState();
    state.mark();
    expect(state.undo()).toBe(false);
    state.mark();
    state.region('service').write(0, Uint8Array.of(1));
    expect(state.undo()).toBe(true);
    expect(state.region('service').read(0)).toBeUndefined();
  });

  it('refuses checkpoints of tentative state, nested scopes and pages out of bounds', () => {
    const state = new PagedState();
    state.mark();
    expect(() => state.mark()).toThrow('nest');
    expect(() => state.checkpoint(1)).toThrow('tentative');
    state.keep();
    const pages = state.region('service');
    expect(() => pages.write(limits.pagesMax, Uint8Array.of(1))).toThrow('number');
    expect(() => pages.write(0, new Uint8Array(limits.pageSizeBytesMax + 1))).toThrow('long');
  });
});

describe('pages of a disk', () => {
  it('that cannot be pages are left out, and named', () => {
    const bytes = Uint8Array.of(1);
    const longest = new Uint8Array(limits.pageSizeBytesMax);
    const tooLong = new Uint8Array(limits.pageSizeBytesMax + 1);
    const { state, found } = PagedState.sift([
      { region: 'service', page: 0, bytes },
      { region: 'clients', page: limits.pagesMax - 1, bytes: longest },
      { region: 'service', page: limits.pagesMax, bytes },
      { region: 'service', page: -1, bytes },
      { region: 'service', page: 2 ** 32 - 1, bytes },
      { region: 'clients', page: 1.5, bytes },
      { region: 'clients', page: 3, bytes: tooLong },
      { region: 'service', page: 4, bytes: tooLong },
    ]);
    expect([...found].sort()).toEqual(['disk-page-misplaced', 'disk-page-too-long']);
    expect(contentsOf(state.all())).toEqual({
      'service/0': toHex(bytes),
      [placeOf('clients', limits.pagesMax - 1)]: toHex(longest),
    });
  });
});
