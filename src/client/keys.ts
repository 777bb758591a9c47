// The keys of a client file: the client itself, and the keys its objects are written under.

import { realpath, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { toHex } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import { clientRequestText, readClientAdmission } from '../server/admission.ts';
import { createFile, fileExists, replaceFile } from '../server/files.ts';
import { formatKey, newSeed, parseKey } from '../server/key-files.ts';
import { nameExpects, namePattern } from '../server/system-info.ts';
import {
  type ClientSettings,
  formatClientSettings,
  type Membership,
  type ObjectKey,
  readClientSettings,
} from './client-file.ts';

const firstKeyName = 'personal';

const usage = (message: string, cure: string): HoldfastError =>
  new HoldfastError('usage', message, { cure });

/** A client's own part, before any authority has seen it. */
export function newClientSettings(): ClientSettings {
  return {
    identitySeed: newSeed(),
    keys: [{ name: firstKeyName, seed: newSeed() }],
    defaultKey: firstKeyName,
    membership: undefined,
  };
}

export function clientPublicKey(settings: ClientSettings) {
  return ed25519.signer(settings.identitySeed).publicKey;
}

/** Writes a new client file, readable by its owner only. @throws HoldfastError `usage` if it exists. */
export async function createClientFile(file: string, settings: ClientSettings): Promise<void> {
  await createFile(file, formatClientSettings(settings), { isSecret: true });
}

/** Makes a client that is not yet admitted, and its request. */
export async function initClient(file: string, name: string): Promise<{ request: string }> {
  requireName(name);
  const request = `${file.replace(/\.toml$/, '')}.request`;
  if (await fileExists(request))
    throw usage(`${request} exists already`, 'Name another file: -o FILE.');
  const settings = newClientSettings();
  await createClientFile(file, settings);
  await createFile(request, clientRequestText({ name, publicKey: clientPublicKey(settings) }));
  return { request };
}

/** Puts what the authority gave into the client file. */
export async function acceptClientAdmission(file: string, admission: string): Promise<Membership> {
  let accepted: Membership | undefined;
  await changeClientFile(file, async (settings) => {
    if (settings.membership !== undefined) {
      throw usage(
        `${file} has been admitted to system ${settings.membership.system.name} already`,
        'Make another client for another system: holdfast client init -o FILE.',
      );
    }
    accepted = await readClientAdmission(admission, clientPublicKey(settings));
    return { ...settings, membership: accepted };
  });
  if (accepted === undefined) throw usage(`${file} was not changed`, 'Run the command again.');
  return accepted;
}

function requireName(name: string): void {
  if (!namePattern.test(name)) throw usage(`"${name}" is not a name`, `Give ${nameExpects}.`);
}

function requireNew(settings: ClientSettings, name: string): void {
  requireName(name);
  if (settings.keys.some((key) => key.name === name)) {
    throw usage(`there is a key named ${name} already`, 'Choose another name.');
  }
}

/** @throws HoldfastError `usage` naming the keys there are. */
export function keyNamed(settings: ClientSettings, name: string): ObjectKey {
  const found = settings.keys.find((key) => key.name === name);
  if (found !== undefined) return found;
  const names = settings.keys.map((key) => key.name).join(', ');
  throw usage(`there is no key named ${name}`, `Keys in this client file: ${names}.`);
}

export interface KeyReport {
  readonly name: string;
  /** Hexadecimal. */
  readonly publicKey: string;
  readonly isDefault: boolean;
}

export function listKeys(settings: ClientSettings): KeyReport[] {
  return settings.keys.map(({ name, seed }) => ({
    name,
    publicKey: toHex(ed25519.signer(seed).publicKey),
    isDefault: name === settings.defaultKey,
  }));
}

export function addNewKey(file: string, name: string): Promise<void> {
  return addKey(file, { name, seed: newSeed() });
}

/** The key as text that `importKey` takes. Secret. */
export function exportKey(settings: ClientSettings, name: string): string {
  return formatKey('object', keyNamed(settings, name).seed);
}

/** @throws HoldfastError `usage` for a text that is no key, a taken name, or a key that is there already. */
export async function importKey(file: string, name: string, text: string): Promise<void> {
  const seed = parseKey('object', text);
  if ('problem' in seed) {
    throw usage(`the text ${seed.problem}`, 'Give what "holdfast key export NAME" printed.');
  }
  await addKey(file, { name, seed });
}

export function makeDefault(file: string, name: string): Promise<void> {
  return changeClientFile(file, async (settings) => ({
    ...settings,
    defaultKey: keyNamed(settings, name).name,
  }));
}

function addKey(file: string, key: ObjectKey): Promise<void> {
  return changeClientFile(file, async (settings) => {
    requireNew(settings, key.name);
    const same = settings.keys.find((other) => toHex(other.seed) === toHex(key.seed));
    if (same !== undefined) {
      throw usage(`this key is there already, as ${same.name}`, 'There is nothing to do.');
    }
    return { ...settings, keys: [...settings.keys, key] };
  });
}

/**
 * Replaces the client file in one step. A lock file keeps two commands from each undoing the other's change: a lost key
 * could never be had again.
 */
async function changeClientFile(
  path: string,
  change: (settings: ClientSettings) => Promise<ClientSettings>,
): Promise<void> {
  const file = await realpath(path).catch(() => resolve(path));
  const lock = `${file}.lock`;
  try {
    await createFile(lock, '', { isSecret: true });
  } catch (error) {
    if (!(await fileExists(lock))) throw error;
    throw usage(
      `another command is changing ${path}`,
      `Wait for it and try again. If there is none, it was interrupted: remove ${lock}`,
    );
  }
  try {
    const changed = await change(await readClientSettings(file));
    await replaceFile(file, formatClientSettings(changed), { isSecret: true });
  } finally {
    await unlink(lock).catch(() => undefined);
  }
}
