// Variants broken outside the rules: durability, the table of clients, the client's own rule of acceptance.

import { equalBytes, utf8 } from '../../../src/base/bytes.ts';
import type { SignaturePurpose } from '../../../src/crypto/domains.ts';
import type { SignatureScheme } from '../../../src/crypto/signature.ts';
import type { Disk } from '../../../src/env/disk.ts';
import type { Acceptance, Reply } from '../../../src/replication/acceptance.ts';
import { ClientTable } from '../../../src/replication/client-table.ts';
import { Executor } from '../../../src/replication/executor.ts';
import { NormalCase } from '../../../src/replication/pbft/normal-case.ts';
import type { EngineName, RunOptions } from '../options.ts';
import { type Mutant, partMutant, urgently, type Where, withEffects } from './mutant.ts';
import { withLies } from './pbft.ts';
import { withVr } from './vr.ts';

/** Puts another function in a method's place until the result is called. */
function replaced<T extends object, K extends keyof T>(target: T, name: K, by: T[K]): () => void {
  const original = target[name];
  target[name] = by;
  return () => {
    target[name] = original;
  };
}

function believingPages(): () => void {
  const { install } = Executor.prototype;
  return replaced(Executor.prototype, 'install', function (this: Executor, pages, target) {
    return install.call(this, pages, { ...target, root: pages.rootNow() });
  });
}

/** Nothing waits for the disk. */
function unsynced(disk: Disk): Disk {
  const { journal } = disk;
  return {
    table: disk.table,
    freeBytes: () => disk.freeBytes(),
    journal: {
      recover: () => journal.recover(),
      append: (bytes) => journal.append(bytes),
      sync: async () => {
        journal.sync().catch(() => {});
      },
      trim: (upTo) => journal.trim(upTo),
      sizeBytes: () => journal.sizeBytes(),
      close: () => journal.close(),
    },
  };
}

/** Takes every signature for this purpose for right. */
function believing(scheme: SignatureScheme, purpose: SignaturePurpose): SignatureScheme {
  const tag = utf8(`holdfast/signed/${purpose}/`);
  return {
    signer: (seed) => scheme.signer(seed),
    // A byte of length, then the tag.
    verify: (key, message, signature) =>
      tag.every((byte, i) => message[i + 1] === byte) || scheme.verify(key, message, signature),
  };
}

const powerFails = (options: RunOptions): RunOptions => ({
  ...options,
  vr: options.engine === 'vr' ? { ...options.vr, mode: 'full' } : {},
  blackouts: { gapMs: [100, 1_500], lastMs: [0, 300] },
  faultMix: { ...options.faultMix, diskLatencyUs: [10_000, 100_000] },
  timeoutMs: 2_000,
  operations: 150,
  safetyMs: 20_000,
});

function both(name: string, make: (engine: EngineName) => Mutant): Record<string, Mutant> {
  return { [name]: make('pbft'), [`vr-${name}`]: make('vr') };
}

const ordered = (acceptance: Acceptance, rule: Acceptance['ordered']): Acceptance => ({
  ...acceptance,
  ordered: rule,
});

const first = (replies: readonly Reply[]): ReturnType<Acceptance['ordered']> => {
  const [reply] = replies;
  return reply === undefined ? { kind: 'open' } : { kind: 'accepted', reply };
};

/** As many equal replies as reads in one round need. */
const fromMost =
  (faults: number): Acceptance['ordered'] =>
  (replies) => {
    for (const reply of replies) {
      const equal = replies.filter(({ digest }) => equalBytes(digest, reply.digest));
      if (equal.length > 2 * faults) return { kind: 'accepted', reply };
    }
    return { kind: 'open' };
  };

function committingByPrepares(): () => void {
  const { onPrepare } = NormalCase.prototype;
  return replaced(NormalCase.prototype, 'onPrepare', function (this: NormalCase, from, vote) {
    onPrepare.call(this, from, vote);
    this.onCommit(from, vote);
  });
}

function refusingLowerNumbers(): () => void {
  const { find } = ClientTable.prototype;
  return replaced(ClientTable.prototype, 'find', function (this: ClientTable, client, number) {
    const found = find.call(this, client, number);
    const isLower = found.kind === 'new' && number <= this.largest(client);
    return isLower ? { kind: 'too-old' } : found;
  });
}

function storingTheEnd(): () => void {
  const { execute } = Executor.prototype;
  return replaced(
    Executor.prototype,
    'execute',
    function (this: Executor, request, agreed, sequence) {
      const executed = execute.call(this, request, agreed, sequence);
      if (executed.outcome === 1) {
        this.table.record(request.client, request.number, executed.result, sequence);
      }
      return executed;
    },
  );
}

const crashy: Where = { adjust: powerFails };

