// Lies about which batch is where: those of a primary, and those of its backups' votes.

import type { Bytes } from '../../../src/base/bytes.ts';
import type { Send } from '../../../src/replication/contract.ts';
import { type Batch, batchDigest } from '../../../src/replication/pbft/batch.ts';
import { requestDigest } from '../../../src/replication/requests.ts';
import type { SignedRequest } from '../../../src/wire/replication.ts';
import { altered, type LieContext, type LieMaker, type To, utter } from './lying-engine.ts';

type PrePrepare = Extract<Send, { name: 'prePrepare' }>;
type Vote = Extract<Send, { name: 'pbftPrepare' | 'pbftCommit' }>;

function isVote(send: Send): send is Vote {
  return send.name === 'pbftPrepare' || send.name === 'pbftCommit';
}

export function digestOf(
  { group }: Pick<LieContext, 'group'>,
  { requests, agreed }: Pick<Batch, 'agreed'> & { readonly requests: readonly SignedRequest[] },
): Bytes {
  return batchDigest(
    requests.map(({ request }) => requestDigest(group.instance, request)),
    agreed,
  );
}

/** A batch of other requests that clients have signed. */
function otherBatch({ requests, prng }: LieContext, value: PrePrepare['value']): SignedRequest[] {
  if (value.requests.length > 1 && prng.chance(1, 2)) return value.requests.slice(1);
  const other = prng.pick(requests);
  if (other === undefined) return value.requests;
  if (prng.chance(1, 2)) return [other];
  return [
    other,
    ...value.requests.filter(({ request }) => request.number !== other.request.number),
  ];
}

/** Half of the members are told of another batch; the votes to them fit. */
const equivocating: LieMaker = (context) => {
  const { prng, index, group } = context;
  const others = prng.shuffled(group.members.map((_, i) => i).filter((i) => i !== index));
  const deceived = new Set(others.slice(0, prng.between(1, others.length - 1)));
  const twins = new Map<string, PrePrepare['value']>();
  const twinOf = (send: PrePrepare): PrePrepare['value'] => {
    const key = `${send.value.view} ${send.value.sequence}`;
    let twin = twins.get(key);
    if (twin === undefined) {
      twin = { ...send.value, requests: otherBatch(context, send.value) };
      twins.set(key, twin);
    }
    return twin;
  };
  return {
    onSend: (send, to) => {
      if (to.kind !== 'replica' || !deceived.has(to.index)) return undefined;
      if (send.name === 'prePrepare') return [altered(send, to, twinOf(send))];
      if (!isVote(send)) return undefined;
      const twin = twins.get(`${send.value.view} ${send.value.sequence}`);
      if (twin === undefined) return undefined;
      return [altered(send, to, { ...send.value, digest: digestOf(context, twin) })];
    },
  };
};

/** One member never gets a PRE-PREPARE, nor any body. */
const withholding: LieMaker = ({ prng, index, group }) => {
  const victims = prng
    .shuffled(group.members.map((_, i) => i).filter((i) => i !== index))
    .slice(0, prng.between(1, group.faults));
  return {
    onSend: (send, to) => {
      const isKept = send.name === 'prePrepare' || send.name === 'body';
      return isKept && to.kind === 'replica' && victims.includes(to.index) ? [] : undefined;
    },
  };
};

/** Batches come as late as can be borne, and often later. */
const slow: LieMaker = ({ prng }) => ({
  onSend: (send, to) =>
    send.name === 'prePrepare' || send.name === 'newView'
      ? [{ ...altered(send, to), delayMs: prng.pick([20, 100, 400, 1_500]) ?? 100 }]
      : undefined,
});

/** Sequence numbers are skipped, and some lie above every window. */
const jumping: LieMaker = ({ prng, window }) => ({
  onSend: (send, to) => {
    if (send.name !== 'prePrepare' || prng.chance(1, 2)) return undefined;
    const sequence = send.value.sequence + (prng.pick([1, 2, window, window + 1, 2 ** 40]) ?? 1);
    return [altered(send, to, { ...send.value, sequence })];
  },
});

