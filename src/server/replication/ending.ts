// How a group's state goes on in another group: the end of one instance is the beginning of the next.

import { type Bytes, equalBytes, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { EngineEnding, PageChange } from '../../replication/contract.ts';
import { PagedState } from '../../replication/pages.ts';
import { verifyEnding } from '../../replication/pbft/index.ts';
import { checkGroup, isPbftGroup } from './arguments.ts';
import type { PlacedGroup } from './group.ts';

/** The state right after the operation that ended an instance. `root` is the `genesis` of the group that goes on with it. */
export type Ending = EngineEnding;

/**
 * Checks what somebody says about the end of a PBFT group, with nothing but its description: `2f+1` members have signed it.
 * Whoever describes the next group and does not run a member of this one relies on it.
 * @param proof of an `Ending`.
 * @throws HoldfastError `verification-failed` if it does not prove that this group has ended; `bad-configuration` for a group that
 * can be none of PBFT: members of Viewstamped Replication trust each other, and prove nothing.
 */
export function checkEnding(group: PlacedGroup, proof: Bytes): Pick<Ending, 'sequence' | 'root'> {
  checkGroup(group);
  if (!isPbftGroup(group)) {
    throw new HoldfastError(
      'bad-configuration',
      'this group is none of PBFT: members of Viewstamped Replication trust each other, and prove nothing',
      { cure: 'Take the root itself from a member that you trust: `ending()`, or `readEnding`.' },
    );
  }
  const ending = proof instanceof Uint8Array ? verifyEnding(proof, group, ed25519) : undefined;
  if (ending !== undefined) return ending;
  throw new HoldfastError('verification-failed', 'this does not prove that the group has ended', {
    cure: 'Ask another member of it, and see that the description is of the group that has ended.',
  });
}

/** The pages that a member of this group begins with, when they are the right ones. */
export function inheritedPages(
  { genesis }: PlacedGroup,
  begins: Pick<Ending, 'root' | 'pages'>,
): Iterable<PageChange> {
  if (genesis === undefined) {
    throw new HoldfastError('bad-configuration', 'this group begins with no state', {
      cure: "Give the ending's root to describeGroup, so that all members begin with the same.",
    });
  }
  if (!equalBytes(genesis, begins.root)) {
    const message = `this group begins with the state ${toHex(genesis)}, not ${toHex(begins.root)}`;
    throw new HoldfastError('bad-configuration', message, {
      cure: 'Take the ending whose root the group was described with, or describe it anew.',
    });
  }
  const { state, found } = PagedState.sift(begins.pages);
  if (found.length === 0 && equalBytes(state.rootNow(), genesis)) return state.all();
  throw new HoldfastError('verification-failed', 'the pages are not those of this ending', {
    cure: 'Take them from another member, or give none: the member then fetches them.',
  });
}
