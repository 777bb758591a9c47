// Known-broken variants of our own code, by name. The campaign must catch each of them, or it proves nothing.

import type { Parts } from '../../harness/parts.ts';
import * as calls from './calls.ts';
import * as network from './network.ts';
import * as rules from './rules.ts';
import * as servers from './servers.ts';

export interface Mutant {
  readonly about: string;
  readonly parts: Parts;
  /** The scenario that shows it; absent where drawn runs do. */
  readonly scenario?: string;
  /** So many seeds, from 1 on, are enough to catch it. */
  readonly seeds: number;
}

const table = {
  'quorum-one-short': {
    about: 'every call is content with 2f replies',
    parts: calls.quorumShort('any'),
    scenario: 'late-quorum',
    seeds: 4,
  },
  'read-quorum-one-short': {
    about: 'reads are content with 2f replies',
    parts: calls.quorumShort('read'),
    scenario: 'late-quorum',
    seeds: 4,
  },
  'write-quorum-one-short': {
    about: 'writes are content with 2f acknowledgements',
    parts: calls.quorumShort('write'),
    scenario: 'late-quorum',
    seeds: 4,
  },
  'timestamp-quorum-one-short': {
    about: 'a writer learns the counter from 2f members',
    parts: calls.quorumShort('timestamp'),
    scenario: 'late-quorum',
    seeds: 4,
  },
  'epoch-unchecked': {
    about: 'replies of another epoch are counted',
    parts: network.epochUnchecked,
    scenario: 'other-epoch',
    seeds: 4,
  },
  'nonce-unchecked': {
    about: 'replies to earlier questions are counted',
    parts: network.nonceUnchecked,
    seeds: 20,
  },
  'member-unchecked': {
    about: 'replies of servers outside the group are counted',
    parts: network.memberUnchecked,
    scenario: 'impostors',
    seeds: 4,
  },
  'counted-twice': {
    about: 'one reply is counted for two members',
    parts: network.countedTwice,
    seeds: 20,
  },
  'refusal-is-nothing': {
    about: 'a refusal to read is taken for "nothing there"',
    parts: network.refusalIsNothing,
    scenario: 'damage-beside-liars',
    seeds: 4,
  },
  'signature-unchecked': {
    about: 'the signatures of headers are not verified',
    parts: rules.signatureUnchecked,
    scenario: 'forged-headers',
    seeds: 4,
  },
  'data-unchecked': {
    about: 'the data of an object is not compared with its header',
    parts: rules.dataUnchecked,
    scenario: 'wrong-bytes',
    seeds: 4,
  },
  'block-unchecked': {
    about: 'the bytes of a block are not compared with its id',
    parts: calls.blockUnchecked,
    scenario: 'wrong-bytes',
    seeds: 4,
  },
  'counting-rule-dropped': {
    about: 'headers count though nobody has delivered their data',
    parts: rules.countingRuleDropped,
    seeds: 20,
  },
  'ordered-by-counter-only': {
    about: 'versions with one counter are not told apart',
    parts: rules.orderedByCounterOnly,
    scenario: 'colliding-writers',
    seeds: 4,
  },
  'write-back-skipped': {
    about: 'reads never write back',
    parts: calls.writeBackSkipped,
    scenario: 'unfinished-write',
    seeds: 4,
  },
  'write-back-from-too-few': {
    about: 'reads write back only what fewer than f+1 members have',
    parts: calls.writeBackFromTooFew,
    scenario: 'fickle-liars',
    seeds: 4,
  },
  'absent-from-too-few': {
    about: 'f+1 members are believed that a block is absent',
    parts: calls.absentFromTooFew,
    scenario: 'late-quorum',
    seeds: 4,
  },
  'journal-unsynced': {
    about: 'small writes are acknowledged before they are durable',
    parts: servers.journalUnsynced,
    scenario: 'blackout-small',
    seeds: 4,
  },
  'table-unsynced': {
    about: 'large writes are acknowledged before they are durable',
    parts: servers.tableUnsynced,
    scenario: 'blackout-large',
    seeds: 4,
  },
  'reveals-undurable': {
    about: 'readers are shown what a crash may still take back',
    parts: servers.revealsUndurable,
    scenario: 'blackout-after-read',
    seeds: 4,
  },
  'applied-mark-ignored': {
    about: 'the journal is replayed over newer contents of the table',
    parts: servers.appliedMarkIgnored,
    scenario: 'blackout-mixed-sizes',
    seeds: 4,
  },
  'damage-is-absence': {
    about: 'a damaged record is taken for no record',
    parts: servers.damageIsAbsence,
    scenario: 'damage-beside-liars',
    seeds: 4,
  },
  'mends-from-too-few': {
    about: 'repair and recovery believe f+1 other members',
    parts: servers.mendsFromTooFew,
    scenario: 'damage-beside-liars',
    seeds: 4,
  },
  'restart-forgets': {
    about: 'a server that restarts has lost everything and does not say so',
    parts: servers.restartForgets,
    scenario: 'blackout-small',
    seeds: 4,
  },
  'recovery-skipped': {
    about: 'a server whose disk was lost answers at once',
    parts: servers.recoverySkipped,
    scenario: 'rolling-losses',
    seeds: 4,
  },
  'counters-forgotten': {
    about: 'an only writer that restarts uses counters again',
    parts: servers.countersForgotten,
    scenario: 'only-writer-restarts',
    seeds: 4,
  },
} as const satisfies Record<string, Mutant>;

export const mutants: ReadonlyMap<string, Mutant> = new Map<string, Mutant>(Object.entries(table));