/** Votes for digests that nobody proposed, and for other slots and views. */
const misvoting: LieMaker = ({ prng }) => ({
  onSend: (send, to) => {
    if (!isVote(send) && send.name !== 'committed') return undefined;
    const { value } = send;
    const drawn = prng.below(4);
    if (drawn === 0) return [altered(send, to, { ...value, digest: prng.bytes(32) })];
    if (drawn === 1) return [altered(send, to, { ...value, sequence: value.sequence + 1 })];
    if (drawn === 2 && 'view' in value) {
      return [
        altered(send, to, { ...value, view: value.view + prng.between(1, 3) }),
        altered(send, to),
      ];
    }
    return [altered(send, to), altered(send, to, { ...value, digest: prng.bytes(32) })];
  },
});

/** Votes for whatever is proposed, in both phases and at once, whether or not it makes sense. */
const eager: LieMaker = (context) => {
  const { group, index, checkpointInterval } = context;
  return {
    onEvent: (event) => event,
    onTick: () => {
      const { view, executed } = context.status();
      const said = [];
      for (let sequence = executed + 1; sequence <= executed + checkpointInterval; sequence++) {
        const request = context.prng.pick(context.requests);
        if (request === undefined) break;
        const digest = digestOf(context, {
          requests: [request],
          agreed: new Uint8Array(0),
        });
        const value = { instance: group.instance, view, sequence, digest };
        for (let i = 0; i < group.members.length; i++) {
          if (i === index) continue;
          const to: To = { kind: 'replica', index: i };
          said.push(utter(to, 'pbftPrepare', value), utter(to, 'pbftCommit', value));
          said.push(utter(to, 'committed', { instance: group.instance, sequence, digest }));
        }
      }
      return said;
    },
  };
};

/** One client is never heard. */
const censoring: LieMaker = ({ prng }) => {
  let victim: Bytes | undefined;
  return {
    onEvent: (event) => {
      if (event.kind !== 'message' || event.message.name !== 'submitRequest') return event;
      const { client } = event.message.value.request.request;
      if (victim === undefined && prng.chance(1, 2)) victim = client;
      const isVictim = victim?.every((byte, i) => byte === client[i]) === true;
      return isVictim ? undefined : event;
    },
  };
};

/** Non-deterministic input that makes no sense. */
const senseless: LieMaker = ({ prng }) => ({
  onSend: (send, to) =>
    send.name === 'prePrepare'
      ? [altered(send, to, { ...send.value, agreed: prng.bytes(prng.between(0, 9)) })]
      : undefined,
});

/** Requests are put into batches altered, twice, or with other people's proofs. */
const tampering: LieMaker = ({ prng }) => ({
  onSend: (send, to) => {
    if (send.name !== 'prePrepare' && send.name !== 'body') return undefined;
    const [first, ...rest] = send.value.requests;
    if (first === undefined) return undefined;
    const operation = new Uint8Array(first.request.operation);
    operation[operation.length - 1] = (operation[operation.length - 1] ?? 0) ^ 1;
    const forged = { ...first, request: { ...first.request, operation } };
    const requests = prng.chance(1, 2) ? [forged, ...rest] : [first, first, ...rest];
    return [altered(send, to, { ...send.value, requests })];
  },
});

/** As primary, orders something else where batches are already. */
const reordering: LieMaker = (context) => {
  const { prng, group, index } = context;
  return {
    onTick: () => {
      const { view, executed } = context.status();
      const request = prng.pick(context.requests);
      if (view % group.members.length !== index || executed === 0 || request === undefined)
        return [];
      const { instance } = group;
      const sequence = prng.between(1, executed);
      const value = {
        instance,
        view,
        sequence,
        requests: [request],
        agreed: new Uint8Array(0),
        fullRepliers: [],
      };
      return group.members.flatMap((_, i) =>
        i === index ? [] : [utter({ kind: 'replica', index: i }, 'prePrepare', value)],
      );
    },
  };
};

export const orderingLies = {
  equivocating,
  withholding,
  slow,
  jumping,
  misvoting,
  eager,
  censoring,
  senseless,
  tampering,
  reordering,
} as const satisfies Record<string, LieMaker>;
