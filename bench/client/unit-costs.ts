// What the parts of a block transfer cost by themselves, on this machine and with this runtime: per MiB, time on the
// clock and of the processor.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fdatasyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { JobOf, UnitCost } from '../jobs.ts';
import { library } from '../library.ts';

const blockSizeBytes = 1024 * 1024;
/** Blocks that share a sync or a transaction, as concurrent transfers make them. */
const groupLength = 8;

async function cost(blocks: number, work: () => unknown): Promise<UnitCost> {
  const startMs = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return {
    wallMs: (performance.now() - startMs) / blocks,
    cpuMs: (user + system) / 1000 / blocks,
  };
}

export async function unitCosts(job: JobOf<'unitCosts'>): Promise<Record<string, UnitCost>> {
  const { blocks, folder } = job;
  const block = randomBytes(blockSizeBytes);
  const { blockId } = await library.ids();
  const costs: Record<string, UnitCost> = {};
  const hash = (): void => {
    for (let i = 0; i < blocks; i++) blockId(block);
  };
  hash();
  costs['SHA-256'] = await cost(blocks, hash);
  const transfer = await tlsTransfer(block);
  await transfer.send(groupLength);
  costs['TLS, both ends'] = await cost(blocks, () => transfer.send(blocks));
  transfer.close();
  costs['file, synced'] = await cost(blocks, () => writeFile(join(folder, 'file'), block, blocks));
  const store = await table(join(folder, 'table'), block);
  costs['LMDB, durable'] = await cost(blocks, () => store.write(blocks));
  costs['LMDB, read'] = await cost(blocks, () => store.read(blocks));
  await store.close();
  return costs;
}

function writeFile(path: string, block: Uint8Array, blocks: number): void {
  const file = openSync(path, 'w');
  for (let i = 1; i <= blocks; i++) {
    writeSync(file, block);
    if (i % groupLength === 0) fdatasyncSync(file);
  }
  closeSync(file);
}

async function table(folder: string, block: Uint8Array) {
  const { openTable } = await library.table();
  const { uint64Bytes } = await library.bytes();
  mkdirSync(folder);
  const opened = openTable({ folder, create: true });
  return {
    async write(blocks: number) {
      for (let first = 0; first < blocks; first += groupLength) {
        const group = Array.from({ length: Math.min(groupLength, blocks - first) }, (_, i) =>
          opened.write([{ key: uint64Bytes(first + i + 1), value: block }]),
        );
        await Promise.all(group);
      }
    },
    read(blocks: number) {
      for (let i = 1; i <= blocks; i++) opened.get(uint64Bytes(i));
    },
    close: () => opened.close(),
  };
}

/** Two sockets of this process with the settings of this project; the processor time is that of both ends. */
async function tlsTransfer(block: Uint8Array) {
  const { createIdentity } = await library.identity();
  const { tlsOptions } = await library.tls();
  const options = tlsOptions(await createIdentity(randomBytes(32)));
  const server = createServer(options);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const accepted = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve));
  const sender = connect({
    ...options,
    port,
    host: '127.0.0.1',
    checkServerIdentity: () => undefined,
  });
  const receiver = await accepted;
  return {
    async send(blocks: number): Promise<void> {
      let missingBytes = blocks * block.length;
      const arrived = new Promise<void>((resolve) => {
        const onData = (chunk: Uint8Array): void => {
          missingBytes -= chunk.length;
          if (missingBytes > 0) return;
          receiver.off('data', onData);
          resolve();
        };
        receiver.on('data', onData);
      });
      for (let i = 0; i < blocks; i++) {
        if (!sender.write(block)) await once(sender, 'drain');
      }
      await arrived;
    },
    close(): void {
      sender.destroy();
      receiver.destroy();
      server.close();
    },
  };
}
