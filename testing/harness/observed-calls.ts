import type { CallKind, QuorumCalls } from '../../src/quorum/calls/contract.ts';

/** The same quorum calls, with each one reported before it is made. */
export function observedCalls(calls: QuorumCalls, onCall: (kind: CallKind) => void): QuorumCalls {
  return {
    call(kind, object, request, judge, signal) {
      onCall(kind);
      return calls.call(kind, object, request, judge, signal);
    },
  };
}
