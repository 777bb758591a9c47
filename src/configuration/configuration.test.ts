import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, compareBytes, toHex, utf8 } from '../base/bytes.ts';
import { ed25519 } from '../crypto/signature.ts';
import { limits } from '../wire/limits.ts';
import type * as types from '../wire/types.ts';
import { certifyEpoch, certifyServer, roles, serverId, systemId, Trust } from './certificates.ts';
import {
  Configuration,
  type ConfigurationFault,
  configurationRoot,
  inRingOrder,
  memberStatus,
  parametersHash,
} from './configuration.ts';

const fill = (value: number, length = 32): Bytes => new Uint8Array(length).fill(value);
const authority = ed25519.signer(fill(1));
const system = systemId({
  authorityKey: authority.publicKey,
  salt: fill(2, 16),
  name: utf8('test'),
});
const trust = new Trust(system, authority.publicKey, ed25519);

function statementOf(n: number): types.ServerStatement {
  return {
    publicKey: ed25519.signer(fill(n)).publicKey,
    host: utf8('127.0.0.1'),
    port: 7000 + n,
    roles: roles.storage,
    salt: fill(n, 16),
    epochFrom: 0,
    epochTo: 100,
    serial: n,
  };
}

function memberOf(
  statement: types.ServerStatement,
  status: number = memberStatus.active,
): types.MemberRecord {
  return {
    certificate: certifyServer(authority, system, statement),
    status,
    since: 0,
    statusSequence: 0,
  };
}

interface Changes {
  /** Replaces the members, which are then counted and hashed as they are. */
  readonly members?: readonly types.MemberRecord[];
  /** Changes the epoch's statement before it is signed. */
  readonly statement?: Partial<types.EpochStatement>;
}

function recordOf({
  members = inRingOrder([11, 12, 13, 14, 15, 16].map((n) => memberOf(statementOf(n)))),
  statement = {},
}: Changes = {}): types.ConfigurationRecord {
  const full: types.EpochStatement = {
    epoch: 0,
    configurationRoot: configurationRoot(members),
    memberCount: members.length,
    activeCount: members.filter(({ status }) => status === memberStatus.active).length,
    faults: 1,
    parametersHash: parametersHash(statement.faults ?? 1),
    previous: fill(0),
    ...statement,
  };
  return { system, certificate: certifyEpoch(authority, system, full), members: [...members] };
}

function accepted(record: types.ConfigurationRecord): Configuration {
  const result = Configuration.accept(record, trust);
  if (!(result instanceof Configuration)) expect.fail(`refused: ${result}`);
  return result;
}

function changed(
  record: types.ConfigurationRecord,
  change: (members: types.MemberRecord[]) => types.MemberRecord[],
) {
  return recordOf({ members: change([...record.members]) });
}

const good = recordOf();

/** One statement of one member changed before the authority signs it. */
function withMember(change: Partial<types.ServerStatement>): types.ConfigurationRecord {
  const statements = [11, 12, 13, 14].map(statementOf);
  statements[0] = { ...(statements[0] as types.ServerStatement), ...change };
  return recordOf({ members: inRingOrder(statements.map((statement) => memberOf(statement))) });
}

function withBadSignature(member: types.MemberRecord): types.MemberRecord {
  return { ...member, certificate: { ...member.certificate, signature: fill(0, 64) } };
}

const otherSystem = systemId({
  authorityKey: authority.publicKey,
  salt: fill(3, 16),
  name: utf8('test'),
});
const stranger = ed25519.signer(fill(99));

/** Every fault with the records that must be refused for it. A fault without a test does not compile. */
const refused: Record<
  ConfigurationFault,
  ReadonlyArray<readonly [string, types.ConfigurationRecord]>
