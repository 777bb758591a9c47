// Servers that are out or whose disk is full: the others carry on.

import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { endAll } from './processes.ts';
import { type Server, System } from './system.ts';
import { until } from './until.ts';
import { bytesOf } from './workload.ts';

afterEach(endAll);

test('two of seven servers are out: everything works', async () => {
  const system = await System.forTest({ servers: 7, faults: 2 });
  const client = await system.connect();
  await client.write('name', Buffer.from('value'));
  const { address } = await client.put(Buffer.alloc(100_000, 'content'));
  await Promise.all([system.at(2).kill(), system.at(5).kill()]);
  expect((await bytesOf((await client.get(address)).chunks)).length).toBe(100_000);
  expect((await client.write('name', Buffer.from('next'))).version).toBe(2);
  expect(await client.status()).toMatchObject({ moreFailures: 0, faults: 2 });
});

/** A disk of its own for a server, small; undefined where the system does not let us mount one. */
async function smallDisk(server: Server, sizeMiB: number): Promise<string | undefined> {
  const kept = `${server.data}-kept`;
  renameSync(server.data, kept);
  mkdirSync(server.data, { mode: 0o700 });
  try {
    const options = `size=${sizeMiB}m,mode=700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', server.data], { stdio: 'pipe' });
  } catch (error) {
    return String(error);
  }
  onTestFinished(async () => {
    await server.kill();
    execFileSync('umount', [server.data]);
  });
  await cp(kept, server.data, { recursive: true });
  return undefined;
}

/** Takes all room but this. */
function fill(server: Server, leftBytes: number): string {
  const file = join(server.data, 'damaged-999');
  const { bavail, bsize } = statfsSync(server.data);
  const descriptor = openSync(file, 'w');
  const chunk = Buffer.alloc(64 * 1024);
  for (let left = bavail * bsize - leftBytes; left > 0; left -= chunk.length) {
    writeSync(descriptor, chunk, 0, Math.min(left, chunk.length));
  }
  closeSync(descriptor);
  return file;
}

describe('a full disk', () => {
  test('one server takes no more and answers on; with room again it catches up', async (context) => {
    const system = await System.make();
    onTestFinished(() => system.end());
    const server = system.at(2);
    const refused = await smallDisk(server, 96);
    if (refused !== undefined) context.skip(`this test mounts a file system: ${refused}`);
    await system.start({ flags: ['--scrub-interval', '1s'] });
    const client = await system.connect();
    const before = await client.put(Buffer.alloc(200_000, 'before'));
    await client.write('name', Buffer.from('before'));

    // Less than the reserve that keeps journal and repairs going.
    const filler = fill(server, 8 * 1024 * 1024);
    await until('the server sees that its disk is full', async () => {
      await client.write('probe', Buffer.from(`${performance.now()}`));
      const { servers } = await client.verify('probe');
      const findings = servers.find(({ port }) => port === server.port)?.findings ?? {};
      return findings.holds === undefined;
    });
    const during = await client.put(Buffer.alloc(300_000, 'during'));
    await client.write('name', Buffer.from('during'));
    expect(server.isRunning, server.process.stderr).toBe(true);
    expect((await bytesOf((await client.get(before.address)).chunks)).length).toBe(200_000);
    expect(`${await bytesOf((await client.read('name')).chunks)}`).toBe('during');

    rmSync(filler);
    for (const name of [before.address, during.address, 'name']) {
      await until(`every server holds ${name}`, async () => (await client.verify(name)).intact);
    }
  });

  test('to the last byte: the server ends with a word, and starts when there is room', async (context) => {
    const system = await System.make();
    onTestFinished(() => system.end());
    const server = system.at(1);
    const refused = await smallDisk(server, 96);
    if (refused !== undefined) context.skip(`this test mounts a file system: ${refused}`);
    await system.start();
    const client = await system.connect();
    await client.write('name', Buffer.from('before'));
    const filler = fill(server, 0);
    let writes = 0;
    const ended = await until('the server ends', async () => {
      await client.write('name', Buffer.alloc(20_000, `value ${writes++}`));
      return server.process.result;
    });
    expect(ended, server.process.stderr).toEqual({ code: 8, signal: null });
    expect(server.process.stderr).toContain(server.data);
    expect(server.process.stderr).toContain('Free space');
    await client.write('name', Buffer.from('after'));

    rmSync(filler);
    await server.start();
    await server.serving();
    await until('every server holds the value', async () => (await client.verify('name')).intact);
    expect(`${await bytesOf((await client.read('name')).chunks)}`).toBe('after');
  });
});
