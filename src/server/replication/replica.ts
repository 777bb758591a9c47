// One replica of a group as part of a process: the real env round an engine.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerId } from '../../base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Disk } from '../../env/disk.ts';
import { type Log, silentLog } from '../../env/log.ts';
import { systemClock, systemTimers } from '../../node/clock.ts';
import {
  createDataFolder,
  type DataFolder,
  type DataFolderOwner,
  moveAside,
  openDataFolder,
} from '../../node/data-folder.ts';
import { openDisk } from '../../node/disk.ts';
import { systemEntropy } from '../../node/entropy.ts';
import { createIdentity } from '../../node/identity.ts';
import { NodeMetrics } from '../../node/metrics.ts';
import { createTlsNetwork } from '../../node/network.ts';
import type { TableDamage } from '../../node/table-format.ts';
import type { Engine, Evidence, ReplicaStatus, StateMachine } from '../../replication/contract.ts';
import { ReplicaHost } from '../../replication/host.ts';
import { createPbftEngine, type PbftParameters } from '../../replication/pbft/index.ts';
import { createReplica } from '../../replication/replica-disk.ts';
import { createVrEngine } from '../../replication/vr/engine.ts';
import type { VrParameters } from '../../replication/vr/parameters.ts';
import {
  clientPayloadSizeBytesMax,
  replicationPayloadSizeBytesMax,
} from '../../wire/replication-registry.ts';
import {
  checkEngineChoice,
  checkFolder,
  checkGroup,
  checkGroupSize,
  checkSeed,
} from './arguments.ts';
import { EvidenceFile, evidenceKeeper } from './evidence-file.ts';
import type { PlacedGroup } from './group.ts';
import { renewTable } from './lost-table.ts';

/** How a group agrees: PBFT on 3f+1 members of which f may lie, or Viewstamped Replication on 2f+1 of which f may stop. */
export type EngineChoice =
  | { readonly kind: 'pbft'; readonly parameters?: Partial<PbftParameters> }
  | { readonly kind: 'vr'; readonly parameters?: Partial<VrParameters> };

const evidenceName = 'evidence.jsonl';

export interface ReplicaOptions {
  readonly group: PlacedGroup;
  /** Secret, 32 bytes: the seed of a member's key. Says which member this is. */
  readonly identitySeed: Bytes;
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
  /** Resolves if the disk or the service fails: the replica then does nothing more, and its process should end. */
  readonly failed: Promise<Error>;
  /**
   * Begins a proactive recovery: new keys, all pages checked, as if this machine had been broken into. The service goes
   * on; `status` says `recovering` until it is over. PBFT only.
   */
  recover(): void;
  /** In the Prometheus text format. */
  metrics(): Promise<string>;
  /** Harmless when done twice. `status` says `stopped` from then on. */
  stop(): Promise<void>;
}

/**
 * Makes the data folder of a member, once, when the group is created. A replica never starts on a folder that was not
 * made for it: a wiped one has forgotten what the member promised. A member that has ever run must not get another folder
 * by this: nothing could tell it from one that has promised nothing. See `recoverReplicaFolder`.
 * @throws HoldfastError `data-folder` when the folder holds something.
 */
export async function createReplicaFolder(
  folder: string,
  group: PlacedGroup,
  index: number,
): Promise<void> {
  checkGroup(group);
  checkFolder(folder);
  try {
    await makeFolder(folder, group, index, false);
  } catch (error) {
    throw ofKnownMember(error, group);
  }
}

/** The folder is not empty, perhaps because the member has run: emptying it would be the wrong thing to do. */
function ofKnownMember(error: unknown, group: PlacedGroup): unknown {
  if (!(error instanceof HoldfastError) || error.code !== 'data-folder') return error;
  const cure = `If this member ran before, start it on this folder as it is. ${lostCureOf(group)}`;
  return new HoldfastError(error.code, error.message, { cure, details: error.details });
}

