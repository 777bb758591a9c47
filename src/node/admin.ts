import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Log } from '../env/log.ts';
import type { Address } from '../env/network.ts';
import { listen } from './listen.ts';

/** What a server says of itself. */
export interface Health {
  /** The process does its work; when false, restarting it is the cure. */
  readonly live: boolean;
  /** Requests are answered. */
  readonly ready: boolean;
  /** Why not, in sentences. */
  readonly reasons: readonly string[];
  /** Stopping this server now would leave the system as many tolerated failures as it should have. */
  readonly maintenanceSafe: boolean;
  /** Why stopping is safe, or what it would cost. */
  readonly maintenanceReason: string;
}

export interface AdminOptions {
  /** Loopback and a port of the system's choice unless given. */
  readonly listen?: Address;
  readonly health: () => Health;
  /** Everything counted, in the Prometheus text format. */
  readonly metrics: () => Promise<string>;
  readonly log: Log;
}

export interface Admin {
  readonly port: number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  /** Sent as text, or inside JSON when the client accepts that. */
  readonly lines: readonly string[];
  readonly fields?: Readonly<Record<string, unknown>>;
}

const connectionsMax = 64;
const targetSizeMax = 1024;

/**
 * Starts the HTTP server for operators and their tools: `/healthz`, `/readyz` (with `?maintenance=true`: may this
 * server be stopped now?) and `/metrics`. It only reads.
 * @throws HoldfastError 'port-in-use' or 'bad-configuration' when the address cannot be had.
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const server = http.createServer(
    {
      maxHeaderSize: 8 * 1024,
      headersTimeout: 5_000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      respond(options, request, response).catch((error: unknown) => {
        options.log.error('admin.request-failed', { error: String(error) });
        if (!response.headersSent)
          send(request, response, { status: 500, lines: ['internal error'] });
        else response.destroy();
      });
    },
  );
  server.maxConnections = connectionsMax;
  const port = await listen(server, options.listen ?? { host: '127.0.0.1', port: 0 });
  server.on('error', (error) => options.log.error('admin.server-failed', { error: error.message }));
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(
  { health, metrics }: AdminOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = request.url ?? '';
  const [path, query] = target.slice(0, targetSizeMax).split('?', 2);
  const known = path === '/healthz' || path === '/readyz' || path === '/metrics';
  if (!known) return send(request, response, { status: 404, lines: ['not found'] });
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return send(request, response, { status: 405, lines: ['only GET and HEAD are answered'] });
  }
  if (path === '/metrics') {
    const text = await metrics();
    response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    response.end(text);
    return;
  }
  const now = health();
  if (path === '/healthz') return send(request, response, liveAnswer(now));
  const maintenance = new URLSearchParams(query).get('maintenance') === 'true';
  send(request, response, maintenance ? maintenanceAnswer(now) : readyAnswer(now));
}

function liveAnswer({ live, reasons }: Health): Answer {
  return live
    ? { status: 200, lines: ['live'], fields: { live } }
    : { status: 503, lines: ['not live', ...reasons], fields: { live } };
}

function readyAnswer({ ready, reasons }: Health): Answer {
  return ready
    ? { status: 200, lines: ['ready'], fields: { ready } }
    : { status: 503, lines: ['not ready', ...reasons], fields: { ready } };
}

function maintenanceAnswer({ maintenanceSafe, maintenanceReason }: Health): Answer {
  return {
    status: maintenanceSafe ? 200 : 412,
    lines: [maintenanceReason],
    fields: { maintenanceSafe },
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, lines, fields }: Answer,
): void {
  const json = request.headers.accept?.includes('application/json') === true;
  const body = json
    ? `${JSON.stringify({ status, ...fields, reasons: lines })}\n`
    : `${lines.join('\n')}\n`;
  response.writeHead(status, {
    'content-type': json ? 'application/json' : 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.end(body);
}
