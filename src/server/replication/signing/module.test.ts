// The module as whoever has broken into a replica reaches it: over its socket, with any bytes.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Bytes, concatBytes, utf8 } from '../../../base/bytes.ts';
import { HoldfastError } from '../../../base/errors.ts';
import { signedBytes } from '../../../crypto/domains.ts';
import { ed25519 } from '../../../crypto/signature.ts';
import { encodeFrame } from '../../../wire/frame.ts';
import { limits } from '../../../wire/limits.ts';
import {
  decodeSigning,
  encodeSigning,
  type SigningMessage,
  signingDecoder,
} from '../../../wire/signing.ts';
import { replaceFile } from '../../files.ts';
import { describeGroup, memberKey, type PlacedGroup } from '../group.ts';
import { createSigningFolder, openSigningFolder } from './folder.ts';
import { type SigningModule, startSigningModule } from './module.ts';

let place: string;
let folder: string;
let socket: string;
const running: SigningModule[] = [];

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'holdfast-signing-'));
  folder = join(place, 'key');
  socket = join(place, 'sock');
});

afterEach(async () => {
  for (const signing of running.splice(0)) await signing.stop();
  rmSync(place, { recursive: true });
});

const seeds = [1, 2, 3, 4].map((n) => new Uint8Array(32).fill(n));
const seed = seeds[2] as Uint8Array;
const group: PlacedGroup = describeGroup(
  'service',
  seeds.map((each, i) => ({
    publicKey: memberKey(each),
    address: { host: '127.0.0.1', port: 1 + i },
  })),
  1,
);

async function start(): Promise<SigningModule> {
  const signing = await startSigningModule({ folder, socket });
  running.push(signing);
  return signing;
}

async function created(): Promise<SigningModule> {
  await createSigningFolder(folder, group, seed);
  return start();
}

/** What comes back for these bytes until the module hangs up, or as many answers as are wanted. */
function ask(bytes: Bytes, wanted = 1): Promise<SigningMessage[]> {
  return new Promise((resolve, reject) => {
    const answers: SigningMessage[] = [];
    const decoder = signingDecoder();
    const connection = connect({ path: socket });
    connection.on('error', reject);
    connection.on('close', () => resolve(answers));
    connection.on('data', (chunk: Buffer) => {
      decoder.push(chunk, (frame) => {
        const message = decodeSigning(frame);
        if (message !== undefined) answers.push(message);
        if (answers.length === wanted) connection.destroy();
      });
    });
    connection.write(bytes);
  });
}

/** As a process does that is killed. */
function leaveSocket(path: string): void {
  const listen = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen, path]);
  expect(statSync(path).isSocket()).toBe(true);
}

const describeQuestion = encodeSigning('describe', { version: 1 });

function newKey(counter: number): Bytes {
  const statement = signedBytes({
    purpose: 'new-key',
    system: group.instance,
    scope: counter,
    body: new Uint8Array(10),
  });
  return encodeSigning('sign', { statement });
}

async function refusalOf(promise: Promise<unknown>): Promise<HoldfastError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof HoldfastError) return error;
  throw error ?? new TypeError('nothing was refused');
}

