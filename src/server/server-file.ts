// server.toml: what one server is told. Environment variables stand over the file, flags over both.

import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { Bytes } from '../base/bytes.ts';
import { parseDurationMs, parseSizeBytes } from '../base/duration.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Configuration } from '../configuration/configuration.ts';
import { ed25519 } from '../crypto/signature.ts';
import { type LogLevel, logLevels } from '../node/log.ts';
import type * as types from '../wire/types.ts';
import { readServerAdmission } from './admission.ts';
import { parseKind } from './file-kind.ts';
import { fileExists } from './files.ts';
import { readKeyFile } from './key-files.ts';
import { serverSettings } from './server-settings.ts';
import { hostField, nameField, portField, type SystemInfo } from './system-info.ts';
import { checkAgainst, field, readTextFile, valueOfText } from './toml.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A server's settings, checked, with its key and its verified admission. */
export interface ServerFile {
  /** The file itself. */
  readonly path: string;
  readonly name: string;
  readonly system: SystemInfo;
  /** Seed of the server's Ed25519 identity, 32 secret bytes. */
  readonly identitySeed: Bytes;
  readonly certificate: types.ServerCertificate;
  readonly configuration: Configuration;
  readonly listen: Endpoint;
  readonly admin: Endpoint;
  /** Absolute. */
  readonly dataFolder: string;
  readonly logLevel: LogLevel;
  /** Bytes that one client may store here unless its certificate says otherwise; 0 is no limit. */
  readonly clientQuotaBytes: number;
  readonly scrubIntervalMs: number;
  readonly scrubRateBytesPerSecond: number;
}

const pathField = (example: string) =>
  field(z.string().min(1), { expects: 'a path', example: `"${example}"` });

const durationField = field(
  z.string().transform((text, context): number => {
    const value = parseDurationMs(text);
    if (value !== undefined && value >= 1000) return value;
    context.addIssue({ code: 'custom', message: 'not a duration' });
    return z.NEVER;
  }),
  { expects: 'a duration of at least 1s, such as "30s", "10m" or "24h"', example: '"24h"' },
);

const sizeField = (example: string, sizeBytesMin: number) =>
  field(
    z.union([z.string(), z.int()]).transform((value, context): number => {
      const size = typeof value === 'number' ? value : parseSizeBytes(value);
      if (size !== undefined && Number.isSafeInteger(size) && size >= sizeBytesMin) return size;
      context.addIssue({ code: 'custom', message: 'not a size' });
      return z.NEVER;
    }),
    {
      expects: `a size in bytes, such as 1048576 or "10GiB"${sizeBytesMin > 0 ? `, of at least ${sizeBytesMin}` : ''}`,
      example: `"${example}"`,
    },
  );

/** Settings stand in server-settings.ts too, with their meaning. */
export const serverFileSchema = z.strictObject({
  name: nameField('s1'),
  identity_key: pathField('identity.key').prefault('identity.key'),
  admission: pathField('admission.toml').prefault('admission.toml'),
  data: pathField('data').prefault('data'),
  listen: z
    .strictObject({
      host: hostField('127.0.0.1').prefault('127.0.0.1'),
      port: portField(7101).prefault(7101),
    })
    .prefault({}),
  admin: z
    .strictObject({
      host: hostField('127.0.0.1').prefault('127.0.0.1'),
      port: portField(7201).prefault(7201),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: field(z.enum(logLevels), {
        expects: `one of ${logLevels.map((level) => `"${level}"`).join(', ')}`,
        example: '"info"',
      }).prefault('info'),
    })
    .prefault({}),
  quota: z.strictObject({ client: sizeField('10GiB', 0).prefault(0) }).prefault({}),
  scrub: z
    .strictObject({
      interval: durationField.prefault('24h'),
      rate: sizeField('8MiB', 4096).prefault('8MiB'),
    })
    .prefault({}),
});

export interface Overrides {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By key, such as "listen.port". */
  readonly flags?: Readonly<Record<string, string | undefined>>;
}

function put(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) {
    target[key] = value;
    return;
  }
  const inner = target[key];
  const table: Record<string, unknown> =
    typeof inner === 'object' && inner !== null ? { ...inner } : {};
  put(table, rest, value);
  target[key] = table;
}

interface Settings {
  readonly parsed: z.output<typeof serverFileSchema>;
  readonly file: string;
}

async function readSettings(file: string, overrides: Overrides): Promise<Settings> {
  const cure = 'Make a server first: holdfast server init. Or name its file: --config FILE.';
  const keys = Object.keys(serverFileSchema.shape);
  const wanted = { kind: 'server settings file', keys, cure } as const;
  const value = { ...parseKind(await readTextFile(file, cure), file, wanted) };
  const origins = new Map<string, string>();
  for (const setting of serverSettings) {
    for (const [origin, text] of [
      [setting.variable, overrides.env[setting.variable]],
      [setting.flag, overrides.flags?.[setting.key]],
    ] as const) {
      if (text === undefined) continue;
      const path = setting.key.split('.');
      put(value, path, valueOfText(serverFileSchema, path, text));
      origins.set(setting.key, origin);
    }
  }
  return { parsed: checkAgainst(serverFileSchema, value, { file, origins }), file };
}

/**
 * Reads everything a server needs. Relative paths in the file are relative to the file.
 * @throws HoldfastError `bad-configuration`.
 */
export async function loadServerFile(path: string, overrides: Overrides): Promise<ServerFile> {
  const { parsed } = await readSettings(path, overrides);
  const folder = dirname(resolve(path));
  const identitySeed = await readKeyFile(resolve(folder, parsed.identity_key), 'server');
  const admissionFile = resolve(folder, parsed.admission);
  if (!(await fileExists(admissionFile))) {
    throw new HoldfastError(
      'bad-configuration',
      `server ${parsed.name} has not been admitted yet`,
      {
        cure: `Give its .request file to the authority (holdfast authority admit, then genesis), then: holdfast server accept --dir ${folder} FILE.admission`,
        details: { file: admissionFile },
      },
    );
  }
  const { publicKey } = ed25519.signer(identitySeed);
  const admission = await readServerAdmission(admissionFile, publicKey);
  return {
    path: resolve(path),
    name: parsed.name,
    ...admission,
    identitySeed,
    listen: parsed.listen,
    admin: parsed.admin,
    dataFolder: resolve(folder, parsed.data),
    logLevel: parsed.log.level,
    clientQuotaBytes: parsed.quota.client,
    scrubIntervalMs: parsed.scrub.interval,
    scrubRateBytesPerSecond: parsed.scrub.rate,
  };
}

/** Where the identity key of a server stands. @throws HoldfastError `bad-configuration`. */
export async function readServerPaths(
  file: string,
): Promise<{ name: string; identityKey: string; admission: string; data: string }> {
  const { parsed } = await readSettings(file, { env: {} });
  const folder = dirname(resolve(file));
  return {
    name: parsed.name,
    identityKey: resolve(folder, parsed.identity_key),
    admission: resolve(folder, parsed.admission),
    data: resolve(folder, parsed.data),
  };
}
