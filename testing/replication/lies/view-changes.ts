// Lies about views and checkpoints: what is signed.

import type { Bytes } from '../../../src/base/bytes.ts';
import type { Send } from '../../../src/replication/contract.ts';
import { nullDigest } from '../../../src/replication/pbft/batch.ts';
import {
  checkpointBytes,
  newViewBytes,
  newViewDigest,
  viewChangeBytes,
  viewChangeDigest,
} from '../../../src/replication/pbft/statements.ts';
import type {
  NewViewStatement,
  PlacedDigest,
  ViewChangeStatement,
} from '../../../src/wire/pbft.ts';
import { altered, type LieContext, type LieMaker, utter } from './lying-engine.ts';

type ViewChangeSend = Extract<Send, { name: 'viewChange' }>;
type NewViewSend = Extract<Send, { name: 'newView' }>;

export function signedViewChange(
  { group, signer }: Pick<LieContext, 'group' | 'signer'>,
  statement: ViewChangeStatement,
): ViewChangeSend['value'] {
  const { instance } = group;
  const digest = viewChangeDigest(statement);
  const signature = signer.sign(viewChangeBytes(instance, statement.view, digest));
  return { instance, statement, signature };
}

export function signedNewView(
  { group, signer }: Pick<LieContext, 'group' | 'signer'>,
  statement: NewViewStatement,
): NewViewSend['value'] {
  const { instance } = group;
  const digest = newViewDigest(statement);
  const signature = signer.sign(newViewBytes(instance, statement.view, digest));
  return { instance, statement, signature };
}

/** Sets P and Q with inventions and omissions, or nothing in them at all; each member is told something else. */
const forging: LieMaker = (context) => {
  const { prng, index, window } = context;
  let lastDigest: Bytes = nullDigest;
  const forged = (statement: ViewChangeStatement): ViewChangeStatement => {
    const { certificate, view } = statement;
    const sequence = certificate.sequence + prng.between(1, window);
    const digest = prng.pick([lastDigest, nullDigest, prng.bytes(32)]) ?? nullDigest;
    const entry: PlacedDigest = { sequence, digest, view: Math.max(0, view - 1) };
    const without = (entries: readonly PlacedDigest[]): PlacedDigest[] =>
      entries.filter((one) => one.sequence !== sequence);
    const sorted = (entries: PlacedDigest[]): PlacedDigest[] =>
      entries.sort((a, b) => a.sequence - b.sequence);
    switch (prng.below(5)) {
      case 0:
        return { ...statement, prepared: [], accepted: [] };
      case 1:
        return { ...statement, prepared: without(statement.prepared) };
      case 2:
        return { ...statement, prepared: sorted([...without(statement.prepared), entry]) };
      case 3:
        return {
          ...statement,
          prepared: sorted([...without(statement.prepared), entry]),
          accepted: sorted([...without(statement.accepted), entry]),
        };
      default: {
        const nothing = { ...certificate, sequence: 0, signatures: [] };
        return { ...statement, certificate: nothing, prepared: [], accepted: [] };
      }
    }
  };
  return {
    onEvent: (event) => {
      if (event.kind === 'message' && event.message.name === 'pbftPrepare') {
        lastDigest = event.message.value.digest;
      }
      return event;
    },
    onSend: (send, to) => {
      if (send.name !== 'viewChange' || send.value.statement.replica !== index) return undefined;
      return [altered(send, to, signedViewChange(context, forged(send.value.statement)))];
    },
  };
};

/** Has prepared nothing and accepted nothing, whatever it said before. */
const denying: LieMaker = (context) => ({
  onSend: (send, to) => {
    if (send.name !== 'viewChange' || send.value.statement.replica !== context.index) {
      return undefined;
    }
    const statement = { ...send.value.statement, prepared: [], accepted: [] };
    return [altered(send, to, signedViewChange(context, statement))];
  },
});

/**
 * From the second view change on claims to have prepared in the first view what it accepted there, and nothing since; and
 * votes for whatever a NEW-VIEW makes of that.
 */
export const claimingFirst: LieMaker = (context) => {
  const { group, index } = context;
  let newest: NewViewStatement | undefined;
  return {
    onEvent: (event) => {
      if (event.kind === 'message' && event.message.name === 'newView') {
        newest = event.message.value.statement;
      }
      return event;
    },
    onSend: (send, to) => {
      if (send.name !== 'viewChange' || send.value.statement.replica !== index) return undefined;
      const { statement } = send.value;
      if (statement.view < 2) return undefined;
      const accepted = statement.accepted.filter(({ view }) => view === 0);
      const told = { ...statement, prepared: accepted, accepted };
      return [altered(send, to, signedViewChange(context, told))];
    },
    onTick: () => {
      if (newest === undefined) return [];
      const { view, height, batches } = newest;
      return group.members.flatMap((_, replica) =>
        batches.flatMap((digest, i) => {
          const to = { kind: 'replica', index: replica } as const;
          const vote = { instance: group.instance, view, sequence: height + 1 + i, digest };
          if (replica === index) return [];
          return [utter(to, 'pbftPrepare', vote), utter(to, 'pbftCommit', vote)];
        }),
      );
    },
  };
};

/** Claims to have prepared, last of all, what was ordered first; never begins a view itself. */
const usurping: LieMaker = (context) => ({
  onSend: (send, to) => {
    if (send.name === 'newView') return [];
    if (send.name !== 'viewChange' || send.value.statement.replica !== context.index) {
      return undefined;
    }
    const { statement } = send.value;
    const [first] = statement.prepared;
    const last = statement.prepared.at(-1);
    if (first === undefined || last === undefined || first === last) return undefined;
    const claim = { ...last, digest: first.digest, view: statement.view - 1 };
    const prepared = [...statement.prepared.slice(0, -1), claim];
    return [altered(send, to, signedViewChange(context, { ...statement, prepared }))];
  },
});

