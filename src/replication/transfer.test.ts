import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { limits } from '../wire/limits.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessageValue,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import type { Region } from './contract.ts';
import { PagedState } from './pages.ts';
import { StateTransfer, type TransferStep } from './transfer.ts';
import { answerFetch, stateLevel } from './transfer-answer.ts';

const instance = new Uint8Array(32).fill(5);
const timeoutMs = 100;

type Fetch = ReplicationMessageValue<'fetchState'>;
type Part = ReplicationMessageValue<'statePart'>;
/** A source: what it answers, or nothing. */
type Source = (fetch: Fetch) => Part | undefined;

/** Over the wire and back: what is sent must fit. */
function travelled(part: Part): Part {
  const bytes = encodeReplicationMessage('statePart', part);
  const message = decodeReplicationMessage(replicationMessageNumber('statePart'), bytes);
  expect(message?.name).toBe('statePart');
  return message?.name === 'statePart' ? message.value : part;
}

interface Run {
  readonly counts: Map<string, number>;
  readonly nowMs: number;
  readonly pagesFetched: number;
}

/** Drives a transfer with sources that answer in random order; time passes only when nothing else happens. */
class Driver {
  readonly transfer: StateTransfer;
  readonly counts = new Map<string, number>();
  readonly #sources: readonly Source[];
  readonly #prng: Prng;
  #pending: { from: number; fetch: Fetch }[] = [];
  #timerAtMs: number | undefined;
  nowMs = 0;
  pagesFetched = 0;
  #progress = 0;

  constructor(
    local: PagedState,
    target: { sequence: number; root: Bytes },
    sources: readonly Source[],
    seed: number,
  ) {
    this.#sources = sources;
    this.#prng = new Prng(seed);
    this.transfer = new StateTransfer({
      instance,
      target,
      local,
      sources: sources.map((_, i) => i),
      seed,
      timeoutMs,
    });
    expect(this.transfer.isComplete).toBe(false);
    this.#apply(this.transfer.begin(0));
  }

