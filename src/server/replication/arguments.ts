// What an application passes, looked at before anything is opened. Applications in JavaScript pass anything, so nothing
// here trusts a type.

import { statSync } from 'node:fs';
import { type Bytes, equalBytes, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { Address } from '../../env/network.ts';
import type { ReplicaGroup } from '../../replication/contract.ts';
import { limits } from '../../wire/limits.ts';
import { reasonOf } from '../local-errors.ts';

const portMax = 65_535;

function bad(message: string, cure: string): HoldfastError {
  return new HoldfastError('bad-configuration', message, { cure });
}

/** @throws HoldfastError `bad-configuration` that says what it is instead. */
function demand32Bytes(name: string, value: unknown, cure: string): void {
  if (value instanceof Uint8Array && value.length === 32) return;
  const instead = value instanceof Uint8Array ? `it has ${value.length}` : `it is ${kindOf(value)}`;
  throw bad(`${name} is a Uint8Array of 32 bytes; ${instead}`, cure);
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A group before it is known that each member has an address. */
type GivenGroup = ReplicaGroup & { readonly addresses: readonly (Address | undefined)[] };

/** @throws HoldfastError `bad-configuration` for a group that can be none. */
export function checkGroup(group: GivenGroup): void {
  const { instance, members, addresses, faults, genesis } = group;
  const cure = 'Make the group with describeGroup, from one key and one address for each member.';
  demand32Bytes('the instance of a group', instance, cure);
  if (!Array.isArray(members) || members.length === 0) {
    throw bad('a group has members, and this one has none', cure);
  }
  if (genesis !== undefined) {
    demand32Bytes('the root that a group begins with', genesis, 'Give the root of an ending.');
  }
  const keys: readonly Bytes[] = members;
  const owners = new Map<string, number>();
  keys.forEach((key, index) => {
    demand32Bytes(`the key of member ${index}`, key, cure);
    const owner = owners.get(toHex(key));
    if (owner !== undefined) {
      throw bad(`member ${index} has the key of member ${owner}, not a key of its own`, cure);
    }
    owners.set(toHex(key), index);
  });
  const zero = keys.findIndex((key) => key.every((byte) => byte === 0));
  if (zero >= 0) throw bad(`the key of member ${zero} is all zeros, which is no key`, cure);
  if (!Number.isInteger(faults) || faults < 0 || faults > limits.faultsMax) {
    throw bad(`a group tolerates 0 to ${limits.faultsMax} faults, not ${faults}`, cure);
  }
  const places = new Set<string>();
  keys.forEach((_, index) => {
    const { host, port } = addresses[index] ?? {};
    if (typeof host !== 'string' || host === '') throw bad(`member ${index} has no host`, cure);
    if (port === undefined || !Number.isInteger(port) || port < 0 || port > portMax) {
      throw bad(
        `member ${index} has port ${port}; a port is a whole number up to ${portMax}`,
        cure,
      );
    }
    const place = `${host} port ${port}`;
    if (port > 0 && places.has(place)) throw bad(`two members are at ${place}`, cure);
    places.add(place);
  });
}

/** @throws HoldfastError `bad-configuration` for anything but the name of a service. */
export function checkName(name: string): void {
  if (typeof name === 'string' && name !== '') return;
  throw bad(
    'a group has a name, a text that is not empty',
    'Give the name of its service: it tells services on the same members apart.',
  );
}

/** @param name what the caller calls it. @throws HoldfastError `bad-configuration` */
export function checkSeed(name: string, seed: Bytes): void {
  demand32Bytes(name, seed, 'Give the 32 secret bytes themselves.');
}

/** @throws HoldfastError `bad-configuration` for a client with a member's key, which members take for that member. */
export function checkIsNoMember({ members }: ReplicaGroup, clientKey: Bytes): void {
  const index = members.findIndex((key) => equalBytes(key, clientKey));
  if (index < 0) return;
  throw bad(
    `identitySeed is that of member ${index}, whom nobody answers as a client`,
    'Give the client a seed of its own, or leave it out.',
  );
}

/** The longest delay that a timer of the system can have. */
const timeoutMsMax = 2 ** 31 - 1;

/** @throws HoldfastError `bad-configuration` */
export function checkTimeout(timeoutMs: number): void {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= timeoutMsMax) return;
  throw bad(
    `timeoutMs is a whole number, 1 … ${timeoutMsMax}, not ${String(timeoutMs)}`,
    'Leave it out to wait as long as it takes.',
  );
}

/** @throws HoldfastError `bad-configuration` */
export function checkEngineKind(kind: string): void {
  if (kind === 'pbft' || kind === 'vr') return;
  throw bad(`there is no engine '${kind}'`, "Choose 'pbft' or 'vr'.");
}

/** @throws HoldfastError `bad-configuration` */
export function checkEngineChoice(engine: { readonly kind: string }): void {
  if (typeof engine !== 'object' || engine === null) {
    throw bad("a replica's engine is an object", "Give { kind: 'pbft' } or { kind: 'vr' }.");
  }
  checkEngineKind(engine.kind);
}

/** Whether PBFT can run it. No group can be of both engines. */
export function isPbftGroup({ members, faults }: ReplicaGroup): boolean {
  return faults > 0 && members.length === 3 * faults + 1;
}

/** @throws HoldfastError `bad-configuration` for a group that this engine cannot have. */
export function checkGroupSize(group: ReplicaGroup, kind: 'pbft' | 'vr'): void {
  const { members, faults } = group;
  const isFit = kind === 'pbft' ? isPbftGroup(group) : members.length === 2 * faults + 1;
  if (isFit) return;
  const rule = kind === 'pbft' ? 'PBFT needs 3f+1 members, f at least 1' : 'VR needs 2f+1 members';
  throw bad(
    `${rule}; this group has ${members.length} and f = ${faults}`,
    'Describe the group with that many members, or choose the other engine.',
  );
}

/** @throws HoldfastError `bad-configuration` for no path, `data-folder` for the path of something else. */
export function checkFolder(
  folder: string,
  cure = 'Name the folder made by createReplicaFolder.',
): void {
  if (typeof folder !== 'string' || folder === '')
    throw bad('folder is the path of a folder', cure);
  if (isDirectory(folder) === false) {
    throw new HoldfastError('data-folder', `${folder} is a file and no folder`, {
      cure: 'Correct the path of the data folder.',
    });
  }
}

/** Undefined where there is nothing. */
function isDirectory(folder: string): boolean | undefined {
  try {
    return statSync(folder, { throwIfNoEntry: false })?.isDirectory();
  } catch (error) {
    throw withoutAccess(error, folder);
  }
}

/** What the operating system says of a folder that it neither opens nor makes. */
export function withoutAccess(cause: unknown, folder: string): HoldfastError {
  const message = `the data folder ${folder} can be neither opened nor made: ${reasonOf(cause)}`;
  return new HoldfastError('data-folder', message, {
    cure: 'Correct the path, or see that this user may write there and that the disk has room.',
    cause,
  });
}

/** @throws HoldfastError `usage` */
export function checkOperation(operation: Bytes): void {
  if (operation instanceof Uint8Array) return;
  throw new HoldfastError('usage', `an operation is a Uint8Array, not a ${typeof operation}`, {
    cure: 'Encode it first: new TextEncoder().encode(text), for a text.',
  });
}
