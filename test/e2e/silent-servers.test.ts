// Servers that are there and do not answer: what works goes on, and what does not ends in time.

import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { expectTold } from './failing.ts';
import { endAll } from './processes.ts';
import { type Server, System } from './system.ts';

let system: System;

beforeAll(async () => {
  system = await System.make();
  await system.start();
});

afterAll(async () => {
  await system.end();
  await endAll();
});

const verified = z.object({
  items: z.int(),
  servers: z.array(z.object({ port: z.int(), findings: z.partialRecord(z.string(), z.int()) })),
});

describe('servers that do not answer', () => {
  const timeoutMs = 3_000;
  /** For starting a process on a busy machine. */
  const graceMs = 10_000;
  const stored = randomBytes(100_000);
  let address: string;

  beforeAll(async () => {
    const put = await system.cli(['put', '-'], { input: stored });
    address = put.stdout.trim();
    const written = await system.cli(['write', 'kept', '-'], { input: 'kept' });
    expect([put.code, written.code]).toEqual([0, 0]);
  });

  afterEach(async () => {
    for (const server of system.servers) server.resume();
    await Promise.all(system.servers.map((server) => server.serving()));
  });

  const input = randomBytes(50_000);

  test('as many as are tolerated: everything works', async () => {
    await system.at(3).pause();
    const put = await system.cli(['put', '-'], { input });
    expect(put).toMatchObject({ code: 0, stderr: '' });
    expect((await system.cli(['get', put.stdout.trim()])).bytes.equals(input)).toBe(true);
    expect((await system.cli(['get', address])).bytes.equals(stored)).toBe(true);
    const written = await system.cli(['write', 'new', '-'], { input: 'new' });
    expect(written).toMatchObject({ code: 0, stderr: '' });
    for (const [name, value] of [
      ['new', 'new'],
      ['kept', 'kept'],
    ] as const) {
      const read = await system.cli(['read', name]);
      expect(read).toMatchObject({ code: 0, stderr: '', stdout: value });
    }
    expect((await system.status()).moreFailures).toBe(0);
  });

  async function expectUnavailable(
    commands: readonly (readonly string[])[],
    silent: readonly Server[],
  ): Promise<void> {
    const names = silent.map(({ endpoint }) => endpoint);
    await Promise.all(
      commands.map(async (args) => {
        const result = await system.cli([...args, '--timeout', '3s'], { input });
        await expectTold(result, { code: 'unavailable', names });
        expect(result.tookMs).toBeGreaterThan(timeoutMs);
        expect(result.tookMs).toBeLessThan(timeoutMs + graceMs);
      }),
    );
  }

  test('one more: commands end in time and name the silent', async () => {
    const silent = [system.at(0), system.at(2)];
    await Promise.all(silent.map((server) => server.pause()));
    await expectUnavailable(
      [
        ['put', '-'],
        ['write', 'new', '-'],
        ['read', 'kept'],
      ],
      silent,
    );
    // Content proves itself, so that any server that has it is enough.
    const got = await system.cli(['get', address, '--timeout', '3s']);
    expect(got.code).toBe(0);
    expect(got.bytes.equals(stored)).toBe(true);
    const status = await system.cli(['status']);
    await expectTold(status, { code: 'unavailable', names: ['out of reach'] });
    for (const { port } of silent) expect(status.stdout).toContain(`127.0.0.1:${port}`);
  });

  test('one more: verifying ends soon and names only the silent', async () => {
    const put = await system.cli(['put', '-'], { input: randomBytes(5 * 1024 * 1024) });
    const silent = [system.at(0), system.at(2)];
    await Promise.all(silent.map((server) => server.pause()));
    for (const name of [put.stdout.trim(), 'kept']) {
      const result = await system.cli(['verify', name, '--json', '--timeout', '3s']);
      const report = verified.parse(JSON.parse(result.stdout));
      const isSilent = ({ findings }: (typeof report.servers)[number]): boolean =>
        findings.silent !== undefined;
      expect(report.servers.filter(isSilent).map(({ port }) => port)).toEqual(
        silent.map(({ port }) => port).toSorted((a, b) => a - b),
      );
      for (const server of report.servers) {
        if (!isSilent(server)) expect(server.findings).toEqual({ holds: report.items });
      }
      for (const { endpoint } of silent) expect(result.stderr).toContain(`${endpoint}`);
      expect(result.stderr).toContain('Start');
      expect(result.tookMs).toBeLessThan(timeoutMs + graceMs);
    }
  });

  test('one more: an operation ends by its signal, and when its client is closed', async () => {
    const client = await system.connect();
    const away = [system.at(1), system.at(2)];
    await Promise.all(away.map((server) => server.pause()));
    const signal = AbortSignal.timeout(200);
    const ended = { code: 'interrupted', message: expect.stringContaining("the caller's signal") };
    await expect(client.read('kept', { signal })).rejects.toMatchObject(ended);
    await expect(client.write('x', stored.subarray(0, 9), { signal })).rejects.toMatchObject({
      ...ended,
      cure: expect.stringContaining('may have happened'),
    });
    await expect(client.verify('kept', { signal })).rejects.toMatchObject(ended);
    const closed = { code: 'interrupted', message: 'the client is closed' };
    const reading = expect(client.read('kept')).rejects.toMatchObject(closed);
    await client.close();
    await reading;
    for (const later of [
      client.read('kept'),
      client.get(address),
      client.put(stored),
      client.write('x', stored),
      client.status(),
      client.verify('kept'),
    ]) {
      await expect(later).rejects.toMatchObject(closed);
    }
  });

  test('all of them: nothing is found, and nothing hangs', async () => {
    await Promise.all(system.servers.map((server) => server.pause()));
    await expectUnavailable([['get', address]], system.servers);
  });
});