  #apply({ sends, timerAtMs, counts }: TransferStep): void {
    for (const send of sends) {
      if (send.name !== 'fetchState' || send.to.kind !== 'replica') throw new Error('unexpected');
      expect(send.value.indexes.length).toBeLessThanOrEqual(limits.fetchIndexesMax);
      this.#pending.push({ from: send.to.index, fetch: send.value });
    }
    for (const code of counts) this.counts.set(code, (this.counts.get(code) ?? 0) + 1);
    this.#timerAtMs = timerAtMs;
    expect(timerAtMs === undefined).toBe(this.transfer.isComplete);
  }

  retarget(target: { sequence: number; root: Bytes }): void {
    this.#progress = 0;
    this.#apply(this.transfer.retarget(target, this.nowMs));
  }

  /** One answer, or one timer. */
  step(): void {
    const at = this.#prng.below(this.#pending.length + 1);
    const [pending] = this.#pending.splice(Math.min(at, this.#pending.length - 1), 1);
    if (pending === undefined) {
      this.nowMs = Math.max(this.nowMs, this.#timerAtMs ?? this.nowMs);
      this.#apply(this.transfer.onTimer(this.nowMs));
      return;
    }
    const part = this.#sources[pending.from]?.(pending.fetch);
    if (part === undefined) return;
    this.pagesFetched += part.pages.length;
    this.#apply(this.transfer.onPart(pending.from, travelled(part), this.nowMs));
    expect(this.transfer.progress()).toBeGreaterThanOrEqual(this.#progress - 1e-9);
    this.#progress = this.transfer.progress();
  }

  run(stepsMax = 20_000): Run {
    for (let i = 0; i < stepsMax && !this.transfer.isComplete; i++) this.step();
    expect(this.transfer.isComplete).toBe(true);
    expect(this.transfer.progress()).toBe(1);
    return this;
  }
}

function stateOf(pages: readonly [Region, number, number][]): PagedState {
  const state = new PagedState();
  for (const [region, page, fill] of pages) {
    state.region(region).write(page, new Uint8Array(20).fill(fill));
  }
  return state;
}

function honest(state: PagedState): Source {
  return (fetch) => answerFetch(state, fetch);
}

function check(driver: Driver, expected: Bytes): void {
  const { state } = PagedState.sift(driver.transfer.result);
  expect(toHex(state.rootNow())).toBe(toHex(expected));
}

const entry = fc.tuple(
  fc.constantFrom<Region>('service', 'clients'),
  fc.oneof(fc.nat(600), fc.nat(limits.pagesMax - 1)),
  fc.nat(255),
);

describe('state transfer', () => {
  it('brings any state to that of the target', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 60 }),
        fc.array(entry, { maxLength: 30 }),
        fc.nat(),
        (common, ahead, seed) => {
          const source = stateOf([...common, ...ahead]);
          const { root } = source.checkpoint(4);
          const local = stateOf(common);
          const driver = new Driver(
            local,
            { sequence: 4, root },
            [honest(source), honest(source)],
            seed,
          );
          driver.run();
          check(driver, root);
          expect([...driver.counts.keys()]).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('fetches nothing that is here', () => {
    const pages = Array.from({ length: 2000 }, (_, i): [Region, number, number] => [
      'service',
      i,
      i % 256,
    ]);
    const source = stateOf(pages);
    source.region('service').write(1234, Uint8Array.of(1));
    source.region('clients').write(3, Uint8Array.of(1));
    source.region('service').write(0, undefined);
    const { root } = source.checkpoint(4);
    const driver = new Driver(stateOf(pages), { sequence: 4, root }, [honest(source)], 1);
    expect(driver.run().pagesFetched).toBe(2);
    check(driver, root);
    // Also when the source's checkpoint has moved under later writes.
    const same = new Driver(source, { sequence: 4, root }, [honest(source)], 1);
    expect(same.transfer.isComplete).toBe(true);
  });

  it('finishes beside members that lie, are silent, hold nothing or answer other questions', () => {
    const pages = Array.from({ length: 700 }, (_, i): [Region, number, number] => [
      i % 3 === 0 ? 'clients' : 'service',
      i * 7,
      i % 256,
    ]);
    const source = stateOf(pages);
    const { root } = source.checkpoint(4);
    const other = stateOf(pages.map(([region, page, fill]) => [region, page, fill + 1]));
    other.checkpoint(4);
    const flip = (bytes: Bytes): Bytes => bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
    const liars: Record<string, Source> = {
      'another state': honest(other),
      silent: () => undefined,
      'holds nothing': (fetch) => ({
        ...answerFetch(source, { ...fetch, sequence: 3 }),
        sequence: 4,
      }),
      'changed pages': (fetch) => {
        const part = answerFetch(source, fetch);
        for (const page of part.pages) page.bytes = page.bytes.map(flip);
        return part;
      },
      'absent pages': (fetch) => {
        const part = answerFetch(source, fetch);
        for (const page of part.pages) page.bytes = [];
        return part;
      },
      'short nodes': (fetch) => {
        const part = answerFetch(source, fetch);
        for (const node of part.nodes) node.children = node.children.slice(1);
        return part;
      },
      'other places': (fetch) => ({
        ...answerFetch(source, fetch),
        nodes: [{ index: 77, children: [] }],
        pages: [{ index: 78, bytes: [] }],
      }),
      'another level': (fetch) => ({ ...answerFetch(source, fetch), level: (fetch.level + 1) % 5 }),
      'another sequence': (fetch) => ({ ...answerFetch(source, fetch), sequence: 5 }),
    };
    for (const [name, liar] of Object.entries(liars)) {
      for (let seed = 0; seed < 5; seed++) {
        const driver = new Driver(
          new PagedState(),
          { sequence: 4, root },
          [liar, liar, honest(source)],
          seed,
        );
        driver.run();
        check(driver, root);
        // Others are asked for what a silent one holds before it counts as silent.
        if (name === 'silent') expect(driver.nowMs).toBeLessThan(timeoutMs);
        else expect(driver.counts.size, name).toBeGreaterThan(0);
      }
    }
  });

  it('takes partial answers', () => {
    const pages = Array.from({ length: 300 }, (_, i): [Region, number, number] => [
      'service',
      i,
      i % 256,
    ]);
    const source = stateOf(pages);
    const { root } = source.checkpoint(4);
    const halting: Source = (fetch) => {
      const part = answerFetch(source, fetch);
      return { ...part, pages: part.pages.slice(0, 5), nodes: part.nodes.slice(0, 1) };
    };
    const driver = new Driver(new PagedState(), { sequence: 4, root }, [halting], 3);
    driver.run();
    check(driver, root);
    expect(driver.counts.size).toBe(0);
  });

  it('keeps what it has when the target moves on', () => {
    const pages = Array.from({ length: 1500 }, (_, i): [Region, number, number] => [
      'service',
      i,
      i % 256,
    ]);
    const source = stateOf(pages);
    const first = source.checkpoint(4);
    source.region('service').write(700, Uint8Array.of(9));
    const second = source.checkpoint(8);
    const driver = new Driver(
      new PagedState(),
      { sequence: 4, root: first.root },
      [honest(source)],
      1,
    );
    for (let i = 0; i < 16; i++) driver.step();
    const before = driver.pagesFetched;
    expect(before).toBeGreaterThan(300);
    driver.retarget({ sequence: 8, root: second.root });
    driver.run();
    check(driver, second.root);
    // What was on its way when the target moved may come twice, and the changed page.
    expect(driver.pagesFetched).toBeLessThanOrEqual(1500 + 2 * limits.fetchIndexesMax + 1);
  });

  it('asks sources at rest again, so that it ends when they recover', () => {
    const source = stateOf([['service', 1, 1]]);
    const { root } = source.checkpoint(4);
    let answers = false;
    const late: Source = (fetch) => (answers ? answerFetch(source, fetch) : undefined);
    const driver = new Driver(new PagedState(), { sequence: 4, root }, [late, late], 1);
    for (let i = 0; i < 60; i++) driver.step();
    // Twice as long each time in a row: not a request for each step.
    expect(driver.counts.get('transfer-silent')).toBeLessThan(40);
    answers = true;
    driver.run();
    check(driver, root);
  });
});

describe('answers to fetches', () => {
  it('fit one message, and hold what was asked for', () => {
    const source = new PagedState();
    for (let i = 0; i < 256; i++) {
      source.region('service').write(i, new Uint8Array(limits.pageSizeBytesMax).fill(i));
    }
    source.checkpoint(4);
    const indexes = Array.from({ length: limits.fetchIndexesMax }, (_, i) => i * 2);
    const part = travelled(
      answerFetch(source, { instance, sequence: 4, region: 0, level: 0, indexes }),
    );
    expect(part.pages.map(({ index }) => index)).toEqual(indexes);
    const roots = answerFetch(source, {
      instance,
      sequence: 4,
      region: 0,
      level: stateLevel,
      indexes: [0],
    });
    expect(toHex(concatBytes(...(roots.nodes[0]?.children ?? [])))).toBe(
      toHex(concatBytes(...(source.regionRoots(4) ?? []))),
    );
  });

  it('give each page once, however often it was asked for', () => {
    const source = stateOf([['service', 1, 9]]);
    source.checkpoint(4);
    const fetch = { instance, sequence: 4, region: 0, level: 0, indexes: new Array(64).fill(1) };
    expect(answerFetch(source, fetch).pages).toHaveLength(1);
  });

  it('are empty for whatever is not there', () => {
    const source = stateOf([['service', 1, 1]]);
    source.checkpoint(4);
    fc.assert(
      fc.property(
        fc.record({
          sequence: fc.nat(6),
          region: fc.nat(255),
          level: fc.nat(255),
          indexes: fc.array(fc.nat(2 ** 32 - 1), { maxLength: 64 }),
        }),
        (fetch) => {
          const part = travelled(answerFetch(source, { instance, ...fetch }));
          if (fetch.sequence !== 4 || fetch.region > 1 || fetch.level > stateLevel) {
            expect(part.nodes.length + part.pages.length).toBe(0);
          }
        },
      ),
    );
  });
});
