// The application's service, as engines call it: whatever it does against its contract ends as one error that names the
// function, so that whoever wrote it knows where to look.

import type { Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { OperationContext, PageStore, StateMachine } from './contract.ts';
import { isPageNumber, isPageSize } from './page-tree.ts';
import { serviceLimits } from './service-limits.ts';

/**
 * The service broke its contract: it threw, or gave what it must not. Its replicas may differ from then on, so nothing is
 * answered in its place: the replica stops, as after any fault of its own.
 */
export class ServiceFailed extends HoldfastError {
  constructor(
    name: keyof StateMachine,
    what: string,
    cause?: unknown,
    { code, cure }: Fault = throwing,
  ) {
    super(code, `the service's ${name} ${what}`, { cure, details: { function: name }, cause });
  }
}

/** A way to break the contract. The service is what the application gave: none of them is a fault of this library. */
interface Fault {
  readonly code: 'usage' | 'over-limit';
  readonly cure: string;
}

const throwing: Fault = {
  code: 'usage',
  cure: 'Correct the service: no operation, whatever its bytes, may make it throw; one that makes no sense has an error as its result. Then start all members with it.',
};
const tooLong: Fault = {
  code: 'over-limit',
  cure: 'Correct the service: it gives a part at a time, and tells where the next one begins, or gives an error. Then start all members with it.',
};
const noPage: Fault = {
  code: 'over-limit',
  cure: 'Correct the service: it spreads over several pages what is too long for one, and has an error as its result when there is no room. Then start all members with it.',
};
const wrongKind: Fault = {
  code: 'usage',
  cure: 'Correct the service: it gives what StateMachine says, at once and not as a promise. Then start all members with it.',
};

/** The same service with every call checked. What it leaves out stays left out. */
export function guardedService(service: StateMachine): StateMachine {
  const guarded = new GuardedService(service);
  const { propose, check, isStop } = service;
  return {
    load: (pages) => guarded.load(pages),
    execute: (operation, context) => guarded.execute(operation, context),
    query: (operation) => guarded.query(operation),
    isQuery: (operation) => guarded.isQuery(operation),
    ...(propose !== undefined && {
      propose: (operations: readonly Bytes[]) =>
        guarded.bytesOf('propose', serviceLimits.agreedSizeBytesMax, () =>
          propose.call(service, operations),
        ),
    }),
    ...(check !== undefined && {
      check: (operations: readonly Bytes[], agreed: Bytes) =>
        guarded.verdictOf('check', () => check.call(service, operations, agreed)),
    }),
    ...(isStop !== undefined && {
      isStop: (operation: Bytes) =>
        guarded.verdictOf('isStop', () => isStop.call(service, operation)),
    }),
  };
}

class GuardedService {
  readonly #service: StateMachine;

  constructor(service: StateMachine) {
    this.#service = service;
  }

  load(pages: PageStore): void {
    const given: unknown = called('load', () => this.#service.load(new GuardedPages(pages)));
    if (isPromise(given)) throw wrongResult('load', 'nothing', given);
  }

  execute(operation: Bytes, context: OperationContext): Bytes {
    const { resultSizeBytesMax } = serviceLimits;
    return this.bytesOf('execute', resultSizeBytesMax, () =>
      this.#service.execute(operation, context),
    );
  }

  query(operation: Bytes): Bytes {
    const { resultSizeBytesMax } = serviceLimits;
    return this.bytesOf('query', resultSizeBytesMax, () => this.#service.query(operation));
  }

  isQuery(operation: Bytes): boolean {
    return this.verdictOf('isQuery', () => this.#service.isQuery(operation));
  }

  bytesOf(name: keyof StateMachine, sizeBytesMax: number, call: () => unknown): Bytes {
    const given = called(name, call);
    if (!(given instanceof Uint8Array)) throw wrongResult(name, 'a Uint8Array', given);
    if (given.length <= sizeBytesMax) return given;
    const sizes = `${given.length} bytes; at most ${sizeBytesMax} are allowed`;
    throw new ServiceFailed(name, `gave ${sizes}`, undefined, tooLong);
  }

  verdictOf(name: keyof StateMachine, call: () => unknown): boolean {
    const given = called(name, call);
    if (typeof given !== 'boolean') throw wrongResult(name, 'true or false', given);
    return given;
  }
}

/** What a service wrote that is no page. Whichever function did it names itself when it comes by. */
class NotAPage extends TypeError {
  readonly fault: Fault;

  constructor(message: string, fault: Fault) {
    super(message);
    this.fault = fault;
  }
}

/** The pages, with what is written looked at first. */
class GuardedPages implements PageStore {
  readonly #pages: PageStore;

  constructor(pages: PageStore) {
    this.#pages = pages;
  }

  read(page: number): Bytes | undefined {
    return this.#pages.read(page);
  }

  write(page: number, bytes: Bytes | undefined): void {
    if (!isPageNumber(page)) {
      const { pagesMax } = serviceLimits;
      const bounds = `pages are numbered 0 … ${pagesMax - 1}`;
      throw new NotAPage(`wrote page ${String(page)}; ${bounds}`, noPage);
    }
    if (bytes !== undefined && !(bytes instanceof Uint8Array)) {
      const what = `${wordsFor(bytes)} to page ${page}`;
      throw new NotAPage(`wrote ${what}; a page is a Uint8Array`, wrongKind);
    }
    if (!isPageSize(bytes)) {
      const sizes = `${bytes?.length} bytes to page ${page}`;
      const bound = `at most ${serviceLimits.pageSizeBytesMax} are allowed`;
      throw new NotAPage(`wrote ${sizes}; ${bound}`, noPage);
    }
    this.#pages.write(page, bytes);
  }
}

function called(name: keyof StateMachine, call: () => unknown): unknown {
  try {
    return call();
  } catch (cause) {
    if (cause instanceof ServiceFailed) throw cause;
    if (cause instanceof NotAPage) throw new ServiceFailed(name, cause.message, cause, cause.fault);
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new ServiceFailed(name, `threw: ${words}`, cause);
  }
}

function wrongResult(name: keyof StateMachine, wanted: string, given: unknown): ServiceFailed {
  // Whatever else becomes of it, it must not end the process.
  if (isPromise(given)) given.then(undefined, () => {});
  const what = `must give ${wanted}, it gave ${wordsFor(given)}`;
  return new ServiceFailed(name, what, undefined, wrongKind);
}

function wordsFor(given: unknown): string {
  if (isPromise(given)) return 'a promise: a service is synchronous';
  if (given === undefined || given === null) return String(given);
  return typeof given === 'object' ? 'an object' : `a ${typeof given}`;
}

function isPromise(given: unknown): given is PromiseLike<unknown> {
  return (
    typeof given === 'object' &&
    given !== null &&
    'then' in given &&
    typeof given.then === 'function'
  );
}
