// What shows that a lie was told: each of its scenarios fails unless all of it happened.

import type { ReplicationMessageName } from '../../../src/wire/replication-registry.ts';
import type { SimulatedGroup } from '../group.ts';
import type { LieName } from '../lies/lies.ts';
import type { Deed } from '../lies/lying-engine.ts';
import type { ShowingKind } from '../showings.ts';

interface Telling {
  readonly deeds: readonly `${Deed} ${ReplicationMessageName}`[];
  /** What correct members must have been shown that contradicts itself. */
  readonly shows?: ShowingKind;
}

const tellings: Readonly<Record<LieName, Telling>> = {
  equivocating: { deeds: ['altered prePrepare'], shows: 'vote' },
  withholding: { deeds: ['withheld prePrepare'] },
  slow: { deeds: ['delayed prePrepare'] },
  jumping: { deeds: ['altered prePrepare'] },
  misvoting: {
    deeds: ['altered pbftPrepare', 'altered pbftCommit'],
    shows: 'vote',
  },
  eager: { deeds: ['said pbftPrepare', 'said pbftCommit', 'said committed'], shows: 'vote' },
  censoring: { deeds: ['unheard submitRequest'] },
  senseless: { deeds: ['altered prePrepare'] },
  tampering: { deeds: ['altered prePrepare'] },
  reordering: { deeds: ['said prePrepare'] },
  forging: { deeds: ['altered viewChange'], shows: 'viewChange' },
  denying: { deeds: ['altered viewChange'] },
  usurping: { deeds: ['altered viewChange', 'withheld newView'] },
  misleading: { deeds: ['altered newView'] },
  restless: { deeds: ['said viewChange'] },
  contradicting: { deeds: ['altered checkpoint'], shows: 'checkpoint' },
  misreporting: { deeds: ['altered pbftStatus'] },
  impersonating: { deeds: ['said checkpoint', 'said viewChange'] },
  silent: { deeds: ['withheld pbftCommit', 'withheld viewChange'] },
  picky: { deeds: ['withheld pbftCommit', 'withheld viewChange'] },
  falsifying: { deeds: ['altered requestReply'] },
  stale: { deeds: ['altered requestReply'] },
  misfeeding: { deeds: ['altered statePart'] },
  junk: { deeds: ['said submitRequest'] },
  replaying: { deeds: ['said pbftPrepare', 'said pbftCommit', 'said viewChange'] },
  losing: { deeds: ['said newKey', 'altered viewChange'] },
  remembering: { deeds: ['said newKey', 'said viewChange', 'altered replyStable'] },
};

/** What of it has not happened. */
export function lacking(name: LieName, { told, showings }: SimulatedGroup): string[] {
  const { deeds, shows } = tellings[name];
  const missing: string[] = deeds.filter((deed) => !told.has(deed));
  if (shows !== undefined && showings.contradictions(shows) === 0) {
    missing.push(`no contradiction was shown: ${shows}`);
  }
  return missing;
}

export function isTold(name: LieName, group: SimulatedGroup): boolean {
  return lacking(name, group).length === 0;
}
