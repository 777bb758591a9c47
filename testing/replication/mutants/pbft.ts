// PBFT with one of its rules replaced.

import { pbftRules } from '../../../src/replication/pbft/rules.ts';
import type { LieName } from '../lies/lies.ts';
import type { RunOptions } from '../options.ts';
import { type Mutant, pbftMutant } from './mutant.ts';

/** Runs in which as many members as may lie do so, in these ways. */
export function withLies(...names: readonly LieName[]): (options: RunOptions) => RunOptions {
  return (options) => ({
    ...options,
    twins: 0,
    diskLosses: 0,
    liars: Array.from({ length: options.faults }, () => names),
  });
}

/** Runs in which as many members as may be faulty lose their disks, one after the other all along. */
function withWipes(options: RunOptions): RunOptions {
  const { faults, operations, safetyMs } = options;
  return {
    ...options,
    liars: [],
    twins: 0,
    diskLosses: 0,
    wipes: faults,
    operations: Math.max(operations, 60),
    safetyMs: Math.max(safetyMs, 10_000),
  };
}

export const pbftMutants: Readonly<Record<string, Mutant>> = {
  'prepared-by-too-few': pbftMutant(
    'a batch is prepared by f backups',
    { isPrepared: (votes, faults) => votes >= faults },
    { adjust: withLies('equivocating') },
  ),
  'lost-disk-votes': pbftMutant(
    'a member that has lost its disk goes on as if it had never promised anything',
    { isForgetful: () => false },
    { adjust: withWipes },
  ),
  'committed-by-too-few': pbftMutant(
    'f+1 COMMITs are enough',
    { isCommitted: (votes, faults) => votes >= faults + 1 },
    { scenario: 'prepared-by-few' },
  ),
  'one-claim-believed': pbftMutant(
    'one member is believed that a batch is committed',
    { isCommittedByClaims: (claims) => claims >= 1 },
    { adjust: withLies('eager', 'misvoting') },
  ),
  'stable-by-too-few': pbftMutant('one vote makes a checkpoint stable', {
    isStable: (votes) => votes >= 1,
  }),
  'old-places-free': pbftMutant(
    'below a mark that a NEW-VIEW shows, and where it has ordered, a primary may order again',
    {
      heightAfterNewView: (own) => own,
      mayPrePrepare: (sequence, _, height, window) =>
        pbftRules.mayPrePrepare(sequence, 0, height, window),
    },
    { scenario: 'old-places' },
  ),
  'accepted-replaced': pbftMutant(
    'a second PRE-PREPARE for a slot replaces the first',
    { mayReplaceAccepted: () => true },
    { scenario: 'old-places' },
  ),
  'claims-not-vouched': pbftMutant(
    'one member is believed that a batch was prepared',
    { isVouched: () => true },
    { scenario: 'claims-of-liars' },
  ),
  'older-claim-wins': pbftMutant(
    'a new view takes what was prepared earlier, though something else was prepared later',
    { hasNoLaterClaim: () => true },
    { scenario: 'older-claim' },
  ),
  'null-never-claimed': pbftMutant(
    'nothing may stand only where nobody has prepared it',
    { isClaim: (isNull) => !isNull },
    { scenario: 'null-at-checkpoint' },
  ),
  'window-not-enforced': pbftMutant(
    'batches are taken above the last sequence that there is',
    {
      windowTop: (height, window) => height + 4 * window,
      mayPrePrepare: (sequence, newViewTop, height, window) =>
        pbftRules.mayPrePrepare(sequence, newViewTop, height, 4 * window),
    },
    { scenario: 'jump-above-the-mark' },
  ),
  'clock-never-restarted': pbftMutant(
    'a primary has no more time when another request waits longest',
    { restartsClock: () => false },
    { scenario: 'steady-work' },
  ),
  'null-too-soon': pbftMutant(
    'a new view leaves out what too few deny',
    { mayBeNull: (members) => members >= 1 },
    { scenario: 'few-view-changes' },
  ),
  'view-change-quorum-short': pbftMutant(
    '2f VIEW-CHANGEs make a new view',
    {
      isViewChangeQuorum: (members, faults) => members >= 2 * faults,
      hasNoLaterClaim: (members, faults) => members >= 2 * faults,
      mayBeNull: (members, faults) => members >= 2 * faults,
    },
    { scenario: 'few-view-changes' },
  ),
  'leaves-alone': pbftMutant(
    'a member that has lost patience leaves its view alone',
    { mustLeave: (members, faults, isOneOfThem) => isOneOfThem || members > faults },
    { scenario: 'busy-restarts' },
  ),
  'second-new-view': pbftMutant(
    'a member enters the view that it is in once more, by another NEW-VIEW',
    { mayAcceptNewView: (view, _, offered) => offered >= view },
    { scenario: 'view-opened-again' },
  ),
  'primary-without-memory': pbftMutant('a primary does not note what it proposes', {
    entersQ: (isPrimary) => !isPrimary,
  }),
  'new-view-not-noted': pbftMutant("a NEW-VIEW's batches are not noted as accepted", {
    entersQ: (_, isFromNewView) => !isFromNewView,
  }),
  'reads-ahead-ignored': pbftMutant(
    'reads do not wait for what is prepared',
    { readFloor: () => 0 },
    { scenario: 'reads-beside-laggards' },
  ),
};
