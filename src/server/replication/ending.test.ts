// The checks round a state that goes from one group to another. On real processes: test/e2e/ending.test.ts.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { PageChange } from '../../replication/contract.ts';
import { PagedState } from '../../replication/pages.ts';
import { checkEnding } from './ending.ts';
import { createReplicaFolder, readEnding } from './folder.ts';
import { describeGroup, memberKey } from './group.ts';

const members = [1, 2, 3, 4].map((fill) => ({
  publicKey: memberKey(new Uint8Array(32).fill(fill)),
  address: { host: '127.0.0.1', port: 0 },
}));
const first = describeGroup('service', members, 1);
const pages: PageChange[] = [{ region: 'service', page: 7, bytes: utf8('seven') }];
const root = PagedState.sift(pages).state.rootNow();
const next = describeGroup('service', members, 1, root);
let base = '';
let folder = '';

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-ending-'));
  folder = join(base, 'data');
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function refusal(work: () => unknown): Promise<HoldfastError> {
  const error = await Promise.resolve()
    .then(work)
    .then(
      () => undefined,
      (reason: unknown) => reason,
    );
  expect(error).toBeInstanceOf(HoldfastError);
  return error as HoldfastError;
}

describe('a group that begins with a state', () => {
  it('has a name of its own for each', () => {
    const roots = [undefined, root, new Uint8Array(32)];
    const names = roots.map((each) => describeGroup('service', members, 1, each).instance);
    expect(new Set(names.map(toHex)).size).toBe(3);
    expect(names[1]).toEqual(next.instance);
    expect(describeGroup('service', members, 1)).toEqual(first);
    const short = new Uint8Array(31);
    expect(() => describeGroup('service', members, 1, short)).toThrow('32 bytes');
  });

  it('gives its members folders with it, or without', async () => {
    await createReplicaFolder(folder, next, 0, { root, pages });
    await createReplicaFolder(`${folder}-1`, next, 1);
    // Neither has run: there is nothing that could have ended.
    for (const [i, each] of [folder, `${folder}-1`].entries()) {
      expect((await refusal(() => readEnding(each, next, i))).code).toBe('not-found');
    }
  });

  it('takes no other one, and leaves nothing behind then', async () => {
    const other: PageChange[] = [{ region: 'service', page: 7, bytes: utf8('eight') }];
    const long: PageChange[] = [{ region: 'service', page: 7, bytes: new Uint8Array(99_999) }];
    const zero = new Uint8Array(32);
    const attempts = [
      { group: first, begins: { root, pages }, code: 'bad-configuration', words: 'no state' },
      { group: next, begins: { root: zero, pages }, code: 'bad-configuration', words: toHex(zero) },
      { group: next, begins: { root, pages: other }, code: 'verification-failed', words: 'pages' },
      { group: next, begins: { root, pages: long }, code: 'verification-failed', words: 'pages' },
      { group: next, begins: { root, pages: [] }, code: 'verification-failed', words: 'pages' },
    ];
    for (const { group, begins, code, words } of attempts) {
      const error = await refusal(() => createReplicaFolder(folder, group, 0, begins));
      expect([error.code, error.message.includes(words)]).toEqual([code, true]);
      expect(error.cure).toBeDefined();
      expect(existsSync(folder)).toBe(false);
    }
  });

  it('is not proved to follow by bytes that prove nothing', async () => {
    const proof: unknown = 'a text';
    const wrong = [new Uint8Array(0), new Uint8Array(300), root];
    for (const bytes of wrong) {
      expect((await refusal(() => checkEnding(first, bytes))).code).toBe('verification-failed');
    }
    const error = await refusal(() => Reflect.apply(checkEnding, undefined, [first, proof]));
    expect(error.code).toBe('verification-failed');
    const three = describeGroup('three', members.slice(0, 3), 1);
    const { code, message } = await refusal(() => checkEnding(three, root));
    expect(code).toBe('bad-configuration');
    expect(message).toContain('prove nothing');
  });
});
