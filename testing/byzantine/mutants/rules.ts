// Broken register rules.

import type { Quorum, Verdict } from '../../../src/quorum/calls/contract.ts';
import type { Chosen } from '../../../src/registers/contract.ts';
import {
  DisseminationRule,
  type Shown,
  type SignedTuple,
} from '../../../src/registers/rules/dissemination.ts';
import { correctParts, type Parts } from '../../harness/parts.ts';

/** A read counts headers whose data nobody has delivered, and returns what is left without them. */
class WithoutCountingRule extends DisseminationRule {
  override readonly readJudge = ({ replies, quorum }: Quorum<Shown>): Verdict<Shown> =>
    replies.length >= quorum ? 'enough' : 'more';
}

/** Two versions with one counter are the same to it. */
class ByCounterOnly extends DisseminationRule {
  override choose(quorum: Quorum<Shown>): Chosen<SignedTuple> {
    let best: SignedTuple | undefined;
    for (const { body } of quorum.replies) {
      const { header, data } = body;
      if (header === undefined || data === undefined) continue;
      if (best === undefined || header.version.counter > best.header.version.counter)
        best = { header, data, timestamp: header.version };
    }
    return best === undefined ? 'initial' : { tuple: best };
  }

  override carries(reply: Shown, chosen: SignedTuple): boolean {
    return reply.header?.version.counter === chosen.timestamp.counter;
  }
}

export const countingRuleDropped: Parts = {
  ...correctParts,
  rule: (_, object, scheme) => new WithoutCountingRule(object, scheme),
};

export const orderedByCounterOnly: Parts = {
  ...correctParts,
  rule: (_, object, scheme) => new ByCounterOnly(object, scheme),
};

/** Data is not compared with the digest in its header. */
export const dataUnchecked: Parts = {
  ...correctParts,
  rule: (_, object, scheme) => {
    const { verify, sign } = scheme;
    return new DisseminationRule(object, { verify, sign, matches: () => true });
  },
};

/** Signatures are not verified. */
export const signatureUnchecked: Parts = {
  ...correctParts,
  clientScheme: ({ signer }) => ({ signer, verify: () => true }),
};
