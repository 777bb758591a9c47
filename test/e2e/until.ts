// Waiting for what can only be asked for, never for a length of time.

import { setTimeout } from 'node:timers/promises';

/** Something awaited did not happen; the message says what, and what was seen instead. */
export class NeverHappened extends Error {
  override readonly name = 'NeverHappened';
}

const stepMs = 25;

/**
 * Asks until the answer is neither undefined nor false, and gives it. A probe that throws has not answered yet.
 * @throws NeverHappened after `timeoutMs`, with the last thing that the probe threw.
 */
export async function until<Answer>(
  what: string,
  probe: () => Answer | Promise<Answer>,
  timeoutMs = 30_000,
): Promise<Exclude<Awaited<Answer>, undefined | false>> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== false) {
        return answer as Exclude<Awaited<Answer>, undefined | false>;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs) {
      throw new NeverHappened(`within ${timeoutMs / 1000} s: ${what}`, { cause: last });
    }
    await setTimeout(stepMs);
  }
}
