// Viewstamped Replication with one of its rules replaced.

import type { VrParameters } from '../../../src/replication/vr/parameters.ts';
import { type VrRules, vrRules } from '../../../src/replication/vr/rules.ts';
import type { RunOptions } from '../options.ts';
import { type Mutant, vrMutant } from './mutant.ts';

/** Runs with these parameters, and nothing that they do not bear. */
export function withVr(vr: Partial<VrParameters>): (options: RunOptions) => RunOptions {
  return (options) => ({ ...options, vr: { ...options.vr, ...vr } });
}

const inMemory = (options: RunOptions): RunOptions => {
  const { crashes: _, ...faultMix } = options.faultMix;
  return {
    ...withVr({ mode: 'view', witnesses: false })(options),
    faultMix,
    diskLosses: 0,
    primaryTroubles: undefined,
    blackouts: undefined,
    carefulCrashes: { gapMs: [0, 400], lastMs: [0, 400] },
    safetyMs: 20_000,
    operations: 150,
    timeoutMs: 2_000,
  };
};

const eventful = (options: RunOptions): RunOptions => ({
  ...options,
  vr: { ...options.vr, mode: 'full' },
  diskLosses: 0,
  primaryTroubles: { gapMs: [0, 600], lastMs: [0, 800] },
  blackouts: { gapMs: [500, 3_000], lastMs: [0, 300] },
  timeoutMs: 2_000,
  operations: 150,
  safetyMs: 20_000,
});

const withoutWitnesses = (options: RunOptions): RunOptions =>
  eventful(withVr({ witnesses: false })(options));

/** Of the logs that are there the longest. */
const longest: VrRules['chooseLog'] = (claims) => {
  let best = -1;
  claims.forEach(({ hasLog, sequence }, i) => {
    if (hasLog && sequence > (claims[best]?.sequence ?? -1)) best = i;
  });
  return best;
};

export const vrMutants: Readonly<Record<string, Mutant>> = {
  'vr-committed-by-too-few': vrMutant(
    'one acknowledgement fewer commits',
    {
      committed: (own, acknowledged, needed) =>
        vrRules.committed(own, [own, ...acknowledged], needed),
    },
    { adjust: withoutWitnesses },
  ),
  'vr-gaps-acknowledged': vrMutant(
    'an entry is acknowledged though one before it is missing',
    { acknowledged: (_, received) => received },
    { scenario: 'vr-gap-in-the-log' },
  ),
  'vr-dead-entries-kept': vrMutant(
    'own entries below a given suffix stay though they are of a dead view',
    { kept: (_, first, last) => (first <= last + 1 ? first - 1 : undefined) },
    { adjust: withoutWitnesses },
  ),
  'vr-views-from-too-few': vrMutant(
    'f DOVIEWCHANGEs start a view',
    { mayStartView: (votes, faults) => votes >= faults },
    { adjust: withoutWitnesses },
  ),
  'vr-log-dropped-for-transfer': vrMutant(
    'a replica takes the later view before it has its log',
    { keepsLogWhileTransferring: () => false },
    { scenario: 'vr-view-without-its-log' },
  ),
  'vr-hears-while-recovering': vrMutant(
    'a replica without its memory listens to all',
    { hearsWhileRecovering: () => true },
    { adjust: inMemory },
  ),
  'vr-lease-too-long': vrMutant(
    'a lease lasts three times as long as it was granted for',
    { leaseEnd: (sentAtMs, _, leaseMs) => sentAtMs + 3 * leaseMs },
    { scenario: 'vr-leased-primary-cut-off' },
  ),
  'vr-lease-by-any-clock': vrMutant(
    'a lease lasts for as long as it was granted for, by whatever clock',
    { leaseEnd: (sentAtMs, _, leaseMs) => sentAtMs + leaseMs },
    { scenario: 'vr-leased-primary-is-slow' },
  ),
  'vr-promise-by-any-clock': vrMutant(
    'a granted lease binds for as long as it was granted for, by whatever clock',
    { promiseEnd: (nowMs, leaseMs) => nowMs + leaseMs },
    { scenario: 'vr-leased-primary-is-slow' },
  ),
  'vr-promise-not-kept': vrMutant(
    'a replica votes though it has granted a lease',
    { mayVote: () => true },
    { scenario: 'vr-leased-primary-cut-off' },
  ),
  'vr-promise-forgotten': vrMutant(
    'a granted lease binds nobody',
    { promiseEnd: (nowMs) => nowMs },
    { scenario: 'vr-leased-primary-cut-off' },
  ),
  'vr-reads-behind-clients': vrMutant(
    'a read does not wait for writes that only their clients know to be done',
    { readTarget: (commit) => commit, mayServe: (target, executed) => executed >= target },
    { scenario: 'vr-read-of-an-unfinished-write' },
  ),
  'vr-longest-log-wins': vrMutant(
    'a view begins with the longest log, whatever view that belongs to',
    { chooseLog: longest },
    { scenario: 'vr-long-dead-log' },
  ),
  'vr-log-replaced-again': vrMutant(
    "the log of the own view is replaced by what that view's beginning knew of it",
    { mayReplaceLog: (own, v) => v >= own.view && v >= own.lastNormal },
    { scenario: 'vr-late-copy-of-start-view' },
  ),
  'vr-restarts-as-normal': vrMutant(
    'a replica restarts as normal in a view whose log it lacks',
    { statusAfterRestart: () => 'normal' },
    { scenario: 'vr-restart-between-views' },
  ),
  'vr-state-believed-of-older-log': vrMutant(
    'what a state shows to be committed is believed of the entries of an older log',
    { isInLog: () => true },
    { scenario: 'vr-state-before-its-log' },
  ),
  'vr-bystander-believed': vrMutant(
    'a witness has every view of which it hears, and one without a log may win with that',
    {
      lastNormalOutside: (_, view) => view,
      chooseLog: (claims) => vrRules.chooseLog(claims.map((each) => ({ ...each, hasLog: true }))),
    },
    { scenario: 'vr-bystanding-witness' },
  ),
  'vr-left-view-resumed': vrMutant(
    'a replica that has left a view is back in it when it restarts',
    { viewAfterRestart: (_, lastNormal) => lastNormal, resumesView: () => true },
    { adjust: withoutWitnesses },
  ),
  'vr-recovery-skipped': vrMutant(
    'a replica that has lost its log takes part without it',
    { mustRecover: () => false },
    { scenario: 'vr-recovers-beside-laggards' },
  ),
  'vr-promised-view-forgotten': vrMutant(
    'a view that a replica has promised is forgotten when it restarts',
    { promisedView: () => 0 },
    { scenario: 'vr-promise-of-another-life' },
  ),
};
