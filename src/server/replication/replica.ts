// One replica of a group as part of a process: the real env round an engine.

import { join } from 'node:path';
import type { PeerId } from '../../base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import { type Log, silentLog } from '../../env/log.ts';
import { systemClock, systemTimers } from '../../node/clock.ts';
import { systemEntropy } from '../../node/entropy.ts';
import { NodeMetrics } from '../../node/metrics.ts';
import { createTlsNetwork } from '../../node/network.ts';
import type { Engine, Evidence, ReplicaStatus, StateMachine } from '../../replication/contract.ts';
import { ReplicaHost } from '../../replication/host.ts';
import {
  createPbftEngine,
  type MemberSigner,
  type PbftParameters,
} from '../../replication/pbft/index.ts';
import { createVrEngine } from '../../replication/vr/engine.ts';
import type { VrParameters } from '../../replication/vr/parameters.ts';
import {
  clientPayloadSizeBytesMax,
  replicationPayloadSizeBytesMax,
} from '../../wire/replication-registry.ts';
import { checkEngineChoice, checkFolder, checkGroup, checkGroupSize } from './arguments.ts';
import { watchEnd } from './end-watch.ts';
import type { Ending } from './ending.ts';
import { EvidenceFile, evidenceKeeper, evidenceName } from './evidence-file.ts';
import { curable, openFolder } from './folder.ts';
import { gaugeStatus } from './gauges.ts';
import type { PlacedGroup } from './group.ts';
import { type MemberKey, memberKeyOf } from './member-key.ts';
import { ModuleWatch } from './module-watch.ts';
import { QuorumWatch, reachOf } from './quorum-watch.ts';

/** How a group agrees: PBFT on 3f+1 members of which f may lie, or Viewstamped Replication on 2f+1 of which f may stop. */
export type EngineChoice =
  | { readonly kind: 'pbft'; readonly parameters?: Partial<PbftParameters> }
  | { readonly kind: 'vr'; readonly parameters?: Partial<VrParameters> };

export interface ReplicaOptions {
  readonly group: PlacedGroup;
  /** Secret, 32 bytes: the seed of a member's key. Says which member this is. Unless a module has it. */
  readonly identitySeed?: Bytes;
  /**
   * Path of the socket of the module that has the member's key (`startSigningModule`), in place of the seed: what breaks into this
   * process then does not get the key, and has nothing that is good after the member's next change of keys. PBFT only.
   */
  readonly signingSocket?: string;
  readonly engine: EngineChoice;
  readonly service: StateMachine;
  /** Made by `createReplicaFolder`. Undefined keeps nothing: for tests and measurements, and VR in mode `view`. */
  readonly folder: string | undefined;
  /**
   * Which clients may connect, by public key. Unless given, everyone may, as a stranger: strangers give way when all
   * connections are taken, and replies beyond 64 KiB that they have not read yet are dropped.
   */
  readonly admits?: (client: Bytes) => boolean;
  /**
   * Told once of each thing that a member or client provably did wrong; with a folder it is kept there too, in
   * `evidence.jsonl`, and not told again after a restart.
   */
  readonly onEvidence?: (evidence: Evidence) => void;
  readonly log?: Log;
}

export interface RunningReplica {
  /** Index in the group. */
  readonly index: number;
  status(): ReplicaStatus;
  /**
   * Resolves if the disk or the service fails: the replica then does nothing more, `status` says `failed`, and its process
   * should end.
   */
  readonly failed: Promise<Error>;
  /**
   * Begins a proactive recovery: new keys, all pages checked, as if this machine had been broken into. The service goes
   * on; `status` says `recovering` until it is over. PBFT only.
   * @throws HoldfastError `usage` for a replica of Viewstamped Replication: its members trust each other; and for one that has
   * failed or was stopped.
   */
  recover(): void;
  /**
   * What another group can begin with, once this instance has ended and `status` says `final`; undefined before, and at a
   * witness. It stays what it is after `stop`.
   */
  ending(): Ending | undefined;
  /** In the Prometheus text format. */
  metrics(): Promise<string>;
  /** Harmless when done twice. `status` says `stopped` from then on. */
  stop(): Promise<void>;
}

/**
 * Starts a replica.
 * @throws HoldfastError `data-folder`, `port-in-use`, `bad-configuration`; `unavailable` when its signing module does not answer.
 */
export async function startReplica(options: ReplicaOptions): Promise<RunningReplica> {
  const { group, folder } = options;
  checkGroup(group);
  checkEngineChoice(options.engine);
  checkGroupSize(group, options.engine.kind);
  if (folder !== undefined) checkFolder(folder);
  const memberKey = await memberKeyOf(options, group, options.engine.kind);
  try {
    return await startWith(options, memberKey);
  } catch (error) {
    memberKey.close();
    throw error;
  }
}

