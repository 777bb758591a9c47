// Broken servers: disks that promise too early, replicas that forget.

import { equalBytes } from '../../../src/base/bytes.ts';
import type { Configuration, Group } from '../../../src/configuration/configuration.ts';
import { idOfKey, metaKey, unsealBlock, unsealObject } from '../../../src/dbqs/records.ts';
import type { Disk, TableEntry } from '../../../src/env/disk.ts';
import type { Channel, Network } from '../../../src/env/network.ts';
import { messageNumber } from '../../../src/wire/registry.ts';
import { correctParts, type Machinery, type Parts } from '../../harness/parts.ts';

function withDisk(change: (disk: Disk) => Partial<Disk>): Parts {
  return {
    ...correctParts,
    server: ({ env, disk }) => ({
      env,
      disk: {
        journal: disk.journal,
        table: disk.table,
        freeBytes: () => disk.freeBytes(),
        ...change(disk),
      },
    }),
  };
}

function eagerJournal(
  { journal }: Disk,
  started: (durable: Promise<void>) => void,
): Disk['journal'] {
  return {
    recover: () => journal.recover(),
    append: (bytes) => journal.append(bytes),
    trim: (upTo) => journal.trim(upTo),
    sizeBytes: () => journal.sizeBytes(),
    close: () => journal.close(),
    sync: async () => {
      started(journal.sync());
    },
  };
}

function eagerTable({ table }: Disk, started: (durable: Promise<void>) => void): Disk['table'] {
  return {
    get: (key) => table.get(key),
    range: (range) => table.range(range),
    sizeBytes: () => table.sizeBytes(),
    close: () => table.close(),
    write: async (changes) => {
      started(table.write(changes));
    },
  };
}

const ignored = (durable: Promise<void>): void => {
  durable.catch(() => undefined);
};

/** The journal is not waited for. */
export const journalUnsynced: Parts = withDisk((disk) => ({
  journal: eagerJournal(disk, ignored),
}));

/** The table is not waited for: large values are acknowledged at once, and the journal is trimmed too early. */
export const tableUnsynced: Parts = withDisk((disk) => ({ table: eagerTable(disk, ignored) }));

/** Writes are acknowledged when they are durable, but readers are shown them before that. */
export const revealsUndurable: Parts = {
  ...correctParts,
  server({ env, disk }: Machinery): Machinery {
    const pending = new Set<Promise<void>>();
    const started = (durable: Promise<void>): void => {
      const settled = durable.catch(() => undefined);
      pending.add(settled);
      settled.then(() => pending.delete(settled));
    };
    const { network } = env;
    const late = (channel: Channel): Channel => ({
      peer: channel.peer,
      close: (reason) => channel.close(reason),
      send(type, payload) {
        if (!acknowledgements.has(type) || pending.size === 0) return channel.send(type, payload);
        Promise.all(pending).then(() => channel.send(type, payload));
        return true;
      },
    });
    const channels = new WeakMap<Channel, Channel>();
    const lateOf = (channel: Channel): Channel => {
      const known = channels.get(channel) ?? late(channel);
      channels.set(channel, known);
      return known;
    };
    const wrapped: Network = {
      open: (peer, address) => network.open(peer, address),
      onMessage: (handler) =>
        network.onMessage((channel, type, payload) => handler(lateOf(channel), type, payload)),
      onClosed: (handler) => network.onClosed((channel) => handler(lateOf(channel))),
      close: () => network.close(),
    };
    return {
      env: { ...env, network: wrapped },
      disk: {
        journal: eagerJournal(disk, started),
        table: disk.table,
        freeBytes: () => disk.freeBytes(),
      },
    };
  },
};

const acknowledgements: ReadonlySet<number> = new Set([
  messageNumber('written'),
  messageNumber('stored'),
]);

const appliedKey = metaKey('applied');

/** The journal is replayed without regard to what the table already contains. */
export const appliedMarkIgnored: Parts = withDisk(({ table }) => ({
  table: {
    get: (key) => (equalBytes(key, appliedKey) ? undefined : table.get(key)),
    range: (range) => table.range(range),
    write: (changes) => table.write(changes),
    sizeBytes: () => table.sizeBytes(),
    close: () => table.close(),
  },
}));

/** A damaged record is taken for no record. */
export const damageIsAbsence: Parts = withDisk(({ table }) => ({
  table: {
    get: (key) => {
      const value = table.get(key);
      return value === undefined || isIntact({ key, value }) ? value : undefined;
    },
    range: (range) => table.range(range).filter(isIntact),
    write: (changes) => table.write(changes),
    sizeBytes: () => table.sizeBytes(),
    close: () => table.close(),
  },
}));

function isIntact({ key, value }: TableEntry): boolean {
  const letter = String.fromCharCode(key[0] ?? 0);
  if (letter === 'h') return unsealObject(idOfKey(key), value) !== undefined;
  if (letter === 'c') return unsealBlock(idOfKey(key), value) !== undefined;
  return true;
}

/** Repair and recovery believe f+1 others instead of 2f+1. */
export const mendsFromTooFew: Parts = {
  ...correctParts,
  serverConfiguration: (configuration) => lessFaulty(configuration),
};

/** The configuration with half the faults: 2(f/2)+1 = f+1. Who is in a group stays the same. */
function lessFaulty(configuration: Configuration): Configuration {
  const faults = configuration.faults / 2;
  return new Proxy(configuration, {
    get(target, name) {
      if (name === 'faults') return faults;
      if (name === 'groupOf') return (id: Uint8Array) => ({ ...target.groupOf(id), faults });
      if (name === 'groupsOf')
        return (...peer: Parameters<Configuration['groupsOf']>) =>
          target.groupsOf(...peer).map((group: Group) => ({ ...group, faults }));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export const restartForgets: Parts = { ...correctParts, forgetsAtRestart: true };
export const recoverySkipped: Parts = { ...correctParts, skipsRecovery: true };
export const countersForgotten: Parts = { ...correctParts, forgetsCounters: true };
