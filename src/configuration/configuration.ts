// A configuration as a value: the members of one epoch, who serves which id, and the certificate that vouches for it.
// Members are kept as packed columns ordered by id, so that a hundred thousand of them stay small.

import type { Epoch, PeerId } from '../base/brand.ts';
import { epoch as toEpoch } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { compareBytes, equalBytes, textOf, uint64Bytes } from '../base/bytes.ts';
import { hashSizeBytes, taggedHash } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import * as types from '../wire/types.ts';
import { roles, serverId, type Trust } from './certificates.ts';
import { type Member, MemberColumns, type MemberRow } from './columns.ts';
import { merkleTop } from './merkle.ts';
import { Ring } from './ring.ts';

export const memberStatus = { active: 0, inactive: 1 } as const;

export type { Member } from './columns.ts';

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

/** Members made for callers that are kept; more are made again when asked for. */
const membersKeptMax = 4096;

/** An accepted configuration. Immutable. */
export class Configuration {
  readonly epoch: Epoch;
  readonly system: Bytes;
  readonly faults: number;
  readonly certificate: types.EpochCertificate;
  readonly #encoded: Bytes;
  readonly #columns: MemberColumns;
  /** Indices of the active members; the ring has their ids at the same places. */
  readonly #active: Uint32Array;
  readonly #ring: Ring;
  readonly #kept = new Map<number, Member>();

  private constructor(record: types.ConfigurationRecord, columns: MemberColumns) {
    this.system = record.system;
    this.certificate = record.certificate;
    this.epoch = toEpoch(record.certificate.statement.epoch);
    this.faults = record.certificate.statement.faults;
    this.#encoded = types.ConfigurationRecord.serialize(record);
    this.#columns = columns;
    this.#active = columns.activeIndices();
    this.#ring = new Ring(columns.idsAt(this.#active));
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
    const columns = columnsOf(record.members, statement.epoch, trust);
    if (typeof columns === 'string') return columns;
    if (statement.faults < 1 || statement.faults > limits.faultsMax) return 'bad-fault-bound';
    if (!equalBytes(statement.parametersHash, parametersHash(statement.faults)))
      return 'bad-fault-bound';
    if (active < 3 * statement.faults + 1) return 'too-few-active';
    return new Configuration(record, columns);
  }

  /** The whole configuration as it is sent and signed; decoded anew at each call. */
  get record(): types.ConfigurationRecord {
    return types.ConfigurationRecord.deserialize(this.#encoded);
  }

  get memberCount(): number {
    return this.#columns.count;
  }

  /** All members, in order of their ids. */
  get members(): readonly Member[] {
    return Array.from({ length: this.#columns.count }, (_, index) => this.#member(index));
  }

  /** The 3f+1 active servers that hold `id`. */
  groupOf(id: Bytes): Group {
    const positions = this.#ring.successors(id, 3 * this.faults + 1);
    const members = positions.map((position) => this.#member(this.#active[position] as number));
    return { members, faults: this.faults };
  }

  /** True if `peer` is one of the servers that hold `id`. */
  holds(peer: PeerId, id: Bytes): boolean {
    return this.groupOf(id).members.some((member) => member.peer === peer);
  }

  /** Every distinct group that `peer` belongs to; none if it is not an active member. */
  groupsOf(peer: PeerId): Group[] {
    const index = this.#columns.indexOf(peer);
    if (index === undefined || !this.#columns.isActive(index)) return [];
    const position = this.#ring.firstAtOrAfter(this.#columns.id(index));
    const { size } = this.#ring;
    const span = 3 * this.faults + 1;
    // With exactly 3f+1 servers the whole ring is one group, whichever id it starts from.
    const groups = size === span ? 1 : span;
    return Array.from({ length: groups }, (_, back) =>
      this.groupOf(this.#ring.id((position - back + size) % size)),
    );
  }

  memberOf(peer: PeerId): Member | undefined {
    const index = this.#columns.indexOf(peer);
    return index === undefined ? undefined : this.#member(index);
  }

  #member(index: number): Member {
    const kept = this.#kept.get(index);
    if (kept !== undefined) return kept;
    if (this.#kept.size >= membersKeptMax) this.#kept.clear();
    const member = this.#columns.member(index);
    this.#kept.set(index, member);
    return member;
  }
}

function columnsOf(
  records: readonly types.MemberRecord[],
  epoch: number,
  trust: Trust,
): MemberColumns | ConfigurationFault {
  const rows: MemberRow[] = [];
  for (const record of records) {
    const row = rowOf(record, epoch);
    if (row === undefined) return 'bad-member-field';
    if (!trust.server(record.certificate)) return 'bad-member-certificate';
    const previous = rows.at(-1);
    if (previous !== undefined && compareBytes(previous.id, row.id) >= 0)
      return 'members-not-ascending';
    rows.push(row);
  }
  const columns = new MemberColumns(rows);
  return columns.hasDuplicateKey() ? 'duplicate-key' : columns;
}

function rowOf(
  { certificate, status, since }: types.MemberRecord,
  epoch: number,
): MemberRow | undefined {
  const { statement } = certificate;
  const { publicKey, host, port } = statement;
  const text = textOf(host);
  if (text === undefined || !/^[0-9A-Za-z.:_-]+$/.test(text)) return undefined;
  if (port === 0 || status > memberStatus.inactive || since > epoch) return undefined;
  // The certificate was in force when the server joined, and is for a server that stores.
  if (statement.epochFrom > since || since > statement.epochTo) return undefined;
  if ((statement.roles & roles.storage) === 0) return undefined;
  const active = status === memberStatus.active;
  return { id: serverId(statement), publicKey, host, port, active };
}
