// What lies in the folder of `run.ts`:
//
//   group.json             who the members are; the same on all machines, and no secret
//   member-0/seed          the secret key of a member
//   member-0/key-0         the folder of the module that signs with it in the first group, if there is one
//   member-0/data-0        what the member keeps of the first group; of the next ones in data-1, data-2, …

import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createReplicaFolder,
  createSigningFolder,
  describeGroup,
  memberKey,
  type PlacedGroup,
  type readEnding,
} from 'holdfast/replication';

/** What a person can act on. */
export class Refusal extends Error {}

export type EngineKind = 'pbft' | 'vr';

/** One of them may lie under PBFT, or stop under Viewstamped Replication. */
export const memberCounts: Readonly<Record<EngineKind, number>> = { pbft: 4, vr: 3 };

interface Member {
  /** Hexadecimal. */
  readonly publicKey: string;
  readonly host: string;
  readonly port: number;
}

export interface GroupFile {
  readonly engine: EngineKind;
  /** How many groups have handed their state on to this one. */
  readonly generation: number;
  /** The root of that state, in hexadecimal. */
  readonly genesis?: string;
  readonly members: readonly Member[];
}

export type Ending = Awaited<ReturnType<typeof readEnding>>;

const groupPath = (folder: string): string => join(folder, 'group.json');
const memberPath = (folder: string, index: number): string => join(folder, `member-${index}`);
const seedPath = (folder: string, index: number): string => join(memberPath(folder, index), 'seed');
export const dataPath = (folder: string, index: number, generation: number): string =>
  join(memberPath(folder, index), `data-${generation}`);

const keyPath = (folder: string, index: number, generation: number): string =>
  join(memberPath(folder, index), `key-${generation}`);
/** Where a member reaches the module that has its key. */
export const socketPath = (folder: string, index: number): string =>
  join(memberPath(folder, index), 'sock');

const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function groupOf({ members, genesis }: Pick<GroupFile, 'members' | 'genesis'>): PlacedGroup {
  const placed = members.map(({ publicKey, host, port }) => ({
    publicKey: fromHex(publicKey),
    address: { host, port },
  }));
  return describeGroup(
    'key-value',
    placed,
    1,
    genesis === undefined ? undefined : fromHex(genesis),
  );
}

/** What to do where `group.json` cannot be used: `create` would make other members, with other keys. */
const copyIt =
  'All machines of the group have the same one and it holds no secret: copy it from another.';

export async function readGroup(folder: string): Promise<GroupFile> {
  const path = groupPath(folder);
  const text = await readFile(path, 'utf8').catch(() => {
    throw new Refusal(
      `There is no ${path}. ${membersIn(folder).length > 0 ? copyIt : 'Run create first, or name its --folder.'}`,
    );
  });
  const file = groupFileOf(text);
  if (typeof file === 'string') throw new Refusal(`${path} is damaged: ${file}. ${copyIt}`);
  try {
    groupOf(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(`${path} describes no group: ${reason}. Correct it, on all machines alike.`);
  }
  return file;
}

/** The members that are on this machine, by number. */
export function membersIn(folder: string): number[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).map((name) => /^member-(\d)$/.exec(name)?.[1]);
  return names.flatMap((digit) => (digit === undefined ? [] : [Number(digit)])).sort();
}

/** A text says why it is no description of a group. */
function groupFileOf(text: string): GroupFile | string {
  const { engine, generation, genesis, members } = objectOf(parse(text));
  if (engine !== 'pbft' && engine !== 'vr') return 'engine is neither pbft nor vr';
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation)) {
    return 'generation is no whole number';
  }
  if (genesis !== undefined && !isHex32(genesis)) return 'genesis is no root';
  const count = memberCounts[engine];
  if (!Array.isArray(members) || members.length !== count) {
    return `${engine} has ${count} members here`;
  }
  const found: Member[] = [];
  for (const [index, member] of members.entries()) {
    const { publicKey, host, port } = objectOf(member);
    if (!isHex32(publicKey)) return `publicKey of member ${index} is no key`;
    if (typeof host !== 'string') return `host of member ${index} is no text`;
    if (!isPort(port)) return `port of member ${index} is none from 1 to 65535`;
    found.push({ publicKey, host, port });
  }
  return { engine, generation, members: found, ...(genesis !== undefined && { genesis }) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The fields of what may be no object. */
function objectOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function isHex32(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

export function isPort(value: unknown): value is number {
  return Number.isInteger(value) && typeof value === 'number' && value >= 1 && value <= 65_535;
}

/** The old file stays until the new one is whole. */
export async function writeGroup(folder: string, file: GroupFile): Promise<void> {
  const part = `${groupPath(folder)}.part`;
  await writeFile(part, JSON.stringify(file, undefined, 2), { flush: true });
  await rename(part, groupPath(folder));
}

export async function writeSeed(folder: string, index: number, seed: Uint8Array): Promise<void> {
  await mkdir(memberPath(folder, index), { recursive: true });
  await writeFile(seedPath(folder, index), toHex(seed), { flag: 'wx', mode: 0o600, flush: true });
}

export async function readSeed(
  folder: string,
  { members }: GroupFile,
  index: number,
): Promise<Uint8Array> {
  const member = members[index];
  if (member === undefined) {
    throw new Refusal(`There is no member ${index}: they are 0 to ${members.length - 1}.`);
  }
  const path = seedPath(folder, index);
  const text = await readFile(path, 'utf8').catch(() => {
    const here = membersIn(folder);
    const others = here.length === 0 ? '' : ` (Members in ${folder}: ${here.join(', ')}.)`;
    throw new Refusal(
      `There is no ${path}, the secret key of member ${index}.${others} Put it back: without it nobody can be that member, which then counts as faulty for good.`,
    );
  });
  const seed = text.trim();
  if (isHex32(seed) && toHex(memberKey(fromHex(seed))) === member.publicKey) return fromHex(seed);
  throw new Refusal(
    `${path} is not the secret key of the member ${index} that ${groupPath(folder)} names. One of the two belongs to another group, or another member: put the right seed there, or copy the right group.json from another machine.`,
  );
}

/**
 * A folder gets its name when it is whole. One that has it is left as it is: perhaps the member has run on it, and must not
 * forget what it promised.
 */
export async function makeData(
  folder: string,
  { group, generation }: { readonly group: PlacedGroup; readonly generation: number },
  index: number,
  begins?: Ending,
): Promise<void> {
  const path = dataPath(folder, index, generation);
  if (existsSync(path)) return;
  const part = `${path}.part`;
  await rm(part, { recursive: true, force: true });
  await createReplicaFolder(part, group, index, begins);
  await rename(part, path);
}

/** The folder of the module that signs for a member, made from its seed the first time. */
export async function makeKey(folder: string, file: GroupFile, index: number): Promise<string> {
  if (file.engine === 'vr') throw new Refusal('Members of Viewstamped Replication sign nothing.');
  const path = keyPath(folder, index, file.generation);
  if (!existsSync(join(path, 'key'))) {
    await createSigningFolder(path, groupOf(file), await readSeed(folder, file, index));
  }
  return path;
}
