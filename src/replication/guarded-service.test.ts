import { describe, expect, it } from 'vitest';
import { emptyBytes, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { limits } from '../wire/limits.ts';
import type { PageStore, StateMachine } from './contract.ts';
import { guardedService } from './guarded-service.ts';

const pages: PageStore = { read: () => undefined, write() {} };
const context = { client: new Uint8Array(32), agreed: emptyBytes };
const sound: StateMachine = {
  load() {},
  execute: (operation) => operation,
  query: (operation) => operation,
  isQuery: () => true,
  propose: () => emptyBytes,
  check: () => true,
  isStop: () => false,
};
const calls: readonly (readonly [keyof StateMachine, (service: StateMachine) => unknown])[] = [
  ['load', (service) => service.load(pages)],
  ['execute', (service) => service.execute(emptyBytes, context)],
  ['query', (service) => service.query(emptyBytes)],
  ['isQuery', (service) => service.isQuery(emptyBytes)],
  ['propose', (service) => service.propose?.([])],
  ['check', (service) => service.check?.([], emptyBytes)],
  ['isStop', (service) => service.isStop?.(emptyBytes)],
];

/** What is said when the function of this name does something else. */
function said(name: keyof StateMachine, instead: () => unknown): HoldfastError {
  const call = calls.find(([named]) => named === name)?.[1];
  // Applications in JavaScript give anything.
  const service = guardedService({ ...sound, [name]: instead });
  try {
    call?.(service);
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new TypeError(`${name} was let through`);
}

describe('a service that breaks its contract', () => {
  it.each(calls.map(([name]) => name))('by throwing in %s is told where', (name) => {
    const cause = new RangeError('page 7');
    const error = said(name, () => {
      throw cause;
    });
    expect(error.message).toBe(`the service's ${name} threw: page 7`);
    expect(error.cause).toBe(cause);
  });

  it.each([
    ['a string', 'text'],
    ['undefined', undefined],
    ['an object', [1, 2]],
    ['a promise: a service is synchronous', Promise.resolve(emptyBytes)],
  ])('by giving %s is told so', (words, given) => {
    for (const name of ['execute', 'query', 'propose'] as const) {
      const { message } = said(name, () => given);
      expect(message).toBe(`the service's ${name} must give a Uint8Array, it gave ${words}`);
    }
  });

  it('by judging or loading later is told so', () => {
    for (const name of ['isQuery', 'check', 'isStop', 'load'] as const) {
      expect(said(name, async () => true).message).toContain('a service is synchronous');
      // What it would have thrown must not end the process besides.
      const later = async (): Promise<never> => Promise.reject(new RangeError('later'));
      expect(said(name, later).message).toContain('a service is synchronous');
    }
  });

  it('by giving too much is told the bound', () => {
    const long = (sizeBytes: number) => () => new Uint8Array(sizeBytes + 1);
    const bound = (size: number) => `at most ${size} are allowed`;
    for (const name of ['execute', 'query'] as const) {
      const max = limits.resultSizeBytesMax;
      expect(said(name, long(max)).message).toContain(bound(max));
    }
    const max = limits.agreedSizeBytesMax;
    const { code, message, cure } = said('propose', long(max));
    expect(message).toContain(bound(max));
    expect([code, cure?.includes('a part at a time')]).toEqual(['over-limit', true]);
  });

  it('by writing what is no page is told which, how long and the bound', () => {
    const { pageSizeBytesMax, pagesMax } = limits;
    const notBytes: unknown = 'text';
    const attempts: readonly (readonly [string, number, unknown])[] = [
      [`wrote 20000 bytes to page 7; at most ${pageSizeBytesMax} are`, 7, new Uint8Array(20_000)],
      [`wrote page ${pagesMax}; pages are numbered 0 … ${pagesMax - 1}`, pagesMax, emptyBytes],
      ['wrote page 0.5; pages', 0.5, emptyBytes],
      ['wrote a string to page 1; a page is a Uint8Array', 1, notBytes],
    ];
    for (const [words, page, bytes] of attempts) {
      let own = pages;
      const service = guardedService({
        ...sound,
        load(given) {
          own = given;
        },
        execute(operation) {
          Reflect.apply(own.write, own, [page, bytes]);
          return operation;
        },
      });
      service.load(pages);
      const execute = () => service.execute(emptyBytes, context);
      expect(execute).toThrow(`the service's execute ${words}`);
      const code = page === 1 ? 'usage' : 'over-limit';
      expect(execute).toThrow(expect.objectContaining({ code }));
    }
  });

  it('is not called a fault of this library', () => {
    const throwing = said('execute', () => {
      throw new RangeError('page 7');
    });
    expect([throwing.code, said('isQuery', () => 1).code]).toEqual(['usage', 'usage']);
  });
});

describe('a sound service', () => {
  it('is called as itself, and what it leaves out stays left out', () => {
    class Counter implements StateMachine {
      #count = 0;
      load(): void {}
      execute(): Uint8Array {
        this.#count += 1;
        return utf8(String(this.#count));
      }
      query = this.execute;
      isQuery(): boolean {
        return this.#count > 9;
      }
      isStop(): boolean {
        return this.#count > 1;
      }
    }
    const service = guardedService(new Counter());
    expect(service.execute(emptyBytes, context)).toEqual(utf8('1'));
    expect(service.isStop?.(emptyBytes)).toBe(false);
    expect([service.propose, service.check]).toEqual([undefined, undefined]);
  });
});
