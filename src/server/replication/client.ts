// A client of a group as part of a process: the real env round `GroupClient`.

import type { PeerId } from '../../base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import { type Log, silentLog } from '../../env/log.ts';
import { systemClock, systemTimers } from '../../node/clock.ts';
import { systemEntropy } from '../../node/entropy.ts';
import { createIdentity } from '../../node/identity.ts';
import { NodeMetrics } from '../../node/metrics.ts';
import { createTlsNetwork } from '../../node/network.ts';
import { GroupClient } from '../../replication/client.ts';
import type { Unanswered } from '../../replication/client-operation.ts';
import type { Outcome, ReplicatedClient, SubmitOptions } from '../../replication/contract.ts';
import { pbftAcceptance } from '../../replication/pbft/index.ts';
import { vrAcceptance } from '../../replication/vr/acceptance.ts';
import {
  encodeReplicationMessage,
  replicationMessageNumber,
  replicationPayloadSizeBytesMax,
} from '../../wire/replication-registry.ts';
import {
  checkEngineKind,
  checkGroup,
  checkGroupSize,
  checkIsNoMember,
  checkOperation,
  checkSeed,
  checkTimeout,
} from './arguments.ts';
import { checkEnding, type Ending } from './ending.ts';
import type { PlacedGroup } from './group.ts';

export interface ConnectGroupOptions {
  readonly group: PlacedGroup;
  readonly engine: 'pbft' | 'vr';
  /** Viewstamped Replication: the group's parameter `witnesses`. */
  readonly hasWitnesses?: boolean;
  /**
   * Secret, 32 bytes: the seed of the client's key, which is no member's, and which no two processes use at a time. Unless given the client has a
   * key of its own that ends with it.
   */
  readonly identitySeed?: Bytes;
  /**
   * How long `submit` and `query` wait before they throw `unavailable`, when the operation may have been executed or not, unless the message says
   * that it was not sent; `details` have the numbers of `members`, of those `connected` and of those `answering`.
   * 1 … 2^31 - 1; unless given they wait as long as it takes, and `log` tells that nobody answers.
   */
  readonly timeoutMs?: number;
  /** Told, among other things, when nobody answers (`group-silent`, a warning) and when somebody does again (`group-answers`). */
  readonly log?: Log;
}

export interface FollowOptions extends Omit<ConnectGroupOptions, 'identitySeed'> {
  /** How the instance ended that this client was connected to: `group` begins with that. */
  readonly ending: Pick<Ending, 'root' | 'proof'>;
}

export interface ConnectedGroup extends ReplicatedClient {
  /**
   * Goes on with the same key in the group that begins with what this one ended with. Operations under way here go along, under
   * their numbers, so that one which was executed before the end gives its result and is not executed again; their
   * promises are settled by the new group. This client takes nothing more.
   * @throws HoldfastError `verification-failed` if the ending of a PBFT group is not proved, `bad-configuration` if the group begins with
   * something else. This client goes on then.
   */
  follow(options: FollowOptions): Promise<ConnectedGroup>;
  /** Ends its connections too. */
  close(): Promise<void>;
}

/** Connects to a group, and does not wait until anybody is reached: members that are out are dialled again by themselves. */
export async function connectGroup(options: ConnectGroupOptions): Promise<ConnectedGroup> {
  const { identitySeed } = options;
  if (identitySeed !== undefined) checkSeed('identitySeed', identitySeed);
  return connect(options, identitySeed ?? systemEntropy.bytes(32), () => undefined);
}

/** @param leave ends the client that this one follows, once nothing can go wrong any more. */
async function connect(
  options: ConnectGroupOptions,
  seed: Bytes,
  leave: () => Unanswered | undefined,
): Promise<ConnectedGroup> {
  const { group, engine, timeoutMs, log = silentLog } = options;
  checkGroup(group);
  checkEngineKind(engine);
  checkGroupSize(group, engine);
  if (timeoutMs !== undefined) checkTimeout(timeoutMs);
  const signer = ed25519.signer(seed);
  checkIsNoMember(group, signer.publicKey);
  const metrics = new NodeMetrics();
  const network = await createTlsNetwork({
    identity: await createIdentity(seed),
    channelKeys: { system: group.instance, timeOfDayMs: () => Date.now() },
    sizeBytesMax: replicationPayloadSizeBytesMax,
    // A member answers on the connection on which it has heard the client, so each begins with a word.
    greeting: {
      type: replicationMessageNumber('lastNumber'),
      payload: encodeReplicationMessage('lastNumber', {
        instance: group.instance,
        nonce: systemEntropy.bytes(16),
      }),
    },
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log,
    metrics,
  });
  const env = {
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    network,
    log,
    metrics,
  };
  const peers = group.members.map((key) => toHex(key) as PeerId);
  const client = new GroupClient({
    env,
    signer,
    group,
    addresses: group.addresses,
    acceptance:
      engine === 'pbft' ? pbftAcceptance(group) : vrAcceptance(group.faults, options.hasWitnesses),
    // Also a new key: others that begin like it may have raised the number from which it may count.
    isFresh: false,
    follows: leave(),
    timeoutMs,
    connected: () => peers.filter((peer) => network.state(peer)?.phase === 'connected').length,
  });
  return {
    async submit(operation: Bytes, more?: SubmitOptions): Promise<Outcome> {
      checkOperation(operation);
      return client.submit(operation, more);
    },
    async query(operation: Bytes, more?: SubmitOptions): Promise<Outcome> {
      checkOperation(operation);
      return client.query(operation, more);
    },
    async follow({ ending, ...next }) {
      checkFollows(options, next.group, ending);
      const following = await connect(next, seed, () => client.leave());
      await network.close();
      return following;
    },
    async close() {
      client.close();
      await network.close();
    },
  };
}

function checkFollows(
  { group, engine }: ConnectGroupOptions,
  next: PlacedGroup,
  { root, proof }: FollowOptions['ending'],
): void {
  const isProved = engine === 'vr' || equalBytes(checkEnding(group, proof).root, root);
  if (isProved && next.genesis !== undefined && equalBytes(next.genesis, root)) return;
  throw new HoldfastError(
    'bad-configuration',
    'this group does not begin with what the other ended with',
    { cure: "Describe it with the ending's root, or connect to it with a client of its own." },
  );
}