/**
 * Makes the data folder of a PBFT member that has lost its own: wiped, or with a damaged journal. What is in the folder is
 * put into a subfolder `damaged-<n>`. The member has forgotten what it promised and counts as one of the `f` faulty ones;
 * started on this folder it votes for nothing and only learns, `status` says `recovering`, until all that it may have
 * promised is over, for which the other `3f` members but those that are faulty must run.
 * @returns the subfolder, or undefined when there was nothing to move.
 * @throws HoldfastError `data-folder` when the folder is in use, another member's or holds other things; `bad-configuration` for a group of Viewstamped Replication,
 * which counts such a member as failed for good.
 */
export async function recoverReplicaFolder(
  folder: string,
  group: PlacedGroup,
  index: number,
): Promise<string | undefined> {
  checkGroup(group);
  checkFolder(folder);
  if (!isPbftGroup(group)) {
    throw new HoldfastError(
      'bad-configuration',
      'Viewstamped Replication has no recovery from a lost disk: what this member acknowledged may be lost with it',
      { cure: newGroupCure },
    );
  }
  await checkIsOwn(folder, group, index);
  const aside = await moveAside(folder);
  await makeFolder(folder, group, index, true);
  return aside;
}

/** Whether what is in the folder, if anything, may be put aside: nothing of another member's, and nothing else. */
async function checkIsOwn(folder: string, group: PlacedGroup, index: number): Promise<void> {
  try {
    const held = await openDataFolder(folder, ownerOf(group, index));
    await held.release();
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details.lost !== true) throw error;
  }
}

async function makeFolder(
  folder: string,
  group: PlacedGroup,
  index: number,
  isDiskLost: boolean,
): Promise<void> {
  await createDataFolder(folder, ownerOf(group, index));
  const { disk, close } = await openFolder(folder, group, index, silentLog);
  try {
    await createReplica(disk, group, index, isDiskLost);
  } finally {
    await close();
  }
}

/**
 * Starts a replica.
 * @throws HoldfastError `data-folder`, `port-in-use`, `bad-configuration`.
 */
