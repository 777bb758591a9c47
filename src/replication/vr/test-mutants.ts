// Wrong variants of the rules for the tests of this folder, each as the papers print it or as it is easily got wrong, with
// the mode in which it does harm.

import { type VrRules, vrRules } from './rules.ts';
import type { Mode } from './test-campaign.ts';

export interface Mutant {
  readonly mode: Mode;
  readonly rules: Partial<VrRules>;
}

export const mutants: Readonly<Record<string, Mutant>> = {
  'the own copy counts in memory': {
    mode: 'full',
    rules: { ownCopy: (_mode, last) => last },
  },
  'one acknowledgement too few commits': {
    mode: 'full',
    rules: {
      committed: (own, acknowledged, needed) => vrRules.committed(own, acknowledged, needed - 1),
    },
  },
  'gaps are acknowledged': {
    mode: 'full',
    rules: { acknowledged: (last, received) => Math.max(last, received) },
  },
  'the log of the own view is replaced again': {
    mode: 'full',
    rules: { mayReplaceLog: (own, v) => v >= own.view && v >= own.lastNormal },
  },
  'uncommitted entries of an older view are kept below a suffix': {
    mode: 'full',
    rules: {
      kept: (commit, first, last) => (first - 1 <= last ? Math.max(commit, first - 1) : undefined),
    },
  },
  'f votes start a view': {
    mode: 'full',
    rules: { mayStartView: (votes, faults) => votes >= Math.max(faults, 1) },
  },
  'a replica restarts as normal in a view whose log it lacks': {
    mode: 'full',
    rules: { statusAfterRestart: () => 'normal' },
  },
  'a restarted primary goes on': {
    mode: 'full',
    rules: { resumesView: () => true },
  },
  'the log is cut and the view adopted before the new log is here': {
    mode: 'full',
    rules: { keepsLogWhileTransferring: () => false },
  },
  'a recovering replica takes part': {
    mode: 'view',
    rules: { hearsWhileRecovering: () => true },
  },
  'the view promised before the crash is forgotten': {
    mode: 'view',
    rules: { promisedView: () => 0 },
  },
  'a lease counts from its grant': {
    mode: 'leases',
    rules: { leaseEnd: (_sent, now, lease) => now + lease },
  },
  'a promise is over at once': {
    mode: 'leases',
    rules: { mayVote: () => true },
  },
  'a new primary reads before what it inherited is committed': {
    mode: 'leases',
    rules: { mayRead: (now, leaseUntil) => now < leaseUntil },
  },
  'reads do not wait for three-message writes': {
    mode: 'three messages with leases',
    rules: {
      readTarget: (commit) => commit,
      mayServe: (target, executed) => executed >= target,
    },
  },
  'marks of requests outlive the log': {
    mode: 'full',
    rules: { rebuildsPending: () => false },
  },
  'a witness takes its log for that of a view which began without it': {
    mode: 'witnesses',
    rules: { lastNormalOutside: (_lastNormal, view) => view },
  },
  'a witness drops its log while others may need it': {
    mode: 'witnesses',
    rules: { mayDropLog: () => true },
  },
};