async function startWith(options: ReplicaOptions, memberKey: MemberKey): Promise<RunningReplica> {
  const { group, folder, admits, log = silentLog } = options;
  const { signer, identity, renew } = memberKey;
  const index = group.members.findIndex((key) => equalBytes(key, signer.publicKey));
  const address = group.addresses[index];
  if (address === undefined) {
    throw new HoldfastError('bad-configuration', 'this key is no member of the group', {
      cure: 'Start the replica with the seed, or the signing module, of one of the members.',
    });
  }
  // Parameters that make no sense are told before anything is touched.
  const engine = engineOf(options, index, signer);
  const open = folder === undefined ? undefined : await openFolder(folder, group, index, log);
  const evidenceFile = new EvidenceFile(
    folder === undefined ? undefined : join(folder, evidenceName),
    group,
  );
  const metrics = new NodeMetrics({ process: true });
  const members = new Set(group.members.map((key) => toHex(key)));
  const network = await createTlsNetwork({
    identity,
    channelKeys: { system: group.instance, ...(renew !== undefined && { renew }) },
    listen: address,
    // Before anything of it is read: decoding the largest messages of members takes long.
    sizeBytesMax: (type, peer) =>
      members.has(peer) ? replicationPayloadSizeBytesMax(type) : clientPayloadSizeBytesMax(type),
    isKnown: (peer) => members.has(peer) || admits?.(keyOf(peer)) === true,
    // Clients may be more than there are places.
    keepsPlace: (peer) => members.has(peer),
    admit: (peer) => members.has(peer) || (admits?.(keyOf(peer)) ?? true),
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log,
    metrics,
  }).catch(async (error: unknown) => {
    await open?.close();
    throw error;
  });
  const env = {
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    network,
    log,
    metrics,
  };
  let failure: Error | undefined;
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = (error) => {
      failure = error;
      moduleWatch?.close();
      resolve(error);
    };
  });
  let watch: QuorumWatch | undefined;
  let endWatching = (): void => {};
  let moduleWatch: ModuleWatch | undefined;
  const stop = async (host?: ReplicaHost): Promise<void> => {
    watch?.close();
    endWatching();
    moduleWatch?.close();
    host?.close();
    await network.close();
    await open?.close();
    memberKey.close();
    if (host !== undefined) log.info('replica-stopped', { index });
  };
  try {
    const host = await ReplicaHost.open({
      env,
      disk: open?.disk,
      group,
      self: index,
      addresses: group.addresses,
      engine,
      onEvidence: evidenceKeeper(evidenceFile, log, options.onEvidence),
      onFailure: fail,
    });
    host.start();
    // What it begins with, or a module that knows less than the journal, keeps it from starting at all.
    if (failure !== undefined) throw failure;
    let stopping: Promise<void> | undefined;
    const status = (): ReplicaStatus => {
      if (stopping !== undefined) return { ...host.status(), status: 'stopped' };
      return failure === undefined ? host.status() : { ...host.status(), status: 'failed' };
    };
    const peers = group.members.map((key) => toHex(key) as PeerId);
    watch = new QuorumWatch({
      timers: systemTimers,
      log,
      reach: () => {
        const connected = peers.map((peer) => network.state(peer)?.phase === 'connected');
        return reachOf(options.engine.kind, status(), index, connected, group.faults);
      },
    });
    endWatching = watchEnd({ timers: systemTimers, log, status });
    if (memberKey.module !== undefined) {
      moduleWatch = new ModuleWatch({
        module: memberKey.module,
        timers: systemTimers,
        log,
        metrics,
        timeOfDayMs: () => Date.now(),
        present: (keys) => network.present(keys),
      });
    }
    log.info('replica-started', {
      index,
      port: network.port,
      engine: options.engine.kind,
      instance: toHex(group.instance).slice(0, 16),
      status: status().status,
    });
    return {
      index,
      status,
      failed,
      recover() {
        if (options.engine.kind === 'vr') throw noRecovery();
        const { status: now } = status();
        if (now === 'failed' || now === 'stopped') throw isOver(now);
        host.recover();
      },
      ending: () => host.ending(),
      metrics() {
        gaugeStatus(metrics, status());
        return metrics.text();
      },
      stop() {
        stopping ??= stop(host);
        return stopping;
      },
    };
  } catch (error) {
    await stop();
    throw curable(error, group, folder);
  }
}

function noRecovery(): HoldfastError {
  return new HoldfastError('usage', 'Viewstamped Replication has no proactive recovery', {
    cure: 'Its members trust each other. Whoever expects that one is broken into chooses PBFT.',
  });
}

function isOver(status: string): HoldfastError {
  return new HoldfastError('usage', `this replica cannot recover: it is ${status}`, {
    cure: 'Start it again: a recovery begins while it runs.',
  });
}

function engineOf(
  { engine, group, service }: ReplicaOptions,
  index: number,
  signer: MemberSigner,
): Engine {
  const { parameters = {} } = engine;
  if (engine.kind === 'vr') {
    return createVrEngine({
      group,
      index,
      service,
      parameters,
      nonce: () => systemEntropy.bytes(16),
    });
  }
  return createPbftEngine({ group, index, service, parameters, signer, scheme: ed25519 });
}

function keyOf(peer: PeerId): Bytes {
  return new Uint8Array(Buffer.from(peer, 'hex'));
}
