import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { createFile } from '../files.ts';
import { loadServerFile } from '../server-file.ts';
import { type DevWish, openDevSystem, sizeOf } from './dev.ts';
import { devPaths } from './layout.ts';
import { choosePorts, isPortFree } from './ports.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-dev-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function refusal(work: Promise<unknown>): Promise<HoldfastError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof HoldfastError)) expect.fail(`no refusal but ${String(outcome)}`);
  return outcome;
}

const wish = (changes: Partial<DevWish> = {}): DevWish => ({
  folder: join(folder, '.holdfast'),
  servers: undefined,
  faults: undefined,
  firstPort: undefined,
  makeClient: (_, file) => createFile(file, '', { isSecret: true }),
  isFree: () => Promise.resolve(true),
  ...changes,
});

async function openAndClose(changes: Partial<DevWish> = {}) {
  const opened = await openDevSystem(wish(changes));
  await opened.lock.release();
  return opened;
}

describe('a development system', () => {
  it('is made at the first start and found at the second', async () => {
    const first = await openAndClose();
    expect(first.isNew).toBe(true);
    const second = await openAndClose();
    expect(second.isNew).toBe(false);
    expect(second.system).toEqual(first.system);
    expect((await stat(first.system.folder)).mode & 0o777).toBe(0o700);
  });

  it('has servers that can be loaded, at the ports it names', async () => {
    const { system } = await openAndClose({ firstPort: 9000 });
    const ports = [];
    for (const { settings } of system.servers) {
      const file = await loadServerFile(settings, { env: {} });
      ports.push([file.listen.port, file.admin.port]);
    }
    expect(ports).toEqual([
      [9000, 9100],
      [9001, 9101],
      [9002, 9102],
      [9003, 9103],
    ]);
  });

  it('takes other ports than the usual ones when those are taken, and keeps them', async () => {
    const isFree = (port: number) => Promise.resolve(port !== 7103);
    const { system } = await openAndClose({ isFree });
    expect(system.servers.map(({ port }) => port)).toEqual([7301, 7302, 7303, 7304]);
    expect((await openAndClose()).system.servers[0]?.port).toBe(7301);
  });

  it('names a taken port that was asked for, and how to ask for others', async () => {
    const isFree = (port: number) => Promise.resolve(port !== 9102);
    const error = await refusal(openDevSystem(wish({ firstPort: 9000, isFree })));
    expect(error.code).toBe('port-in-use');
    expect(error.message).toBe('port 9102 is taken by another program (at 127.0.0.1:9102)');
    expect(error.cure).toContain('--port 9200');
    // Nothing was made: with other ports it goes on.
    expect(existsSync(wish().folder)).toBe(false);
    expect((await openAndClose({ firstPort: 9200 })).isNew).toBe(true);
  });

  it('refuses a second process in its folder', async () => {
    const { lock } = await openDevSystem(wish());
    const error = await refusal(openDevSystem(wish()));
    expect(error.code).toBe('data-folder');
    expect(error.message).toMatch(/^another "holdfast dev" runs in /);
    await lock.release();
    await openAndClose();
  });

  it('explains a folder whose first start was interrupted', async () => {
    const interrupted = wish({
      makeClient: () => Promise.reject(new HoldfastError('internal', 'x')),
    });
    await refusal(openDevSystem(interrupted));
    const error = await refusal(openDevSystem(wish()));
    expect(error.code).toBe('data-folder');
    expect(error.message).toContain('was interrupted before its system was complete');
    expect(error.cure).toBe(`Remove it and start again: rm -r ${wish().folder}`);
  });

  it('leaves a folder alone that holds something else', async () => {
    await mkdir(wish().folder);
    await writeFile(join(wish().folder, 'thesis.pdf'), '');
    const error = await refusal(openDevSystem(wish()));
    expect(error.message).toContain('holds other things (thesis.pdf)');
    expect(error.cure).toContain('--dir');
  });

  it('refuses another size or port than it was made with, and says which', async () => {
    await openAndClose({ firstPort: 9000 });
    expect((await refusal(openDevSystem(wish({ servers: 7 })))).message).toContain('--servers 4');
    expect((await refusal(openDevSystem(wish({ faults: 2 })))).message).toContain('--faults 1');
    expect((await refusal(openDevSystem(wish({ firstPort: 1 })))).message).toContain('--port 9000');
    await openAndClose({ servers: 4, faults: 1, firstPort: 9000 });
  });

  it('tells of a marker of a later format', async () => {
    const { system } = await openAndClose();
    const { marker } = devPaths(system.folder);
    await writeFile(marker, (await readFile(marker, 'utf8')).replace('format = 1', 'format = 2'));
    const error = await refusal(openDevSystem(wish()));
    expect(error.message).toContain(
      'format must be 1, the only format known to this version, not 2',
    );
  });
});

describe('the size of a system', () => {
  it.each([
    [undefined, undefined, { servers: 4, faults: 1 }],
    [7, undefined, { servers: 7, faults: 2 }],
    [undefined, 2, { servers: 7, faults: 2 }],
    [6, 1, { servers: 6, faults: 1 }],
    [100, undefined, { servers: 100, faults: 16 }],
  ])('%s servers and %s faults', (servers, faults, size) => {
    expect(sizeOf({ servers, faults })).toEqual(size);
  });

  it.each([
    [3, undefined],
    [101, undefined],
    [6, 2],
    [undefined, 17],
  ])('refuses %s servers and %s faults', (servers, faults) => {
    expect(() => sizeOf({ servers, faults })).toThrow(HoldfastError);
  });
});

describe('ports', () => {
  it('tell a taken one from a free one', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    expect(await isPortFree(port)).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    expect(await isPortFree(port)).toBe(true);
  });

  it('run out at some time', async () => {
    const error = await refusal(choosePorts(4, undefined, () => Promise.resolve(false)));
    expect(error.code).toBe('port-in-use');
  });
});
