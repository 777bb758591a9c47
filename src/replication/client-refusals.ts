// Why a client takes no more, and what to do about it.

import { HoldfastError } from '../base/errors.ts';
import { limits } from '../wire/limits.ts';

/** What has become of a client that takes nothing more. */
export type ClientEnd = 'closed' | 'followed';

/** Of an operation that is submitted to a client which is over. */
export function isOver(end: ClientEnd): HoldfastError {
  if (end === 'closed') {
    return new HoldfastError('interrupted', 'the client was closed', {
      cure: 'Connect again: connectGroup gives another client.',
    });
  }
  return new HoldfastError('interrupted', 'the client was closed: another one follows it', {
    cure: 'Use the client that follow gave.',
  });
}

/** Of an operation that waited when its client was closed. @param kind as in an `OrderedRequest`. */
export function closedMeanwhile(kind: 0 | 1 | 2): HoldfastError {
  const what = 'the client was closed';
  return new HoldfastError(
    'interrupted',
    kind === 1 ? what : `${what}; the operation may have been executed or not, and may still be`,
    { cure: 'Connect again to ask; close a client when everything that it was given is settled.' },
  );
}

export function tooLong(sizeBytes: number): HoldfastError {
  return new HoldfastError('over-limit', `the operation has ${sizeBytes} bytes`, {
    cure: `An operation has at most ${limits.operationSizeBytesMax} bytes.`,
  });
}

export function tooMany(): HoldfastError {
  return new HoldfastError('over-limit', 'too many operations wait for their turn', {
    cure: 'Wait for some of them before submitting more.',
  });
}
