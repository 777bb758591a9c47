import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import type { StateMachine } from '../../replication/contract.ts';
import { describeGroup, memberKey } from './group.ts';
import { createReplicaFolder, type ReplicaOptions, startReplica } from './replica.ts';

const seeds = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const members = seeds.map((seed) => ({
  publicKey: memberKey(seed),
  // Any free one.
  address: { host: '127.0.0.1', port: 0 },
}));
const group = describeGroup('test', members, 1);
const service: StateMachine = {
  load() {},
  execute: (operation) => operation,
  query: (operation) => operation,
  isQuery: () => false,
};

let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-replica-'));
  folder = join(root, 'data');
});
afterEach(() => rmSync(root, { recursive: true }));

function options(changed: object = {}): ReplicaOptions {
  const [identitySeed = new Uint8Array()] = seeds;
  return { group, identitySeed, engine: { kind: 'pbft' }, service, folder, ...changed };
}

async function refusal(work: () => Promise<unknown>): Promise<HoldfastError> {
  const error: unknown = await work().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof HoldfastError) return error;
  throw new TypeError('not refused in words for a user', { cause: error });
}

describe('a replica refuses to start', () => {
  it('without its journal, and lets its folder go', async () => {
    await createReplicaFolder(folder, group, 0);
    const journal = join(folder, 'journal');
    const aside = join(root, 'journal');
    renameSync(journal, aside);
    for (const what of ['is missing', 'no-segments']) {
      const { code, message, cure } = await refusal(() => startReplica(options()));
      expect(code).toBe('data-folder');
      expect(message).toContain(what);
      expect(cure).toContain('Replace the member');
      mkdirSync(journal, { recursive: true });
    }
    rmSync(journal, { recursive: true });
    renameSync(aside, journal);
    const replica = await startReplica(options());
    await replica.stop();
  });

  it('on a wiped folder, with a cure for replicas', async () => {
    for (const make of [() => {}, () => mkdirSync(folder)]) {
      make();
      const { code, cure } = await refusal(() => startReplica(options()));
      expect(code).toBe('data-folder');
      expect(cure).toContain('Begin a new group');
      expect(cure).not.toContain('--recover');
    }
  });
});
