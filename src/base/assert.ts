// Assertions guard our own state only. Nothing that a peer, a file or a user supplied may reach one.

export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

/** Stops the process's current work if our own state is not what the code relies on. Stays on in production. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** Marks a place that no value of our own types can reach. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable: ${String(value)}`);
}