describe('a module', () => {
  test('says for whom it is, signs, and vouches', async () => {
    const signing = await created();
    expect(signing.publicKey).toEqual(group.members[2]);
    const answers = await ask(
      concatBytes(
        describeQuestion,
        newKey(1),
        encodeSigning('vouch', { channelKey: new Uint8Array(32) }),
        encodeSigning('sign', { statement: utf8('pay me') }),
      ),
      4,
    );
    expect(answers.map(({ name }) => name)).toEqual(['described', 'signed', 'vouched', 'refused']);
    const [described, , vouched] = answers;
    const whose = { publicKey: signing.publicKey, instance: group.instance, counter: 0 };
    expect(described?.value).toEqual(whose);
    expect(vouched?.value).toMatchObject({ counter: 1 });
  });

  test('knows after a restart which change of keys was the last', async () => {
    const first = await created();
    await ask(newKey(1));
    await ask(newKey(2));
    await first.stop();
    await start();
    const [answer] = await ask(describeQuestion);
    expect(answer?.value).toMatchObject({ counter: 2 });
    expect((await ask(newKey(1)))[0]?.name).toBe('refused');
  });

  test('hangs up on anything that is no question, and goes on', async () => {
    await created();
    const answer = encodeSigning('signed', { signature: new Uint8Array(64) });
    const oddVersion = encodeSigning('describe', { version: 2 });
    for (const bytes of [
      answer,
      oddVersion,
      encodeFrame(99, utf8('x')),
      encodeFrame(5, utf8('x')),
    ]) {
      expect(await ask(bytes)).toEqual([]);
    }
    expect(await ask(describeQuestion)).toHaveLength(1);
  });

  test('survives any bytes', async () => {
    await created();
    const heads = fc.constantFrom(
      new Uint8Array(),
      Uint8Array.of(5, 0, 0, 0, 3, 0),
      describeQuestion,
    );
    await fc.assert(
      fc.asyncProperty(heads, fc.uint8Array({ maxLength: 600 }), async (head, tail) => {
        // Too long ends no question, so the module waits for the rest: hang up on it.
        await new Promise<void>((resolve) => {
          const connection = connect({ path: socket });
          connection.on('error', () => resolve());
          connection.on('close', () => resolve());
          connection.end(concatBytes(head, tail));
          connection.resume();
        });
      }),
      { numRuns: 200 },
    );
    const [answer] = await ask(describeQuestion);
    expect(answer?.value).toMatchObject({ counter: 0 });
  });

  test('drops who asks for more than it can wait for', async () => {
    await created();
    const many = Array.from({ length: limits.signingQuestionsMax + 1 }, () => describeQuestion);
    const answers = await ask(concatBytes(...many), many.length);
    expect(answers.length).toBeLessThan(many.length);
    expect(await ask(describeQuestion)).toHaveLength(1);
  });

  test('takes the place of one that was killed, and not of one that runs', async () => {
    await created();
    expect((await refusalOf(startSigningModule({ folder, socket }))).code).toBe('data-folder');
    const other = join(place, 'other');
    await createSigningFolder(other, group, seed);
    expect((await refusalOf(startSigningModule({ folder: other, socket }))).code).toBe(
      'port-in-use',
    );
    await running.pop()?.stop();
    leaveSocket(socket);
    await start();
    expect(await ask(describeQuestion)).toHaveLength(1);
    expect(statSync(socket).mode & 0o777).toBe(0o660);
  });

  test('deletes no file that is in the way', async () => {
    await createSigningFolder(folder, group, seed);
    writeFileSync(socket, 'precious');
    const refusal = await refusalOf(start());
    expect(refusal.code).toBe('bad-configuration');
    expect(refusal.message).toContain('no socket');
    expect(readFileSync(socket, 'utf8')).toBe('precious');
  });
});

