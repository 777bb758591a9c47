import http from 'node:http';
import net from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '../env/log.ts';
import { type Admin, type Health, startAdmin } from './admin.ts';

const well: Health = {
  live: true,
  ready: true,
  reasons: [],
  maintenanceSafe: true,
  maintenanceReason: 'Two more failures are survived.',
};

let health: Health;
let admin: Admin;

beforeEach(async () => {
  health = well;
  admin = await startAdmin({
    health: () => health,
    metrics: () => Promise.resolve('holdfast_x_total 1\n'),
    log: silentLog,
  });
});
afterEach(() => admin.close());

interface Reply {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

function ask(path: string, method = 'GET', accept?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = accept === undefined ? {} : { accept };
    const request = http.request(
      { host: '127.0.0.1', port: admin.port, path, method, headers },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode, type: response.headers['content-type'], body }),
        );
      },
    );
    request.on('error', reject).end();
  });
}

test('says that it is live and ready, or why not', async () => {
  expect(await ask('/healthz')).toMatchObject({ status: 200, body: 'live\n' });
  expect(await ask('/readyz')).toMatchObject({ status: 200, body: 'ready\n' });
  health = { ...well, ready: false, reasons: ['The disk is full.'] };
  expect(await ask('/readyz')).toMatchObject({
    status: 503,
    body: 'not ready\nThe disk is full.\n',
  });
  expect((await ask('/healthz')).status).toBe(200);
  health = { ...health, live: false };
  expect((await ask('/healthz')).status).toBe(503);
  const json = await ask('/readyz', 'GET', 'application/json');
  expect(json.type).toBe('application/json');
  expect(JSON.parse(json.body)).toEqual({
    status: 503,
    ready: false,
    reasons: ['not ready', 'The disk is full.'],
  });
});

test('says whether stopping this server now is safe', async () => {
  expect((await ask('/readyz?maintenance=true')).status).toBe(200);
  health = { ...well, maintenanceSafe: false, maintenanceReason: 'One other server is down.' };
  expect(await ask('/readyz?maintenance=true')).toMatchObject({
    status: 412,
    body: 'One other server is down.\n',
  });
  expect((await ask('/readyz?maintenance=false')).status).toBe(200);
});

test('gives the counts', async () => {
  expect(await ask('/metrics')).toMatchObject({ status: 200, body: 'holdfast_x_total 1\n' });
});

test('answers nothing else', async () => {
  for (const path of ['/', '/healthz/', '/../healthz', '/%00']) {
    expect((await ask(path)).status).toBe(404);
  }
  expect((await ask('/readyz', 'POST')).status).toBe(405);
  expect((await ask('/metrics', 'DELETE')).status).toBe(405);
  expect(await ask('/readyz', 'HEAD')).toMatchObject({ status: 200, body: '' });
});

test('a failing callback costs one answer', async () => {
  health = new Proxy(well, {
    get() {
      throw new TypeError('test');
    },
  });
  expect((await ask('/readyz')).status).toBe(500);
  health = well;
  expect((await ask('/readyz')).status).toBe(200);
});

test('cuts off headers without end', async () => {
  const socket = net.connect(admin.port, '127.0.0.1');
  const ended = new Promise<string>((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
  socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}`);
  expect(await ended).toMatch(/^HTTP\/1.1 431/);
});

test('a port that is taken is named, with a cure', async () => {
  const taken = { host: '127.0.0.1', port: admin.port };
  const start = startAdmin({
    listen: taken,
    health: () => health,
    metrics: () => Promise.resolve(''),
    log: silentLog,
  });
  await expect(start).rejects.toMatchObject({
    code: 'port-in-use',
    message: expect.stringContaining(`127.0.0.1:${admin.port}`),
    cure: expect.stringContaining('another port'),
  });
});
