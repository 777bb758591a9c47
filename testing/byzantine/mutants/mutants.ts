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
    seeds: 100,
  },
  'read-quorum-one-short': {
    about: 'reads are content with 2f replies',
    parts: calls.quorumShort('read'),
    seeds: 100,
  },
  'write-quorum-one-short': {
    about: 'writes are content with 2f acknowledgements',
    parts: calls.quorumShort('write'),
    seeds: 100,
  },
  'timestamp-quorum-one-short': {
    about: 'a writer learns the counter from 2f members',
    parts: calls.quorumShort('timestamp'),
    seeds: 100,
  },
  'epoch-unchecked': {
    about: 'replies of another epoch are counted',
    parts: network.epochUnchecked,
    seeds: 100,
  },
  'nonce-unchecked': {
    about: 'replies to earlier questions are counted',
    parts: network.nonceUnchecked,
    seeds: 100,
  },
  'member-unchecked': {
    about: 'replies of servers outside the group are counted',
    parts: network.memberUnchecked,
    seeds: 100,
  },
  'counted-twice': {
    about: 'one reply is counted for two members',
    parts: network.countedTwice,
    seeds: 100,
  },
  'refusal-is-nothing': {
    about: 'a refusal to read is taken for "nothing there"',
    parts: network.refusalIsNothing,
    seeds: 100,
  },
  'signature-unchecked': {
    about: 'the signatures of headers are not verified',
    parts: rules.signatureUnchecked,
    seeds: 100,
  },
  'data-unchecked': {
    about: 'the data of an object is not compared with its header',
    parts: rules.dataUnchecked,
    seeds: 100,
  },
  'block-unchecked': {
    about: 'the bytes of a block are not compared with its id',
    parts: calls.blockUnchecked,
    seeds: 100,
  },
  'counting-rule-dropped': {
    about: 'headers count though nobody has delivered their data',
    parts: rules.countingRuleDropped,
    seeds: 100,
  },
  'ordered-by-counter-only': {
    about: 'versions with one counter are not told apart',
    parts: rules.orderedByCounterOnly,
    seeds: 100,
  },
  'write-back-skipped': {
    about: 'reads never write back',
    parts: calls.writeBackSkipped,
    seeds: 100,
  },
  'write-back-from-too-few': {
    about: 'reads write back only what fewer than f+1 members have',
    parts: calls.writeBackFromTooFew,
    seeds: 100,
  },
  'absent-from-too-few': {
    about: 'f+1 members are believed that a block is absent',
    parts: calls.absentFromTooFew,
    seeds: 100,
  },
  'journal-unsynced': {
    about: 'small writes are acknowledged before they are durable',
    parts: servers.journalUnsynced,
    seeds: 100,
  },
  'table-unsynced': {
    about: 'large writes are acknowledged before they are durable',
    parts: servers.tableUnsynced,
    seeds: 100,
  },
  'reveals-undurable': {
    about: 'readers are shown what a crash may still take back',
    parts: servers.revealsUndurable,
    seeds: 100,
  },
  'applied-mark-ignored': {
    about: 'the journal is replayed over newer contents of the table',
    parts: servers.appliedMarkIgnored,
    seeds: 100,
  },
  'damage-is-absence': {
    about: 'a damaged record is taken for no record',
    parts: servers.damageIsAbsence,
    seeds: 100,
  },
  'mends-from-too-few': {
    about: 'repair and recovery believe f+1 other members',
    parts: servers.mendsFromTooFew,
    seeds: 100,
  },
  'restart-forgets': {
    about: 'a server that restarts has lost everything and does not say so',
    parts: servers.restartForgets,
    seeds: 100,
  },
  'recovery-skipped': {
    about: 'a server whose disk was lost answers at once',
    parts: servers.recoverySkipped,
    seeds: 100,
  },
  'counters-forgotten': {
    about: 'an only writer that restarts uses counters again',
    parts: servers.countersForgotten,
    seeds: 100,
  },
} as const satisfies Record<string, Mutant>;

export const mutants: ReadonlyMap<string, Mutant> = new Map<string, Mutant>(Object.entries(table));