describe('the socket of a module', () => {
  test('is not kept from a replica by who asks nothing', async () => {
    await created();
    const idle: Socket[] = [];
    for (let i = 0; i < limits.signingConnectionsMax; i++) {
      const one = connect({ path: socket });
      one.on('error', () => {});
      await once(one, 'connect');
      idle.push(one);
    }
    expect(await ask(describeQuestion)).toHaveLength(1);
    for (const one of idle) one.destroy();
  });

  test('is closed for who reads no answers', async () => {
    await created();
    const flood = connect({ path: socket });
    flood.on('error', () => {});
    flood.pause();
    const many = concatBytes(
      ...Array.from({ length: limits.signingQuestionsMax }, () => describeQuestion),
    );
    let asked = 0;
    while (!flood.destroyed && asked < 100_000) {
      flood.write(many);
      asked += limits.signingQuestionsMax;
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(flood.destroyed).toBe(true);
    expect(await ask(describeQuestion)).toHaveLength(1);
  });

  test('may be no file of its folder', async () => {
    await createSigningFolder(folder, group, seed);
    const key = join(folder, 'key');
    const refusal = await refusalOf(startSigningModule({ folder, socket: key }));
    expect(refusal.code).toBe('bad-configuration');
    expect(statSync(key).isFile()).toBe(true);
  });
});

describe('the folder of a module', () => {
  test('keeps its count when the key has to be put there again', async () => {
    const first = await created();
    await ask(newKey(1));
    await first.stop();
    rmSync(join(folder, 'key'));
    await createSigningFolder(folder, group, seed);
    await start();
    expect((await ask(describeQuestion))[0]?.value).toMatchObject({ counter: 1 });
  });

  test('is not written to any more once the module has stopped', async () => {
    await createSigningFolder(folder, group, seed);
    for (let round = 0; round < 10; round++) {
      const signing = await startSigningModule({ folder, socket });
      const before = readFileSync(join(folder, 'counter'), 'utf8');
      const connection = connect({ path: socket });
      connection.on('error', () => {});
      await once(connection, 'connect');
      connection.write(newKey(Number(before) + 1));
      for (let turn = 0; turn <= round % 4; turn++)
        await new Promise((resolve) => setImmediate(resolve));
      await signing.stop();
      connection.destroy();
      const { counter, release } = await openSigningFolder(folder);
      // Longer than a file takes to be replaced.
      await replaceFile(join(place, 'other'), 'x');
      await release();
      expect(readFileSync(join(folder, 'counter'), 'utf8')).toBe(`${counter}\n`);
    }
  });

  test('is refused when others may write to it', async () => {
    await createSigningFolder(folder, group, seed);
    chmodSync(folder, 0o777);
    const refusal = await refusalOf(start());
    expect(refusal.code).toBe('bad-configuration');
    expect(refusal.cure).toContain('chmod');
  });

  test('is made once, for a member, and nobody else reads the key', async () => {
    await createSigningFolder(folder, group, seed);
    expect(statSync(join(folder, 'key')).mode & 0o777).toBe(0o600);
    expect((await refusalOf(createSigningFolder(folder, group, seed))).code).toBe('usage');
    const strange = new Uint8Array(32).fill(9);
    const refusal = await refusalOf(createSigningFolder(join(place, 'x'), group, strange));
    expect(refusal.code).toBe('bad-configuration');
  });

  test('is refused when it is missing or damaged in any way', async () => {
    expect((await refusalOf(start())).code).toBe('data-folder');
    await createSigningFolder(folder, group, seed);
    const [key, counter] = ['key', 'counter'].map((name) => join(folder, name)) as [string, string];
    const whole = readFileSync(key, 'utf8');
    for (const text of [
      '',
      '{}',
      whole.slice(0, -4),
      whole.replace('"version": 1', '"version": 2'),
    ]) {
      writeFileSync(key, text);
      expect((await refusalOf(start())).code).toBe('data-folder');
    }
    writeFileSync(key, whole);
    for (const text of ['', '1', '-1\n', '1.5\n', '99999999999999999999\n', 'x\n']) {
      writeFileSync(counter, text);
      expect((await refusalOf(start())).code).toBe('data-folder');
    }
    rmSync(counter);
    expect((await refusalOf(start())).code).toBe('data-folder');
    writeFileSync(counter, '0\n');
    await start();
  });
});

test('nonsense for a module is refused before anything is touched', async () => {
  for (const lifetime of [0, 59_999, 1.5, Number.NaN, 2 ** 40]) {
    const options = { folder, socket, channelKeyLifetimeMs: lifetime };
    expect((await refusalOf(startSigningModule(options))).code).toBe('bad-configuration');
  }
  for (const path of ['', 'x'.repeat(101)]) {
    const refusal = await refusalOf(startSigningModule({ folder, socket: path }));
    expect(refusal.code).toBe('bad-configuration');
  }
});

test('a signature of the module is that of the member', async () => {
  await created();
  const statement = signedBytes({
    purpose: 'checkpoint',
    system: group.instance,
    scope: 128,
    body: new Uint8Array(33),
  });
  const [answer] = await ask(encodeSigning('sign', { statement }));
  if (answer?.name !== 'signed') throw new TypeError('it signs');
  expect(ed25519.verify(memberKey(seed), statement, answer.value.signature)).toBe(true);
});
