// The application's service, as engines call it: whatever it does against its contract ends as one error that names the
// function, so that whoever wrote it knows where to look.

import type { Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { limits } from '../wire/limits.ts';
import type { OperationContext, PageStore, StateMachine } from './contract.ts';

/**
 * The service broke its contract: it threw, or gave what it must not. Its replicas may differ from then on, so nothing is
 * answered in its place: the replica stops, as after any fault of its own.
 */
export class ServiceFailed extends HoldfastError {
  constructor(name: keyof StateMachine, what: string, cause?: unknown) {
    super('internal', `the service's ${name} ${what}`, {
      cure: 'Correct the service: no operation may make it throw, and it gives its results at once.',
      details: { function: name },
      cause,
    });
  }
}

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
        guarded.bytesOf('propose', limits.agreedSizeBytesMax, () =>
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
    const given: unknown = called('load', () => this.#service.load(pages));
    if (isPromise(given)) throw wrongResult('load', 'nothing', given);
  }

  execute(operation: Bytes, context: OperationContext): Bytes {
    const { resultSizeBytesMax } = limits;
    return this.bytesOf('execute', resultSizeBytesMax, () =>
      this.#service.execute(operation, context),
    );
  }

  query(operation: Bytes): Bytes {
    return this.bytesOf('query', limits.resultSizeBytesMax, () => this.#service.query(operation));
  }

  isQuery(operation: Bytes): boolean {
    return this.verdictOf('isQuery', () => this.#service.isQuery(operation));
  }

  bytesOf(name: keyof StateMachine, sizeBytesMax: number, call: () => unknown): Bytes {
    const given = called(name, call);
    if (!(given instanceof Uint8Array)) throw wrongResult(name, 'a Uint8Array', given);
    if (given.length <= sizeBytesMax) return given;
    const sizes = `${given.length} bytes; at most ${sizeBytesMax} are allowed`;
    throw new ServiceFailed(name, `gave ${sizes}`);
  }

  verdictOf(name: keyof StateMachine, call: () => unknown): boolean {
    const given = called(name, call);
    if (typeof given !== 'boolean') throw wrongResult(name, 'true or false', given);
    return given;
  }
}

function called(name: keyof StateMachine, call: () => unknown): unknown {
  try {
    return call();
  } catch (cause) {
    if (cause instanceof ServiceFailed) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new ServiceFailed(name, `threw: ${words}`, cause);
  }
}

function wrongResult(name: keyof StateMachine, wanted: string, given: unknown): ServiceFailed {
  // Whatever else becomes of it, it must not end the process.
  if (isPromise(given)) given.then(undefined, () => {});
  return new ServiceFailed(name, `must give ${wanted}, it gave ${wordsFor(given)}`);
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
