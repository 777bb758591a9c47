// Ports of the servers of a development system.

import { createServer } from 'node:net';
import { HoldfastError } from '../../base/errors.ts';
import { portTaken } from '../../node/listen.ts';
import { systemCode } from '../local-errors.ts';

export const devHost = '127.0.0.1';

/** Health and metrics are served this far above the storage port. */
const adminPortOffset = 100;
export const firstPortDefault = 7101;
/** From one candidate for the first port to the next. */
const firstPortStep = 2 * adminPortOffset;
export const devServersMax = adminPortOffset;
/** Fewer cannot tolerate a fault. */
export const devServersMin = 4;
export const firstPortMax = 65_535 - adminPortOffset - devServersMax;

export interface ServerPorts {
  readonly port: number;
  readonly adminPort: number;
}

export function portsFrom(firstPort: number, servers: number): ServerPorts[] {
  return Array.from({ length: servers }, (_, at) => ({
    port: firstPort + at,
    adminPort: firstPort + at + adminPortOffset,
  }));
}

/** Tells whether something could listen at the port now. */
export type IsFree = (port: number) => Promise<boolean>;

export const isPortFree: IsFree = (port) =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => {
      const code = systemCode(error);
      if (code === 'EADDRINUSE' || code === 'EACCES') resolve(false);
      else reject(error);
    });
    probe.listen({ host: devHost, port, exclusive: true }, () => {
      probe.close(() => resolve(true));
    });
  });

/** The first of these ports that is taken. */
export async function firstTaken(
  ports: readonly ServerPorts[],
  isFree: IsFree,
): Promise<number | undefined> {
  for (const { port, adminPort } of ports) {
    if (!(await isFree(port))) return port;
    if (!(await isFree(adminPort))) return adminPort;
  }
  return undefined;
}

/**
 * Ports for a new system: those asked for, or else the first free ones.
 * @throws HoldfastError `port-in-use`.
 */
export async function choosePorts(
  servers: number,
  asked: number | undefined,
  isFree: IsFree = isPortFree,
): Promise<ServerPorts[]> {
  if (asked !== undefined) {
    const ports = portsFrom(asked, servers);
    const taken = await firstTaken(ports, isFree);
    if (taken === undefined) return ports;
    throw new HoldfastError('port-in-use', portTaken(devHost, taken), {
      cure: `Choose another first port: --port ${Math.min(asked + firstPortStep, firstPortMax)}. Leave --port out to have free ones chosen.`,
      details: { port: taken },
    });
  }
  for (let first = firstPortDefault; first <= firstPortMax; first += firstPortStep) {
    const ports = portsFrom(first, servers);
    if ((await firstTaken(ports, isFree)) === undefined) return ports;
  }
  throw new HoldfastError('port-in-use', `found no ${2 * servers} free ports on ${devHost}`, {
    cure: 'Stop programs that listen there, or use fewer servers: --servers 4.',
  });
}
