// What every benchmark is given: a system of its own, client processes on it, and whether to hurry.

import { type Clients, withClients } from './clients.ts';
import { type SystemOptions, startSystem } from './system.ts';

export interface OnSystem {
  /** On the same disk as the servers' data. */
  readonly folder: string;
  readonly serverPids: readonly number[];
  clients<T>(count: number, work: (clients: Clients) => Promise<T>): Promise<T>;
}

export interface Run {
  readonly isQuick: boolean;
  /** Where folders are made; the temporary folder unless given. */
  readonly parent: string | undefined;
  readonly profileFolder: string | undefined;
  note(words: string): void;
  withSystem<T>(work: (system: OnSystem) => Promise<T>): Promise<T>;
}

export interface RunOptions extends SystemOptions {
  readonly isQuick: boolean;
  readonly note: (words: string) => void;
}

export function runWith(options: RunOptions): Run {
  const { isQuick, note, profileFolder } = options;
  return {
    isQuick,
    parent: options.parent,
    profileFolder,
    note,
    async withSystem(work) {
      const system = await startSystem(options);
      const { folder, serverPids, clientFile: client } = system;
      try {
        return await work({
          folder,
          serverPids,
          clients: (count, inner) => withClients(count, { client, profileFolder }, inner),
        });
      } finally {
        await system.stop();
      }
    },
  };
}
