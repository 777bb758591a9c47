// client.toml: which system a client uses, who it is there, and the keys of the objects it writes.

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'smol-toml';
import { z } from 'zod';
import type { Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import {
  addressTable,
  checkClientCertificate,
  clientCertificateField,
  type ServerAddress,
  serverAddressSchema,
} from '../server/admission.ts';
import { parseKind } from '../server/file-kind.ts';
import { fileExists, requirePrivate } from '../server/files.ts';
import { formatKey, type KeyKind, parseKey } from '../server/key-files.ts';
import {
  encoded,
  nameField,
  type SystemInfo,
  systemOf,
  systemSchema,
  systemTable,
} from '../server/system-info.ts';
import { checkAgainst, field, readTextFile } from '../server/toml.ts';
import * as types from '../wire/types.ts';

/** A key that signs objects. Names of objects belong to the key they are written under. */
export interface ObjectKey {
  readonly name: string;
  /** 32 secret bytes. */
  readonly seed: Bytes;
}

/** What the authority gave: absent until the client is admitted. */
export interface Membership {
  readonly system: SystemInfo;
  readonly certificate: types.ClientCertificate;
  readonly servers: readonly ServerAddress[];
}

/** The content of a client file before and after admission. */
export interface ClientSettings {
  /** Seed of the client's Ed25519 identity, 32 secret bytes. */
  readonly identitySeed: Bytes;
  readonly keys: readonly ObjectKey[];
  /** Name of the key that objects are written under. */
  readonly defaultKey: string;
  readonly membership: Membership | undefined;
}

/** What `connect` needs: a client that has been admitted. */
export interface ClientFile extends Membership {
  /** Absolute. */
  readonly path: string;
  readonly identitySeed: Bytes;
  readonly keys: readonly ObjectKey[];
  /** The key that objects are written under. */
  readonly objectKey: ObjectKey;
}

const keyField = (kind: KeyKind) =>
  field(
    z.string().transform((text, context): Bytes => {
      const seed = parseKey(kind, text);
      if (!('problem' in seed)) return seed;
      context.addIssue({ code: 'custom', message: seed.problem });
      return z.NEVER;
    }),
    {
      expects: `an undamaged key that begins with holdfast-${kind}-key:`,
      example: `"holdfast-${kind}-key:…"`,
      isSecret: true,
    },
  );

const clientFileSchema = z.strictObject({
  system: systemSchema.optional(),
  identity: z.strictObject({
    key: keyField('client'),
    certificate: clientCertificateField.optional(),
  }),
  servers: z.array(serverAddressSchema).optional(),
  keys: z
    .array(
      z.strictObject({
        name: nameField('personal'),
        seed: keyField('object'),
        default: field(z.boolean(), { expects: 'true or false', example: 'true' }).optional(),
      }),
    )
    .min(1),
});

function invalid(file: string, message: string, cure: string): HoldfastError {
  return new HoldfastError('bad-configuration', `${file} ${message}`, { cure, details: { file } });
}

function membershipOf(
  parsed: z.output<typeof clientFileSchema>,
  file: string,
): Membership | undefined {
  const { system, servers } = parsed;
  const { certificate } = parsed.identity;
  if (system === undefined && servers === undefined && certificate === undefined) return undefined;
  if (system === undefined || servers === undefined || certificate === undefined) {
    const missing =
      system === undefined
        ? '[system]'
        : servers === undefined
          ? '[[servers]]'
          : 'identity.certificate';
    throw invalid(file, `lacks ${missing}`, 'Ask the authority for the admission again.');
  }
  if (servers.length === 0) {
    throw invalid(file, 'names no server', 'Add a [[servers]] entry with host, port and key.');
  }
  return { system: systemOf(system), servers, certificate };
}

/** @throws HoldfastError `bad-configuration`. */
export function parseClientSettings(text: string, file: string): ClientSettings {
  if (text.trim() === '') {
    throw invalid(file, 'is empty', 'Restore it from your backup, or make a new client.');
  }
  const value = parseKind(text, file, {
    kind: 'client file',
    keys: Object.keys(clientFileSchema.shape),
    cure: 'Name the file that "holdfast client init" or "holdfast authority client --new" made.',
  });
  const parsed = checkAgainst(clientFileSchema, value, { file });
  const names = parsed.keys.map((key) => key.name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) {
    throw invalid(file, `has two keys named "${twice}"`, 'Rename one of them.');
  }
  const defaults = parsed.keys.filter((key) => key.default === true);
  const [chosen] = defaults.length > 0 ? defaults : parsed.keys;
  if (chosen === undefined || defaults.length > 1) {
    throw invalid(file, 'has several default keys', 'Leave default = true on one of them.');
  }
  const membership = membershipOf(parsed, file);
  const identitySeed = parsed.identity.key;
  if (membership !== undefined) {
    checkClientCertificate(membership, ed25519.signer(identitySeed).publicKey, file);
  }
  return {
    identitySeed,
    keys: parsed.keys.map(({ name, seed }) => ({ name, seed })),
    defaultKey: chosen.name,
    membership,
  };
}

/** The file's text. Comments that someone added to an earlier one are not kept. */
export function formatClientSettings(settings: ClientSettings): string {
  const { membership } = settings;
  const file: z.input<typeof clientFileSchema> = {
    ...(membership === undefined ? {} : { system: systemTable(membership.system) }),
    identity: {
      key: formatKey('client', settings.identitySeed),
      ...(membership === undefined
        ? {}
        : { certificate: encoded(types.ClientCertificate, membership.certificate) }),
    },
    ...(membership === undefined ? {} : { servers: membership.servers.map(addressTable) }),
    keys: settings.keys.map(({ name, seed }) => ({
      name,
      seed: formatKey('object', seed),
      ...(name === settings.defaultKey ? { default: true } : {}),
    })),
  };
  const head =
    '# A Holdfast client. Holds secret keys: keep a backup, and never share it.\n# Without the keys, objects written under them can be read but never written again.\n';
  return `${head}\n${stringify(file)}\n`;
}

/** @throws HoldfastError `bad-configuration`. */
export async function readClientSettings(file: string): Promise<ClientSettings> {
  const text = await readTextFile(
    file,
    'Make a client first: holdfast client init. Or name its file: --client FILE.',
  );
  const settings = parseClientSettings(text, file);
  // Only now is it known to hold a secret.
  await requirePrivate(file);
  return settings;
}

/** @throws HoldfastError `bad-configuration`, also for a client that has not been admitted. */
export async function loadClientFile(file: string): Promise<ClientFile> {
  const settings = await readClientSettings(file);
  const { identitySeed, keys, defaultKey, membership } = settings;
  const objectKey = keys.find((key) => key.name === defaultKey);
  if (membership === undefined || objectKey === undefined) {
    throw invalid(
      file,
      'has not been admitted to a system yet',
      `Give its .request file to the authority (holdfast authority client), then: holdfast client accept --client ${file} FILE.admission`,
    );
  }
  return { path: resolve(file), identitySeed, keys, objectKey, ...membership };
}

export interface Surroundings {
  /** What --client said. */
  readonly given: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The current folder. */
  readonly folder: string;
}

export interface FoundClient {
  readonly file: string;
  /** How it was found, for people. */
  readonly because: string;
}

/**
 * Finds the client file: --client, HOLDFAST_CLIENT, ./.holdfast/client.toml, then the user's configuration folder.
 * @throws HoldfastError `bad-configuration` naming every place looked at.
 */
export async function findClientFile(around: Surroundings): Promise<FoundClient> {
  const { given, env, folder } = around;
  if (given !== undefined) return { file: resolve(folder, given), because: 'given by --client' };
  const variable = env.HOLDFAST_CLIENT;
  if (variable !== undefined && variable !== '') {
    return { file: resolve(folder, variable), because: 'given by HOLDFAST_CLIENT' };
  }
  const places = [
    { file: join(folder, '.holdfast', 'client.toml'), because: 'found in the current folder' },
    { file: userClientFile(env), because: "found in the user's configuration folder" },
  ];
  for (const place of places) {
    if (await fileExists(place.file)) return place;
  }
  throw new HoldfastError(
    'bad-configuration',
    `found no client file. Looked for --client, the variable HOLDFAST_CLIENT, ${places.map((place) => place.file).join(' and ')}`,
    {
      cure: 'Start a system here with "holdfast dev", or name the file with --client FILE.',
      details: { places: ['--client', 'HOLDFAST_CLIENT', ...places.map((place) => place.file)] },
    },
  );
}

function userClientFile(env: Surroundings['env']): string {
  const given = env.XDG_CONFIG_HOME;
  // The specification asks to ignore relative paths there.
  const base = given?.startsWith('/') === true ? given : join(env.HOME ?? homedir(), '.config');
  return join(base, 'holdfast', 'client.toml');
}
