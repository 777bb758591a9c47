// A server's data is wiped, changed behind its back or has no room to grow. The others carry on, and it comes back.

import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { Client } from '../../src/client/index.ts';
import { flipAt, placesOf, usedSizeBytes } from './damage.ts';
import { Load } from './load.ts';
import { type CliResult, endAll } from './processes.ts';
import { type Server, System } from './system.ts';
import { until } from './until.ts';
import { bytesOf } from './workload.ts';

afterEach(endAll);

/** Things stored whose every replica can be looked at. */
class Stored {
  readonly #client: Client;
  readonly #contents = new Map<string, Buffer>();
  readonly #objects = new Map<string, Buffer>();

  private constructor(client: Client) {
    this.#client = client;
  }

  static async on(system: System, { blocks = 30, objects = 30 } = {}): Promise<Stored> {
    const stored = new Stored(await system.connect());
    const prng = new Prng(1);
    for (let at = 0; at < blocks; at++) {
      const bytes = Buffer.from(prng.bytes(at === 0 ? 3_000_000 : 100 + 700 * at));
      const { address } = await stored.#client.put(bytes);
      stored.#contents.set(address, bytes);
    }
    for (let at = 0; at < objects; at++) await stored.write(`object-${at}`, prng.bytes(50 + at));
    return stored;
  }

  /** One of the contents, of a few kilobytes. */
  get content(): { address: string; bytes: Buffer } {
    const [address, bytes] = [...this.#contents][5] ?? expect.unreachable('too little was stored');
    return { address, bytes };
  }

  async write(name: string, value: Uint8Array): Promise<void> {
    await this.#client.write(name, value);
    this.#objects.set(name, Buffer.from(value));
  }

  /** Every value is what was acknowledged last. */
  async expectRight(): Promise<void> {
    for (const [address, bytes] of this.#contents) {
      const { chunks } = await this.#client.get(address);
      expect((await bytesOf(chunks)).equals(bytes), `content ${address}`).toBe(true);
    }
    for (const [name, value] of this.#objects) {
      const { chunks } = await this.#client.read(name);
      expect((await bytesOf(chunks)).equals(value), `object ${name}`).toBe(true);
    }
  }

  /** Waits until every server holds everything. */
  async held(): Promise<void> {
    for (const name of [...this.#contents.keys(), ...this.#objects.keys()]) {
      let seen = '';
      await until(`every server holds ${name}`, async () => {
        const report = await this.#client.verify(name);
        seen = JSON.stringify(report.servers);
        if (!report.intact) throw new Error(seen);
        return true;
      });
    }
  }
}

/** Of the table's file: LMDB's pages begin with their number, kind, bounds and the places of their entries. */
const pageSizeBytes = 4096;
const pageHeadSizeBytes = 64;

const noStack = /\n\s+at .*\d+:\d+/;

/** It said what is wrong with its data and what to do, and ended with the documented code. */
function expectRefusal(refused: CliResult): void {
  expect(refused.code, refused.stderr).toBe(8);
  expect(refused.stderr).toContain('--recover');
  expect(refused.stderr).not.toMatch(noStack);
}

describe('a wiped data folder', () => {
  test('is not taken for a new one; --recover fills it again while clients work', async () => {
    const system = await System.forTest();
    const stored = await Stored.on(system);
    const load = await Load.start(system);
    const server = system.at(2);
    await server.kill();
    await server.wipe();

    const missing = await server.startRefused();
    expectRefusal(missing);
    expect(missing.stderr).toContain(`the data folder ${server.data} does not exist.`);
    expect(missing.stderr).toContain('A server whose disk was wiped must not rejoin silently');

    mkdirSync(server.data, { mode: 0o700 });
    const empty = await server.startRefused();
    expectRefusal(empty);
    expect(empty.stderr).toContain(`the data folder ${server.data} is empty.`);

    await server.start({ recover: true });
    await server.serving();
    await load.goesOn();
    const { failures } = await load.judge();
    expect(failures).toEqual([]);
    await stored.held();

    // What came back is its own again: the next start needs no help, and another server may go.
    await server.stop();
    await server.start();
    await server.serving();
    await system.at(0).kill();
    await stored.expectRight();
  });
});

describe('changed bytes on disk', () => {
  test('in a stored value: no reader sees them, and the server mends them', async () => {
    const system = await System.forTest();
    const stored = await Stored.on(system);
    const server = system.at(1);
    await server.stop();
    const { address, bytes } = stored.content;
    const places = placesOf(server.table, bytes.subarray(8, 40));
    expect(places.length, 'copies of the value in the file').toBeGreaterThan(0);
    flipAt(
      server.table,
      places.map((place) => place + 5),
    );
    await server.start();
    await server.serving();

    // The first question finds the damage; the second may come after it was mended.
    const first = await system.cli(['verify', address]);
    expect([0, 5], first.stdout + first.stderr).toContain(first.code);
    await stored.expectRight();
    await stored.held();
    const { servers } = await system.status();
    const [mended] = servers.filter(({ port }) => port === server.port);
    expect(mended).toMatchObject({ damagedFound: 1, repaired: 1, repairsWaiting: 0 });
  });

  test.each([
    ['anywhere in the table', [1, 2, 3]],
    ['in heads of its pages', [4, 5, 6, 7]],
  ] as const)('%s: whatever that server then does, the others are right', async (where, seeds) => {
    const system = await System.forTest();
    const stored = await Stored.on(system);
    for (const seed of seeds) {
      const server = system.at(seed % 4);
      await server.stop();
      const prng = new Prng(seed);
      const { size } = statSync(server.table);
      const offset = (): number =>
        where === 'anywhere in the table'
          ? prng.below(size)
          : pageSizeBytes * prng.below(size / pageSizeBytes) + prng.below(pageHeadSizeBytes);
      flipAt(server.table, Array.from({ length: prng.between(1, 400) }, offset));
      // It may refuse, die or serve what it has: the others are enough for what it says to do no harm.
      const process = server.launch();
      await until('the server has ended or says that it is ready', () => {
        return (
          process.result !== undefined || /is ready:|is up and recovering:/.test(process.stderr)
        );
      });
      if (process.result !== undefined) expect(process.result.code, process.stderr).toBe(8);
      await stored.write('object-3', Buffer.from(`written after damage ${seed}`));
      await stored.expectRight();
      if (server.isRunning) await server.kill();
      await bringBack(server);
      await stored.held();
    }
    await system.at(0).kill();
    await stored.expectRight();
  });

  test('in the journal: what was promised is missed, not forgotten', async () => {
    const system = await System.forTest();
    const stored = await Stored.on(system);
    const load = await Load.start(system);
    const server = system.at(0);
    await server.kill();
    const folder = join(server.data, 'journal');
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      flipAt(file, [Math.floor(usedSizeBytes(file) / 2)]);
    }
    const refused = await server.startRefused();
    expectRefusal(refused);
    expect(refused.stderr).toContain('.journal (unreadable-record)');
    await bringBack(server);
    const { failures } = await load.judge();
    expect(failures).toEqual([]);
    await stored.held();
  });
});

async function bringBack(server: Server): Promise<void> {
  await server.start({ recover: true });
  await server.serving();
}