export const aroundMutants: Readonly<Record<string, Mutant>> = {
  ...both('sent-before-durable', (engine) =>
    partMutant(
      engine,
      'votes and replies leave before the records that they rest on are durable',
      {
        engine: (inner) =>
          withEffects(inner, (effects) => ({ ...effects, sends: effects.sends.map(urgently) })),
      },
      crashy,
    ),
  ),
  ...both('journal-unsynced', (engine) =>
    partMutant(
      engine,
      'the journal says that it is flushed when it is not',
      { disk: unsynced },
      crashy,
    ),
  ),
  ...both('amnesia', (engine) =>
    partMutant(
      engine,
      'a restarted replica begins with an empty disk and does not say so',
      { forgetsAtRestart: true },
      crashy,
    ),
  ),
  ...both('genesis-ignored', (engine) =>
    partMutant(
      engine,
      'a replica that lacks the state with which its instance begins goes on with none',
      { ignoresGenesis: true },
      { adjust: (options) => ({ ...options, inherits: true }) },
    ),
  ),
  ...both('followers-renumbered', (engine) =>
    partMutant(
      engine,
      'a client that follows an ended group gives new numbers to what it had under way',
      { renumbersFollowers: true },
      { scenario: engine === 'pbft' ? 'hand-over' : 'vr-hand-over' },
    ),
  ),
  ...both('table-not-in-checkpoint', (engine) =>
    partMutant(
      engine,
      'the table of clients is left out of checkpoints',
      { patch: () => replaced(ClientTable.prototype, 'flush', () => {}) },
      crashy,
    ),
  ),
  ...both('pages-believed', (engine) =>
    partMutant(
      engine,
      'pages are taken for what they should be, whatever their root',
      { patch: believingPages },
      { scenario: engine === 'vr' ? 'vr-page-rot' : 'page-rot' },
    ),
  ),
  ...both('numbers-used-again', (engine) =>
    partMutant(
      engine,
      'a restarted client begins with number 1 again',
      { reusesNumbers: true },
      {
        adjust: (options) => ({ ...options, clientCrashes: { gapMs: [0, 500], lastMs: [0, 100] } }),
      },
    ),
  ),
  'first-reply-believed': partMutant(
    'pbft',
    'a client believes the first reply',
    { acceptance: (acceptance) => ordered(acceptance, first) },
    { adjust: withLies('falsifying') },
  ),
  'replies-from-most': partMutant(
    'pbft',
    'a client believes 2f+1 replies only',
    { acceptance: (acceptance, faults) => ordered(acceptance, fromMost(faults)) },
    { scenario: 'starved-reads' },
  ),
  'prepare-is-commit': partMutant(
    'pbft',
    'a PREPARE counts as a COMMIT, too',
    { patch: committingByPrepares },
    { scenario: 'prepared-by-few' },
  ),
  ...both('numbers-in-order', (engine) =>
    partMutant(
      engine,
      'what a client asked for before what is executed already is never executed',
      { patch: refusingLowerNumbers },
      { adjust: (options) => ({ ...options, concurrency: 4 }) },
    ),
  ),
  ...both('end-in-table', (engine) =>
    partMutant(
      engine,
      'that the instance has ended is stored as the result of what was not executed any more',
      { patch: storingTheEnd },
      { scenario: engine === 'pbft' ? 'hand-over' : 'vr-hand-over' },
    ),
  ),
  'first-answer-believed': partMutant(
    'pbft',
    'a client believes the first answer to a read',
    { acceptance: (acceptance) => ({ ...acceptance, query: first }) },
    { adjust: withLies('falsifying', 'stale') },
  ),
  'tentative-not-undone': partMutant(
    'pbft',
    'tentative execution stays when a view is left',
    {
      patch: () =>
        replaced(Executor.prototype, 'undo', function (this: Executor) {
          this.keep();
        }),
    },
    { scenario: 'tentative-undone' },
  ),
  'requests-not-verified': partMutant(
    'pbft',
    "clients' signatures are not checked",
    { scheme: (scheme) => believing(scheme, 'client-bundle') },
    { adjust: withLies('tampering') },
  ),
  'view-changes-not-verified': partMutant(
    'pbft',
    'signatures under VIEW-CHANGEs are not checked',
    { scheme: (scheme) => believing(scheme, 'view-change') },
    { adjust: withLies('impersonating') },
  ),
  'checkpoints-not-verified': partMutant(
    'pbft',
    'signatures under CHECKPOINTs are not checked',
    { scheme: (scheme) => believing(scheme, 'checkpoint') },
    { adjust: withLies('impersonating') },
  ),
  'vr-speculation-believed': partMutant(
    'vr',
    'a client takes what a primary executed in advance for done',
    {
      acceptance: (acceptance) =>
        ordered(acceptance, (replies) => first(replies.filter(({ outcome }) => outcome !== 3))),
    },
    {
      adjust: (options) => ({
        ...withVr({ threeMessageWrites: true, mode: 'full', witnesses: false })(options),
        primaryTroubles: { gapMs: [0, 300], lastMs: [0, 500] },
        safetyMs: 20_000,
        operations: 150,
      }),
    },
  ),
};
