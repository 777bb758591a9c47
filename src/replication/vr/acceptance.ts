// When a client of a Viewstamped Replication group believes replies. Nobody lies, so one member's word that something was
// executed for good is enough; a three-message write is put together from what several say.

import type { Bytes } from '../../base/bytes.ts';
import type { Acceptance, Judgement, Reply } from '../acceptance.ts';

/** The outcome of a reply without a result: an acknowledgement, or the word that a read must be ordered. */
export const withoutResult = 3;
/** Stands where there is no result to digest. */
export const noDigest: Bytes = new Uint8Array(32);

/**
 * @param faults members that may stop, of `2 * faults + 1`.
 * @param hasWitnesses whether only members `0 … faults` keep the state.
 */
export function vrAcceptance(faults: number, hasWitnesses = false): Acceptance {
  const quorum = faults + 1;
  return {
    asksAll: false,
    isSigned: false,
    ...(hasWitnesses ? { primaries: faults + 1 } : {}),
    liars: 0,
    ordered: (replies) => {
      const done = replies.find((reply) => !reply.isTentative);
      if (done !== undefined) return accepted(done);
      for (const reply of replies) {
        if (reply.outcome === withoutResult) continue;
        // A view gives a place in the log to one batch only: view and sequence name the batch.
        const holders = replies.filter((other) => isSamePlace(reply, other));
        if (holders.length >= quorum) return accepted(reply);
      }
      return { kind: 'open' };
    },
    query: (replies) => {
      const read = replies.find(({ outcome }) => outcome !== withoutResult);
      if (read !== undefined) return accepted(read);
      return { kind: replies.length > 0 ? 'impossible' : 'open' };
    },
    // An answered request is in the logs of f+1 members; any other f+1 include one of them.
    lastNumber: (numbers) => (numbers.length < quorum ? undefined : Math.max(...numbers)),
  };
}

function accepted(reply: Reply): Judgement {
  return { kind: 'accepted', reply };
}

function isSamePlace(a: Reply, b: Reply): boolean {
  return a.view === b.view && a.sequence === b.sequence;
}
