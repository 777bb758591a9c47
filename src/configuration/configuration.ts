// A configuration as a value: the members of one epoch, who serves which id, and the certificate that vouches for it.
// Members are kept as packed columns ordered by id, so that a hundred thousand of them stay small.

import type { Epoch, PeerId } from '../base/brand.ts';
import { epoch as toEpoch } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { compareBytes, equalBytes, textOf, toHex, uint64Bytes } from '../base/bytes.ts';
import { hashSizeBytes, taggedHash } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import * as types from '../wire/types.ts';
import { serverId, type Trust } from './certificates.ts';
import { merkleTop } from './merkle.ts';
import { idSizeBytes, Ring } from './ring.ts';

export const memberStatus = { active: 0, inactive: 1 } as const;

/** One server of a configuration. `index` is its place in id order and valid within that configuration only. */
export interface Member {
  readonly index: number;
  readonly id: Bytes;
  readonly peer: PeerId;
  readonly host: string;
  readonly port: number;
}

/** The servers that hold one id in one epoch. */
export interface Group {
  readonly members: readonly Member[];
  readonly faults: number;
}

/** Why a configuration offered by someone else was not accepted. */
export type ConfigurationFault =
  | 'wrong-system'
  | 'bad-signature'
  | 'bad-member-certificate'
  | 'bad-member-field'
  | 'members-not-ascending'
  | 'duplicate-key'
  | 'root-mismatch'
  | 'count-mismatch'
  | 'bad-fault-bound'
  | 'too-few-active';

const leafOf = (record: types.MemberRecord): Bytes =>
  taggedHash('member-leaf', types.MemberRecord.serialize(record));

/** The digest that an epoch's certificate covers. */
export function configurationRoot(members: readonly types.MemberRecord[]): Bytes {
  const leaves = new Uint8Array(members.length * hashSizeBytes);
  members.forEach((record, index) => {
    leaves.set(leafOf(record), index * hashSizeBytes);
  });
  return taggedHash('configuration-root', uint64Bytes(members.length), merkleTop(leaves));
}

/** Digest of the system-wide parameters that are part of what an epoch's certificate covers. */
export function parametersHash(faults: number): Bytes {
  return taggedHash('parameters', new Uint8Array([faults]));
}

/** Puts members into the order of their ids, as every configuration lists them. */
export function inRingOrder(members: readonly types.MemberRecord[]): types.MemberRecord[] {
  return members
    .map((record) => ({ record, id: serverId(record.certificate.statement) }))
    .sort((a, b) => compareBytes(a.id, b.id))
    .map(({ record }) => record);
}

/** An accepted configuration. Immutable. */
export class Configuration {
  readonly epoch: Epoch;
  readonly system: Bytes;
  readonly faults: number;
  readonly record: types.ConfigurationRecord;
  readonly #members: readonly Member[];
  readonly #active: Ring;
  readonly #activeMembers: readonly Member[];
  readonly #byPeer: ReadonlyMap<PeerId, Member>;

  private constructor(record: types.ConfigurationRecord, members: readonly Member[]) {
    this.record = record;
    this.system = record.system;
    this.epoch = toEpoch(record.certificate.statement.epoch);
    this.faults = record.certificate.statement.faults;
    this.#members = members;
    this.#activeMembers = members.filter(
      (member) => record.members[member.index]?.status === memberStatus.active,
    );
    const ids = new Uint8Array(this.#activeMembers.length * idSizeBytes);
    this.#activeMembers.forEach((member, position) => {
      ids.set(member.id, position * idSizeBytes);
    });
    this.#active = new Ring(ids);
    this.#byPeer = new Map(members.map((member) => [member.peer, member]));
  }

  /** Checks all that a stranger could have made up, and gives the configuration or what is wrong with it. */
  static accept(
    record: types.ConfigurationRecord,
    trust: Trust,
  ): Configuration | ConfigurationFault {
    const { statement } = record.certificate;
    if (!equalBytes(record.system, trust.system)) return 'wrong-system';
    if (!trust.epoch(record.certificate)) return 'bad-signature';
    // Before the members' signatures, which cost most: after this the authority itself has listed these members.
    const active = record.members.filter((entry) => entry.status === memberStatus.active).length;
    if (statement.memberCount !== record.members.length || statement.activeCount !== active)
      return 'count-mismatch';
    if (!equalBytes(statement.configurationRoot, configurationRoot(record.members)))
      return 'root-mismatch';
    const members: Member[] = [];
    const keys = new Set<PeerId>();
    for (const entry of record.members) {
      const member = memberOf(entry, members.length);
      if (member === undefined) return 'bad-member-field';
      if (!trust.server(entry.certificate)) return 'bad-member-certificate';
      const previous = members.at(-1);
      if (previous !== undefined && compareBytes(previous.id, member.id) >= 0)
        return 'members-not-ascending';
      if (keys.has(member.peer)) return 'duplicate-key';
      keys.add(member.peer);
      members.push(member);
    }
    if (statement.faults < 1 || statement.faults > limits.faultsMax) return 'bad-fault-bound';
    if (!equalBytes(statement.parametersHash, parametersHash(statement.faults)))
      return 'bad-fault-bound';
    if (active < 3 * statement.faults + 1) return 'too-few-active';
    return new Configuration(record, members);
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** The 3f+1 active servers that hold `id`. */
  groupOf(id: Bytes): Group {
    const positions = this.#active.successors(id, 3 * this.faults + 1);
    const members = positions.map((position) => this.#activeMembers[position] as Member);
    return { members, faults: this.faults };
  }

  /** True if `peer` is one of the servers that hold `id`. */
  holds(peer: PeerId, id: Bytes): boolean {
    return this.groupOf(id).members.some((member) => member.peer === peer);
  }

  /** Every distinct group that `peer` belongs to; none if it is not an active member. */
  groupsOf(peer: PeerId): Group[] {
    const member = this.memberOf(peer);
    const position = member === undefined ? 0 : this.#active.firstAtOrAfter(member.id);
    if (member === undefined || this.#activeMembers[position] !== member) return [];
    const size = this.#activeMembers.length;
    const span = 3 * this.faults + 1;
    // With exactly 3f+1 servers the whole ring is one group, whichever id it starts from.
    const groups = size === span ? 1 : span;
    return Array.from({ length: groups }, (_, back) =>
      this.groupOf((this.#activeMembers[(position - back + size) % size] as Member).id),
    );
  }

  memberOf(peer: PeerId): Member | undefined {
    return this.#byPeer.get(peer);
  }
}

function memberOf(record: types.MemberRecord, index: number): Member | undefined {
  const { statement } = record.certificate;
  const host = textOf(statement.host);
  if (host === undefined || !/^[0-9A-Za-z.:_-]+$/.test(host)) return undefined;
  if (statement.port === 0 || record.status > memberStatus.inactive) return undefined;
  return {
    index,
    id: new Uint8Array(serverId(statement)),
    peer: toHex(statement.publicKey) as PeerId,
    host,
    port: statement.port,
  };
}
