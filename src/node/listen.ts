import type { AddressInfo, Server } from 'node:net';
import { HoldfastError } from '../base/errors.ts';
import type { Address } from '../env/network.ts';

/**
 * Binds `server`; resolves with the port, which the system chose if `address` says 0.
 * @throws HoldfastError 'port-in-use' when another process has the port, 'bad-configuration' for any other trouble.
 */
export function listen(server: Server, { host, port }: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
    server.once('error', refuse);
    server.listen({ host, port }, () => {
      server.off('error', refuse);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** What everybody says whose port another program has. */
export function portTaken(host: string, port: number): string {
  const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return `port ${port} is taken by another program (at ${place})`;
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): HoldfastError {
  const place = `${host}:${port}`;
  const details = { host, port };
  if (error.code === 'EADDRINUSE') {
    return new HoldfastError('port-in-use', portTaken(host, port), {
      cure: `Stop that program, which "ss -ltnp sport = :${port}" names (it may be an earlier run of this server), or choose another port.`,
      details,
      cause: error,
    });
  }
  return new HoldfastError('bad-configuration', `cannot listen on ${place}: ${error.message}`, {
    cure: 'Give an address of this machine and a port that this user may bind (1024 or above).',
    details,
    cause: error,
  });
}
