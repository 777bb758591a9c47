// server: one storage server in this process.

import { resolve } from 'node:path';
import { runServerProcess } from '../../server/process.ts';
import { serverSettings } from '../../server/server-settings.ts';
import { supervisorChannel } from '../../server/supervision.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { Printer } from '../output.ts';

export interface ServerOptions extends GlobalOptions {
  readonly config: string;
  readonly recover: boolean;
  /** One flag per setting. */
  readonly settings: Readonly<Record<string, string | undefined>>;
}

/** The flags that stand for keys of server.toml, by key, out of the parsed options. */
export function settingsOf(
  options: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string | undefined>> {
  const entries = serverSettings.map(({ key, flag }) => {
    const name = flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const value = options[name];
    return [key, typeof value === 'string' ? value : undefined] as const;
  });
  return Object.fromEntries(entries);
}

export async function server(context: Context, options: ServerOptions): Promise<void> {
  const printer = new Printer(context, options);
  await runServerProcess({
    runServer: context.runServer,
    file: resolve(context.folder, options.config),
    overrides: { env: context.env, flags: options.settings },
    recover: options.recover,
    supervisor: supervisorChannel(),
    signal: context.signal,
    onReady({ name, id, address, adminAddress, isServing, warning }) {
      const where = `storage at ${address}, health at http://${adminAddress}`;
      printer.note(
        isServing
          ? `Server ${name} (${id}) is ready: ${where}`
          : `Server ${name} (${id}) is up and recovering: ${where}. It serves when it has its data.`,
      );
      if (warning !== undefined) printer.note(`Warning: ${warning}`);
    },
    onServing: ({ name, id }) =>
      printer.note(`Server ${name} (${id}) has its data again and serves.`),
  });
}