export async function startReplica(options: ReplicaOptions): Promise<RunningReplica> {
  const { group, folder, identitySeed, admits, log = silentLog } = options;
  checkGroup(group);
  checkSeed(identitySeed);
  checkEngineChoice(options.engine);
  checkGroupSize(group, options.engine.kind);
  if (folder !== undefined) checkFolder(folder);
  const identity = await createIdentity(identitySeed);
  const index = group.members.findIndex((key) => equalBytes(key, identity.publicKey));
  const address = group.addresses[index];
  if (address === undefined) {
    throw new HoldfastError('bad-configuration', 'this key is no member of the group', {
      cure: 'Start the replica with the seed of one of the members.',
    });
  }
  const open = folder === undefined ? undefined : await openFolder(folder, group, index, log);
  const evidenceFile = new EvidenceFile(
    folder === undefined ? undefined : join(folder, evidenceName),
    group,
  );
  const metrics = new NodeMetrics({ process: true });
  const members = new Set(group.members.map((key) => toHex(key)));
  const network = await createTlsNetwork({
    identity,
    listen: address,
    // Before anything of it is read: decoding the largest messages of members takes long.
    sizeBytesMax: (type, peer) =>
      members.has(peer) ? replicationPayloadSizeBytesMax(type) : clientPayloadSizeBytesMax(type),
    isKnown: (peer) => members.has(peer) || admits?.(keyOf(peer)) === true,
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
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const stop = async (host?: ReplicaHost): Promise<void> => {
    host?.close();
    await network.close();
    await open?.close();
  };
  try {
    const host = await ReplicaHost.open({
      env,
      disk: open?.disk,
      group,
      self: index,
      addresses: group.addresses,
      engine: engineOf(options, index),
      onEvidence: evidenceKeeper(evidenceFile, log, options.onEvidence),
      onFailure: fail,
    });
    host.start();
    let stopping: Promise<void> | undefined;
    return {
      index,
      status: () =>
        stopping === undefined ? host.status() : { ...host.status(), status: 'stopped' },
      failed,
      recover: () => host.recover(),
      metrics() {
        gauge(metrics, host.status());
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

/** How the replica stands, for who is to be alarmed. */
function gauge(metrics: NodeMetrics, status: ReplicaStatus): void {
  const takesPart = status.status === 'normal' && status.waitsFor === undefined;
  metrics.gauge('replication_takes_part', takesPart ? 1 : 0);
  metrics.gauge('replication_view', status.view);
  metrics.gauge('replication_executed', status.executed);
  metrics.gauge('replication_committed', status.committed);
  metrics.gauge('replication_checkpoint', status.checkpoint);
  metrics.gauge('replication_damage', status.damage.length);
}

/** What the disk says of itself, with what to do about it here. */
function curable(error: unknown, group: PlacedGroup, folder: string | undefined): unknown {
  if (!(error instanceof HoldfastError) || error.details.lost !== true) return error;
  const message = `the data folder ${folder ?? ''} cannot be used: ${error.message}`;
  return new HoldfastError(error.code, message, {
    cure: lostCureOf(group),
    details: error.details,
    cause: error,
  });
}

function engineOf({ engine, group, service, identitySeed }: ReplicaOptions, index: number): Engine {
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
  const signer = ed25519.signer(identitySeed);
  return createPbftEngine({ group, index, service, parameters, signer, scheme: ed25519 });
}

function keyOf(peer: PeerId): Bytes {
  return new Uint8Array(Buffer.from(peer, 'hex'));
}

/** A member that has forgotten its promises must not take part: others take them for kept. */
const newGroupCure =
  'Replace the member: what it has promised to the others is lost. Begin a new group, with a new name and another member in its place; if the folder is elsewhere, correct the path.';
const recoverCure =
  'If this member ran before, call `recoverReplicaFolder` once and start it: it then learns from the others, and votes when all that it may have promised is over. If the folder is elsewhere, correct the path.';

function isPbftGroup({ members, faults }: PlacedGroup): boolean {
  return members.length === 3 * faults + 1;
}

function lostCureOf(group: PlacedGroup): string {
  return isPbftGroup(group) ? recoverCure : newGroupCure;
}

function ownerOf(group: PlacedGroup, index: number): DataFolderOwner {
  const key = group.members[index];
  if (key === undefined)
    throw new HoldfastError('bad-configuration', `there is no member ${index}`);
  return { serverId: toHex(key), systemId: toHex(group.instance), lostCure: lostCureOf(group) };
}

/** Of the table's file: its journal is looked at next, and decides. */
const tableDamages: ReadonlySet<string> = new Set<TableDamage>([
  'table-missing',
  'table-unreadable',
]);

async function openFolder(
  path: string,
  group: PlacedGroup,
  index: number,
  log: Log,
): Promise<{ disk: Disk; close(): Promise<void> }> {
  const folder = await openDataFolder(path, ownerOf(group, index));
  const disk = await diskOf(path, folder, group, index, log).catch(async (error: unknown) => {
    await folder.release();
    throw error;
  });
  return {
    disk,
    async close() {
      await disk.journal.close();
      await disk.table.close();
      await folder.release();
    },
  };
}

async function diskOf(
  path: string,
  folder: DataFolder,
  group: PlacedGroup,
  index: number,
  log: Log,
): Promise<Disk> {
  const options = { clock: systemClock, entropy: systemEntropy };
  const lostCure = lostCureOf(group);
  const damaged = (what: string): HoldfastError =>
    new HoldfastError('data-folder', `the data folder ${path} is damaged: ${what}`, {
      cure: lostCure,
      details: { lost: true },
    });
  if (!existsSync(folder.journalFolder)) throw damaged(`${folder.journalFolder} is missing`);
  try {
    let opening = openDisk(folder, options);
    if (opening.kind === 'damaged' && tableDamages.has(opening.damage.reason)) {
      const { reason } = opening.damage;
      const aside = await renewTable(folder, group, index);
      log.warn('replica-table-lost', { reason, aside });
      opening = openDisk(folder, options);
    }
    if (opening.kind === 'open') return opening.disk;
    const { file, reason } = opening.damage;
    throw damaged(`${file} (${reason})`);
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    // Neither damage nor sound: a folder without access, a full disk, a bad one.
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('data-folder', `the data folder ${path} cannot be opened: ${words}`, {
      cure: `See that this user may read and write all of it and that the disk has room. If it stays unreadable: ${lostCure}`,
      cause,
    });
  }
}
