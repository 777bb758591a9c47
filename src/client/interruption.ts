// What an operation says that was ended from outside: by its caller's signal, or because the client was closed.

import { HoldfastError } from '../base/errors.ts';

/** The error of everything that is begun or under way when a client is closed. */
export function closedError(): HoldfastError {
  return new HoldfastError('interrupted', 'the client is closed', {
    cure: 'Connect again, and close the client only when all operations have ended.',
  });
}

/**
 * Why an operation under this aborted signal ended. A reason that is such an error already stands.
 * @param action what was ended: "reading "x"".
 */
export function interruption(signal: AbortSignal, action = 'the transfer'): HoldfastError {
  const reason: unknown = signal.reason;
  if (reason instanceof HoldfastError) return reason;
  if (reason instanceof Error && reason.name === 'TimeoutError') {
    return new HoldfastError(
      'interrupted',
      `${action} was ended by the caller's signal, whose time was over`,
      { cure: 'Give it more time; status() tells which servers do not answer.', cause: reason },
    );
  }
  return new HoldfastError('interrupted', `${action} was ended by the caller's signal`, {
    cause: reason,
  });
}
