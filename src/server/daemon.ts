// The storage server as a process: the real env round what `assembleServer` builds.

import type { PeerId } from '../base/brand.ts';
import { toHex } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import type { Env } from '../env/env.ts';
import type { Log } from '../env/log.ts';
import { type Admin, type Health, startAdmin } from '../node/admin.ts';
import { systemClock, systemTimers } from '../node/clock.ts';
import { DiskError } from '../node/disk-error.ts';
import { systemEntropy } from '../node/entropy.ts';
import { createIdentity, type Identity } from '../node/identity.ts';
import { NodeMetrics } from '../node/metrics.ts';
import { createTlsNetwork, type TlsNetwork } from '../node/network.ts';
import { limits } from '../wire/limits.ts';
import { encodeMessage, messageNumber, payloadSizeBytesMax } from '../wire/registry.ts';
import { assembleServer, type StorageServer } from './assemble.ts';
import { damagedError, type OpenDisk, openDisk, openDiskToRecover } from './disks.ts';
import { Neighbours } from './neighbours.ts';
import type { RunningServer } from './process.ts';
import type { ServerFile } from './server-file.ts';
import { formatEndpoint, trustOf } from './system-info.ts';
import { softwareVersion } from './version.ts';

export interface RunServerOptions {
  /** The data was lost: fetch all of it from the other servers before answering anyone. */
  readonly recover: boolean;
  readonly log: Log;
}

/**
 * Runs one server until `stop`.
 * @throws HoldfastError `data-folder`, `port-in-use`, `bad-configuration`.
 */
export async function runServer(
  file: ServerFile,
  { recover, log }: RunServerOptions,
): Promise<RunningServer> {
  const identity = await createIdentity(file.identitySeed);
  requireMembership(file, identity.peer);
  const open = recover ? await openDiskToRecover(file, log) : await openDisk(file);
  const metrics = new NodeMetrics({ process: true });
  let network: TlsNetwork | undefined;
  let server: StorageServer | undefined;
  try {
    network = await listen(file, identity, {
      log,
      metrics,
      knows: (peer) => server?.knows(peer) ?? false,
      // Certified clients may be more than there are places.
      keepsPlace: (peer) => server?.replica.configuration.memberOf(peer) !== undefined,
    });
    const env: Env = {
      clock: systemClock,
      timers: systemTimers,
      network,
      entropy: systemEntropy,
      log,
      metrics,
    };
    const assembled = await assembleServer({
      env,
      disk: open.disk,
      configuration: file.configuration,
      trust: trustOf(file.system),
      scheme: ed25519,
      self: identity.peer,
      recover,
      quotaBytesDefault: file.clientQuotaBytes,
      scrubIntervalMs: file.scrubIntervalMs,
      scrubRateBytesPerSecond: file.scrubRateBytesPerSecond,
      software: softwareVersion(),
    });
    if (typeof assembled === 'string') throw damagedError(file.dataFolder, assembled);
    server = assembled;
    return await running(file, identity.peer, { open, network, metrics, log, server });
  } catch (error) {
    await network?.close();
    await server?.stop();
    await open.close();
    throw error;
  }
}

interface Parts {
  readonly open: OpenDisk;
  readonly network: TlsNetwork;
  readonly metrics: NodeMetrics;
  readonly log: Log;
  readonly server: StorageServer;
}

async function running(file: ServerFile, self: PeerId, parts: Parts): Promise<RunningServer> {
  const { open, network, metrics, log, server } = parts;
  const neighbours = new Neighbours(server.exchange, file.configuration, self);
  let failure: Error | undefined;
  const failed = server.failed.then((error) => {
    failure = error;
    return diskFailed(file, error);
  });
  const admin: Admin = await startAdmin({
    listen: file.admin,
    log,
    health: () => healthOf(server, neighbours, failure),
    metrics: () => {
      noteLevels(server, metrics);
      return metrics.text();
    },
  });
  neighbours.watch();
  const address = formatEndpoint(file.listen.host, network.port ?? file.listen.port);
  log.info('server-ready', { address, serving: server.replica.serving });
  return {
    address,
    adminAddress: formatEndpoint(file.admin.host, admin.port),
    isServing: server.replica.serving,
    served: server.served,
    failed,
    async stop() {
      neighbours.stop();
      await admin.close();
      await network.close();
      await server.stop();
      await open.close();
      log.info('server-stopped');
    },
  };
}

interface ListenOptions {
  readonly log: Log;
  readonly metrics: NodeMetrics;
  readonly knows: (peer: PeerId) => boolean;
  readonly keepsPlace: (peer: PeerId) => boolean;
}

function listen(
  file: ServerFile,
  identity: Identity,
  { log, metrics, knows, keepsPlace }: ListenOptions,
): Promise<TlsNetwork> {
  return createTlsNetwork({
    identity,
    listen: file.listen,
    greeting: {
      type: messageNumber('hello'),
      payload: encodeMessage('hello', { system: file.system.id, certificate: [] }),
    },
    isKnown: knows,
    keepsPlace,
    // Memory is kept for a message as soon as its header says how long it is: strangers get little of it.
    sizeBytesMax(type, peer) {
      const sizeBytesMax = payloadSizeBytesMax(type);
      if (sizeBytesMax === undefined || knows(peer)) return sizeBytesMax;
      return Math.min(sizeBytesMax, limits.strangerMessageSizeBytesMax);
    },
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log,
    metrics,
  });
}

/** @throws HoldfastError `bad-configuration` if the configuration does not name this server at this address. */
function requireMembership(file: ServerFile, self: PeerId): void {
  if (file.configuration.memberOf(self) !== undefined) return;
  throw new HoldfastError(
    'bad-configuration',
    `server ${file.name} is not in the configuration of system ${file.system.name}`,
    {
      cure: 'Use the admission file that the authority wrote for this server.',
      details: { key: self, system: toHex(file.system.id) },
    },
  );
}

function healthOf(
  server: StorageServer,
  neighbours: Neighbours,
  failure: Error | undefined,
): Health {
  const reasons: string[] = [];
  if (failure !== undefined) reasons.push(`the disk has failed: ${failure.message}`);
  if (!server.replica.serving) reasons.push('the data is being fetched from the other servers');
  const maintenance = neighbours.maintenance();
  return {
    live: failure === undefined,
    ready: reasons.length === 0,
    reasons,
    maintenanceSafe: maintenance.safe,
    maintenanceReason: maintenance.reason,
  };
}

function noteLevels(server: StorageServer, metrics: NodeMetrics): void {
  const status = server.status();
  metrics.gauge('stored_items', status.objects, 'object');
  metrics.gauge('stored_items', status.blocks, 'block');
  metrics.gauge('stored_size_bytes', status.storedSizeBytes);
  metrics.gauge('disk_free_bytes', status.diskFreeBytes);
  metrics.gauge('journal_size_bytes', status.journalSizeBytes);
  metrics.gauge('repairs_waiting_items', status.repairsWaiting);
  metrics.gauge('scrub_passes', status.scrubPasses);
}

function diskFailed(file: ServerFile, error: Error): HoldfastError {
  if (!(error instanceof DiskError)) {
    return new HoldfastError(
      'internal',
      `server ${file.name} stopped over an error of its own: ${error.message}`,
      {
        cure: 'Start it again, and report this with its log.',
        cause: error,
      },
    );
  }
  return new HoldfastError(
    'data-folder',
    `the disk under ${file.dataFolder} has failed: ${error.message}; nothing was acknowledged that is not safe`,
    {
      cure: 'Free space or replace the disk, then start the server again; with --recover if its data is gone.',
      cause: error,
    },
  );
}