> = {
  'wrong-system': [
    ['another system named', { ...good, system: otherSystem }],
    ['a system id cut short', { ...good, system: system.slice(0, 31) }],
  ],
  'bad-signature': [
    [
      'another signer',
      { ...good, certificate: certifyEpoch(stranger, system, good.certificate.statement) },
    ],
    [
      'made for another system',
      { ...good, certificate: certifyEpoch(authority, otherSystem, good.certificate.statement) },
    ],
    [
      'a later epoch, which the authority alone cannot certify',
      recordOf({ statement: { epoch: 1 } }),
    ],
    [
      'epoch changed after signing',
      {
        ...good,
        certificate: {
          ...good.certificate,
          statement: { ...good.certificate.statement, previous: fill(1) },
        },
      },
    ],
    [
      'no signature',
      { ...good, certificate: { ...good.certificate, signature: new Uint8Array(0) } },
    ],
    [
      'a threshold signature in epoch 0',
      { ...good, certificate: { ...good.certificate, signature: fill(1, 96) } },
    ],
    [
      'a server certificate signature',
      {
        ...good,
        certificate: {
          ...good.certificate,
          signature: (good.members[0] as types.MemberRecord).certificate.signature,
        },
      },
    ],
  ],
  'count-mismatch': [
    ['more members stated', recordOf({ statement: { memberCount: 7 } })],
    ['fewer active stated', recordOf({ statement: { activeCount: 5 } })],
    ['a member left out', { ...good, members: good.members.slice(1) }],
    [
      'a member doubled',
      { ...good, members: [...good.members, good.members[5] as types.MemberRecord] },
    ],
  ],
  'root-mismatch': [
    [
      'two members swapped',
      { ...good, members: [1, 0, 2, 3, 4, 5].map((i) => good.members[i] as types.MemberRecord) },
    ],
    [
      'a field outside the certificate changed',
      { ...good, members: good.members.map((member) => ({ ...member, since: 1 })) },
    ],
    ['another root signed', recordOf({ statement: { configurationRoot: fill(0) } })],
  ],
  'bad-member-certificate': [
    [
      'a signature that is none',
      changed(good, ([first, ...rest]) => [withBadSignature(first as types.MemberRecord), ...rest]),
    ],
    [
      'signed by someone else',
      recordOf({
        members: inRingOrder(
          [11, 12, 13, 14].map((n) => ({
            ...memberOf(statementOf(n)),
            certificate: certifyServer(n === 12 ? stranger : authority, system, statementOf(n)),
          })),
        ),
      }),
    ],
    [
      'signed for another system',
      recordOf({
        members: inRingOrder(
          [11, 12, 13, 14].map((n) => ({
            ...memberOf(statementOf(n)),
            certificate: certifyServer(authority, otherSystem, statementOf(n)),
          })),
        ),
      }),
    ],
  ],
  'bad-member-field': [
    ['port 0', withMember({ port: 0 })],
    ['no host', withMember({ host: new Uint8Array(0) })],
    ['a host that is not text', withMember({ host: Uint8Array.of(0xff) })],
    ['a host with a byte order mark', withMember({ host: Uint8Array.of(0xef, 0xbb, 0xbf, 0x61) })],
    ['a host with a newline', withMember({ host: utf8('a\n') })],
    ['a host with a space', withMember({ host: utf8('a b') })],
    [
      'a status that is not known',
      recordOf({
        members: good.members.map((member, i) => (i === 5 ? { ...member, status: 2 } : member)),
      }),
    ],
  ],
  'members-not-ascending': [
    ['descending', changed(good, (members) => members.reverse())],
    [
      'the last two swapped',
      changed(good, ([a, b, c, d, e, f]) => [a, b, c, d, f, e] as types.MemberRecord[]),
    ],
    ['one twice', changed(good, (members) => [...members, members[5] as types.MemberRecord])],
  ],
  'duplicate-key': [
    [
      'two certificates for one key',
      recordOf({
        members: inRingOrder(
          [...[11, 12, 13, 14].map(statementOf), { ...statementOf(11), salt: fill(77, 16) }].map(
            (s) => memberOf(s),
          ),
        ),
      }),
    ],
  ],
  'bad-fault-bound': [
    ['no fault tolerated', recordOf({ statement: { faults: 0 } })],
    ['more than the limit', recordOf({ statement: { faults: limits.faultsMax + 1 } })],
    ['parameters of another bound', recordOf({ statement: { parametersHash: parametersHash(2) } })],
  ],
  'too-few-active': [
    ['six members for two faults', recordOf({ statement: { faults: 2 } })],
    [
      'three members',
      recordOf({ members: inRingOrder([11, 12, 13].map((n) => memberOf(statementOf(n)))) }),
    ],
    ['no member', recordOf({ members: [] })],
    [
      'four members, one inactive',
      recordOf({
        members: inRingOrder(
          [11, 12, 13, 14].map((n) =>
            memberOf(statementOf(n), n === 12 ? memberStatus.inactive : memberStatus.active),
          ),
        ),
      }),
    ],
  ],
};

