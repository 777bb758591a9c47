// A promise of a node's code that is rejected and that nobody looks at is a fault of that code. Node reports it right
// after the callback in which it happened, so the simulation that ran last is the one it belongs to.

/** A simulation as far as it is told of such rejections. */
export interface RejectionOwner {
  fail(reason: string, cause: unknown): void;
}

let current: RejectionOwner | undefined;
let runs = 0;
let listening = false;

function report(cause: unknown): void {
  current?.fail('a promise was rejected and nobody looked at it', cause);
}

/** Listens while at least one run is under way. */
export function beginRun(): void {
  runs++;
  if (listening) return;
  listening = true;
  process.on('unhandledRejection', report);
}

export function endRun(): void {
  runs--;
  if (runs > 0) return;
  // The last event's rejections are reported after the callback that ends the run.
  setImmediate(() => {
    if (runs > 0 || !listening) return;
    listening = false;
    process.off('unhandledRejection', report);
  });
}

/** Says whose event runs now. */
export function runsNow(owner: RejectionOwner): void {
  current = owner;
}
