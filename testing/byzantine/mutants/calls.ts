// Broken ways to find a quorum.

import { thresholds } from '../../../src/quorum/arithmetic.ts';
import type {
  CallKind,
  Judge,
  Quorum,
  QuorumCalls,
  Request,
} from '../../../src/quorum/calls/contract.ts';
import { isHalted } from '../../../src/quorum/calls/contract.ts';
import { runPhase } from '../../../src/quorum/phase.ts';
import { type CallsContext, correctParts, type Parts } from '../../harness/parts.ts';

/** For calls of one kind, fewer replies are enough. */
export function quorumShort(kind: CallKind | 'any'): Parts {
  return {
    ...correctParts,
    calls: (calls, { exchange, configuration }) => ({
      call(called, object, request, judge, signal) {
        if (kind !== 'any' && kind !== called)
          return calls.call(called, object, request, judge, signal);
        const { members, faults } = configuration.groupOf(object);
        const right = thresholds('dissemination', members.length, faults);
        const group = {
          members,
          thresholds: { ...right, quorum: right.quorum - 1 },
          epoch: configuration.epoch,
        };
        return runPhase(exchange, group, request, judge, signal);
      },
    }),
  };
}

/** A read returns without writing back what only some members have. */
export const writeBackSkipped: Parts = {
  ...correctParts,
  calls: (calls, context, reading) => (reading ? withoutWrites(calls, context) : calls),
};

function withoutWrites(calls: QuorumCalls, { configuration }: CallsContext): QuorumCalls {
  return {
    async call<Body>(
      kind: CallKind,
      object: Uint8Array,
      request: Request<Body>,
      judge: Judge<Body> | undefined,
      signal: AbortSignal,
    ) {
      if (kind !== 'write') return calls.call(kind, object, request, judge, signal);
      const { members, faults } = configuration.groupOf(object);
      const right = thresholds('dissemination', members.length, faults);
      const nobody: Quorum<Body> = { ...right, replies: [], context: { epoch: 0 } };
      return nobody;
    },
  };
}

/** A read writes back only what fewer than f+1 members have. */
export const writeBackFromTooFew: Parts = {
  ...correctParts,
  calls: (calls, _, reading) =>
    !reading
      ? calls
      : {
          async call(kind, object, request, judge, signal) {
            const quorum = await calls.call(kind, object, request, judge, signal);
            if (isHalted(quorum) || kind !== 'read') return quorum;
            return { ...quorum, quorum: quorum.byzantine + 1 };
          },
        },
};

/** That a block is absent is believed of f+1. */
export const absentFromTooFew: Parts = {
  ...correctParts,
  calls: (calls, _, reading) =>
    !reading
      ? calls
      : {
          call(kind, object, request, judge, signal) {
            const hasty: typeof judge = (soFar) =>
              soFar.replies.length > soFar.byzantine ? 'enough' : (judge?.(soFar) ?? 'more');
            const isBlock = request.staggerMs !== undefined;
            return calls.call(kind, object, request, isBlock ? hasty : judge, signal);
          },
        },
};

/** A block's bytes are not compared with its id. */
export const blockUnchecked: Parts = {
  ...correctParts,
  calls: (calls, _, reading) =>
    !reading
      ? calls
      : {
          call<Body>(
            kind: CallKind,
            object: Uint8Array,
            request: Request<Body>,
            judge: Judge<Body> | undefined,
            signal: AbortSignal,
          ) {
            const credulous: Request<Body> = {
              ...request,
              // A vote about a block is its bytes; only requests for blocks are answered with this message.
              accept: (message, from) =>
                message.name === 'block'
                  ? { vote: { data: message.value.data } as Body }
                  : request.accept(message, from),
            };
            return calls.call(kind, object, credulous, judge, signal);
          },
        },
};