describe.each(Object.entries(refused))('a configuration is refused for %s', (fault, records) => {
  it.each(records)('%s', (_, record) => {
    expect(Configuration.accept(record, trust)).toBe(fault);
  });
});

describe('an accepted configuration', () => {
  it('keeps what was certified', () => {
    const configuration = accepted(good);
    expect(configuration.epoch).toBe(0);
    expect(configuration.faults).toBe(1);
    expect(configuration.members.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    configuration.members.forEach((member) => {
      const { statement } = (good.members[member.index] as types.MemberRecord).certificate;
      expect(toHex(member.id)).toBe(toHex(serverId(statement)));
      expect(member).toMatchObject({
        peer: toHex(statement.publicKey),
        host: '127.0.0.1',
        port: statement.port,
      });
      expect(configuration.memberOf(member.peer)).toBe(member);
    });
  });

  it('with exactly 3f+1 active servers has one group, whatever the id', () => {
    const configuration = accepted(
      recordOf({ members: inRingOrder([11, 12, 13, 14].map((n) => memberOf(statementOf(n)))) }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (id) => {
        expect(new Set(configuration.groupOf(id).members).size).toBe(4);
      }),
    );
    for (const { peer } of configuration.members)
      expect(configuration.groupsOf(peer)).toHaveLength(1);
  });
});

describe('placement', () => {
  const statuses = fc
    .array(fc.boolean(), { minLength: 4, maxLength: 12 })
    .filter((active) => active.filter(Boolean).length >= 4);
  const pool = inRingOrder(Array.from({ length: 12 }, (_, i) => memberOf(statementOf(20 + i))));

  /** The first active servers at or after the id, found by walking all members twice round. */
  function naiveGroup(
    configuration: Configuration,
    active: readonly boolean[],
    x: Bytes,
  ): string[] {
    const { members } = configuration;
    const start = members.findIndex(({ id }) => compareBytes(id, x) >= 0);
    const found: string[] = [];
    for (let step = 0; step < members.length && found.length < 4; step++) {
      const at = (Math.max(start, 0) + step) % members.length;
      const member = members[at];
      if (member !== undefined && active[at]) found.push(member.peer);
    }
    return found;
  }

  it('skips inactive servers and agrees with a walk, also at the servers’ own ids', () => {
    fc.assert(
      fc.property(statuses, fc.uint8Array({ minLength: 32, maxLength: 32 }), (active, random) => {
        const members = pool.slice(0, active.length).map((member, i) => ({
          ...member,
          status: active[i] ? memberStatus.active : memberStatus.inactive,
        }));
        const configuration = accepted(recordOf({ members }));
        const own = configuration.members.map(({ id }) => id);
        for (const x of [random, fill(0), fill(255), ...own]) {
          const group = configuration.groupOf(x).members.map(({ peer }) => peer);
          expect(group).toEqual(naiveGroup(configuration, active, x));
          for (const { peer } of configuration.members)
            expect(configuration.holds(peer, x)).toBe(group.includes(peer));
        }
      }),
      { numRuns: 25, seed: 1 },
    );
  });

  it('groupsOf lists every group that a server is in, and none for others', () => {
    const members = pool.slice(0, 9).map((member, i) => ({
      ...member,
      status: i === 4 ? memberStatus.inactive : memberStatus.active,
    }));
    const configuration = accepted(recordOf({ members }));
    const key = (peers: readonly string[]): string => [...peers].sort().join();
    for (const { peer, index } of configuration.members) {
      const listed = configuration
        .groupsOf(peer)
        .map((group) => key(group.members.map((member) => member.peer)));
      const all = configuration.members.map(({ id }) =>
        configuration.groupOf(id).members.map((member) => member.peer),
      );
      const expected = new Set(all.filter((group) => group.includes(peer)).map(key));
      expect(new Set(listed)).toEqual(expected);
      expect(listed).toHaveLength(index === 4 ? 0 : 4);
    }
  });
});
