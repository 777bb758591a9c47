// A service for the tests of this folder: counts operations, and notices one that is executed twice. An operation is four
// bytes of client and four of number; its result is how many were executed before it. A read is the one byte `?`.

import { type Bytes, emptyBytes } from '../../base/bytes.ts';
import type { OperationContext, PageStore, StateMachine } from '../contract.ts';

export function countOperation(client: number, number: number, stop = false): Bytes {
  const bytes = new Uint8Array(stop ? 9 : 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, client);
  view.setUint32(4, number);
  return bytes;
}

export const countQuery: Bytes = Uint8Array.of(63);

export function countOf(result: Bytes): number {
  return new DataView(result.buffer, result.byteOffset, result.length).getUint32(0);
}

function uint32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

export class CountingService implements StateMachine {
  #pages: PageStore | undefined;
  readonly #onDuplicate: (client: number, number: number) => void;

  constructor(onDuplicate: (client: number, number: number) => void) {
    this.#onDuplicate = onDuplicate;
  }

  load(pages: PageStore): void {
    this.#pages = pages;
  }

  execute(operation: Bytes, _: OperationContext): Bytes {
    if (operation.length < 8) return this.query();
    const view = new DataView(operation.buffer, operation.byteOffset, operation.length);
    const [client, number] = [view.getUint32(0), view.getUint32(4)];
    const page = 1 + client;
    const seen = this.#pages?.read(page) ?? new Uint8Array(0);
    const numbers = new DataView(seen.buffer, seen.byteOffset, seen.length);
    for (let at = 0; at < seen.length; at += 4) {
      if (numbers.getUint32(at) === number) this.#onDuplicate(client, number);
    }
    const longer = new Uint8Array(seen.length + 4);
    longer.set(seen);
    longer.set(uint32(number), seen.length);
    this.#pages?.write(page, longer);
    const count = this.count;
    this.#pages?.write(0, uint32(count + 1));
    return uint32(count);
  }

  get count(): number {
    const page = this.#pages?.read(0);
    return page === undefined ? 0 : countOf(page);
  }

  query(): Bytes {
    return uint32(this.count);
  }

  isQuery(operation: Bytes): boolean {
    return operation.length === 1;
  }

  isStop(operation: Bytes): boolean {
    return operation.length === 9;
  }
}

/** Has no state, and no operation makes more or less sense to it than another. */
export const takesAnything: StateMachine = {
  load() {},
  execute: () => emptyBytes,
  query: () => emptyBytes,
  isQuery: () => false,
};
