// Every key of server.toml, with its environment variable and its flag. Kept free of imports, so that the command line
// knows its flags without loading a server; a test compares it with the schema.

export interface ServerSetting {
  /** Dotted, as in the file: "listen.port". */
  readonly key: string;
  /** "HOLDFAST_LISTEN_PORT" */
  readonly variable: string;
  /** "--listen-port" */
  readonly flag: string;
  readonly description: string;
}

const setting = (key: string, description: string): ServerSetting => ({
  key,
  variable: `HOLDFAST_${key.replaceAll('.', '_').toUpperCase()}`,
  flag: `--${key.replaceAll('.', '-').replaceAll('_', '-')}`,
  description,
});

export const serverSettings: readonly ServerSetting[] = [
  setting('name', 'name of the server, for people'),
  setting('identity_key', "file with the server's secret key"),
  setting('admission', 'file that the authority gave to the server'),
  setting('data', 'folder of everything stored'),
  setting('listen.host', 'address to take storage connections at'),
  setting('listen.port', 'port to take storage connections at'),
  setting('admin.host', 'address to serve health and metrics at'),
  setting('admin.port', 'port to serve health and metrics at'),
  setting('log.level', 'how much is logged: debug, info, warn, error or silent'),
  setting('quota.client', 'what one client may store, such as 10GiB; 0 is no limit'),
  setting('scrub.interval', 'time from one check of everything stored to the next, such as 24h'),
  setting('scrub.rate', 'bytes read per second while checking, such as 8MiB'),
];