/** As primary of a new view: other choices, too few VIEW-CHANGEs, different ones for different members. */
const misleading: LieMaker = (context) => {
  const { prng, group, index } = context;
  return {
    onSend: (send, to) => {
      if (send.name !== 'newView') return undefined;
      const { statement } = send.value;
      if (statement.view % group.members.length !== index) return undefined;
      const { viewChanges, batches, height } = statement;
      const replaced = batches.map((digest) => (prng.chance(1, 2) ? nullDigest : digest));
      const wrong: NewViewStatement =
        prng.pick([
          { ...statement, batches: replaced },
          { ...statement, batches: batches.slice(0, -1) },
          { ...statement, batches: [...batches, nullDigest] },
          { ...statement, viewChanges: viewChanges.slice(1) },
          { ...statement, height: height + 1, batches: batches.slice(1) },
          { ...statement, view: statement.view + group.members.length },
        ]) ?? statement;
      const said = altered(send, to, signedNewView(context, wrong));
      return prng.chance(1, 3) ? [] : prng.chance(1, 3) ? [altered(send, to), said] : [said];
    },
  };
};

/** Wants ever later views, and says so without end. */
const restless: LieMaker = (context) => {
  const { prng, group, index, checkpointInterval } = context;
  return {
    onTick: () => {
      const { view } = context.status();
      const later = view + (prng.pick([1, 2, 7, 10 ** 9]) ?? 1) + prng.below(3);
      const statement: ViewChangeStatement = {
        replica: index,
        view: later,
        forgotten: 0,
        certificate: { sequence: 0, root: genesisRoot(context), isFinal: 0, signatures: [] },
        prepared: [],
        accepted: prng.chance(1, 2)
          ? []
          : [{ sequence: checkpointInterval, digest: prng.bytes(32), view: 0 }],
      };
      const value = signedViewChange(context, statement);
      return group.members.flatMap((_, i) =>
        i === index ? [] : [utter({ kind: 'replica', index: i }, 'viewChange', value)],
      );
    },
    onEvent: (event) => {
      if (event.kind === 'message' && event.message.name === 'pbftStatus') {
        roots.set(context, event.message.value.genesis);
      }
      return event;
    },
  };
};

/** The root of checkpoint 0, once another member has said it. */
const roots = new WeakMap<LieContext, Bytes>();
function genesisRoot(context: LieContext): Bytes {
  return roots.get(context) ?? new Uint8Array(32);
}

/** Another root for every other member, and checkpoints that nobody has come to. */
const contradicting: LieMaker = (context) => {
  const { prng, group, signer, index, checkpointInterval } = context;
  const { instance } = group;
  return {
    onSend: (send, to) => {
      if (send.name !== 'checkpoint' || send.value.replica !== index || prng.chance(1, 3)) {
        return undefined;
      }
      const ahead = prng.chance(1, 3) ? prng.between(1, 50) * checkpointInterval : 0;
      const claim = {
        sequence: send.value.sequence + ahead,
        root: prng.bytes(32),
        isFinal: prng.chance(1, 4) ? 1 : 0,
      };
      const signature = signer.sign(checkpointBytes(instance, claim));
      return [altered(send, to, { ...send.value, ...claim, signature })];
    },
  };
};

/** Status messages that ask for everything again, or claim to be far ahead. */
const misreporting: LieMaker = ({ prng }) => ({
  onSend: (send, to) => {
    if (send.name !== 'pbftStatus') return undefined;
    const { value } = send;
    const wrong =
      prng.pick([
        { ...value, height: 0, executed: 0, slots: [] },
        { ...value, height: value.height + 1_000, executed: value.executed + 2_000 },
        { ...value, view: value.view + 10 ** 9, isActive: prng.below(2) },
        { ...value, isDoubting: 1 },
        { ...value, genesis: prng.bytes(32) },
      ]) ?? value;
    return [altered(send, to, wrong)];
  },
});

/** Speaks in the names of others, whose keys it does not have. */
const impersonating: LieMaker = (context) => {
  const { prng, group, index, signer } = context;
  const { instance } = group;
  let newest: ViewChangeStatement | undefined;
  return {
    onEvent: (event) => {
      if (event.kind === 'message' && event.message.name === 'viewChange') {
        newest = event.message.value.statement;
      }
      return event;
    },
    onTick: () => {
      const { view, executed } = context.status();
      const sequence =
        executed + context.checkpointInterval - (executed % context.checkpointInterval);
      const claim = { sequence, root: prng.bytes(32), isFinal: 0 };
      const signature = signer.sign(claim.root);
      const quorum = group.members.slice(0, 2 * group.faults + 1);
      const signatures = quorum.map((_, replica) => ({ replica, signature }));
      const certificate = { ...claim, signatures };
      return group.members.flatMap((_, replica) => {
        if (replica === index) return [];
        const to = { kind: 'replica', index: (replica + 1) % group.members.length } as const;
        const vote = { instance, replica, ...claim, signature };
        const said = [
          utter(to, 'checkpoint', vote),
          utter(to, 'stableCheckpoint', { instance, certificate }),
        ];
        if (newest !== undefined) {
          const statement = { ...newest, replica, view: view + 1, prepared: [], accepted: [] };
          said.push(utter(to, 'viewChange', signedViewChange(context, statement)));
        }
        return said;
      });
    },
  };
};

export const viewChangeLies = {
  forging,
  denying,
  usurping,
  misleading,
  restless,
  contradicting,
  misreporting,
  impersonating,
} as const satisfies Record<string, LieMaker>;
