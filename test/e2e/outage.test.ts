// As many servers out as the system tolerates, and more; a server whose disk is full. Every command ends in time and says
// what is the matter.

import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { endAll } from './processes.ts';
import { type Server, System } from './system.ts';
import { until } from './until.ts';
import { bytesOf } from './workload.ts';

afterAll(endAll);

const noStack = /\n\s+at .*\d+:\d+/;

interface Command {
  readonly args: readonly string[];
  readonly input?: string;
}

/** One of each kind, on things stored before. */
function commandsOn(address: string): Command[] {
  return [
    { args: ['put', '-'], input: 'something else' },
    { args: ['get', address] },
    { args: ['write', 'name', '-'], input: 'next value' },
    { args: ['read', 'name'] },
    { args: ['verify', address] },
    { args: ['verify', 'name'] },
    { args: ['status'] },
  ];
}

async function store(system: System): Promise<string> {
  const client = await system.connect();
  await client.write('name', Buffer.from('value'));
  return (await client.put(Buffer.alloc(100_000, 'content'))).address;
}

describe('servers out', () => {
  test('one of four: everything works, and only status and verify tell', async () => {
    const system = await System.forTest();
    const address = await store(system);
    const out = system.at(1);
    await out.kill();
    for (const { args, input } of commandsOn(address)) {
      const ran = await system.cli(args, { input: input ?? '' });
      const expected = args[0] === 'verify' ? 5 : 0;
      expect(ran.code, `${args.join(' ')}: ${ran.stdout}${ran.stderr}`).toBe(expected);
      if (args[0] === 'verify') expect(ran.stdout).toContain('Readable, but not every server');
      if (args[0] !== 'status') continue;
      expect(ran.stdout).toContain('1 of 4 servers not serving; everything works');
      expect(ran.stdout).toMatch(new RegExp(`${out.endpoint}.*unreachable`));
    }
  });

  test('two of four: every command ends in time and names them', async () => {
    const system = await System.forTest();
    const address = await store(system);
    const out = [system.at(0), system.at(3)];
    await Promise.all(out.map((server) => server.kill()));
    for (const { args, input } of commandsOn(address)) {
      const ran = await system.cli([...args, '--timeout', '2s'], { input: input ?? '' });
      // Content proves itself, so one server that has it is enough.
      if (args[0] === 'get') expect(ran).toMatchObject({ code: 0, stderr: '' });
      if (args[0] === 'get') continue;
      const said = `${args.join(' ')}: ${ran.stdout}${ran.stderr}`;
      expect(ran.code, said).toBe(args[1] === address ? 5 : 4);
      for (const server of out) expect(said).toContain(server.endpoint);
      expect(ran.stderr, said).toMatch(/→/);
      expect(said).not.toMatch(noStack);
      // Up to two periods, for connecting and for the operation, and the start of the program on a busy machine.
      expect(ran.tookMs, said).toBeLessThan(15_000);
    }
  });

  test('two of seven: what two may do to seven', async () => {
    const system = await System.forTest({ servers: 7, faults: 2 });
    const address = await store(system);
    await Promise.all([system.at(2).kill(), system.at(5).kill()]);
    const client = await system.connect();
    expect((await bytesOf((await client.get(address)).chunks)).length).toBe(100_000);
    expect((await client.write('name', Buffer.from('next'))).version).toBe(2);
    expect(await client.status()).toMatchObject({ moreFailures: 0, faults: 2 });
  });

  test('all: the message names every one of them', async () => {
    const system = await System.forTest();
    await store(system);
    await Promise.all(system.servers.map((server) => server.kill()));
    const ran = await system.cli(['verify', 'name', '--timeout', '1s', '--json']);
    expect(ran.code, ran.stderr).toBe(4);
    const { error } = JSON.parse(ran.stderr);
    expect(error.code).toBe('unavailable');
    for (const server of system.servers) expect(error.message).toContain(server.endpoint);
  });
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
