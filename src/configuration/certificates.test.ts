import { describe, expect, it } from 'vitest';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { ed25519 } from '../crypto/signature.ts';
import type * as types from '../wire/types.ts';
import {
  certifyClient,
  certifyEpoch,
  certifyServer,
  serverId,
  storageInstance,
  systemId,
  Trust,
} from './certificates.ts';
import { configurationRoot, parametersHash } from './configuration.ts';

const fill = (value: number, length = 32): Bytes => new Uint8Array(length).fill(value);
const authority = ed25519.signer(fill(1));
const genesis = { authorityKey: authority.publicKey, salt: fill(2, 16), name: utf8('test') };
const system = systemId(genesis);
const otherSystem = systemId({ ...genesis, salt: fill(3, 16) });
const trust = new Trust(system, authority.publicKey, ed25519);

const serverStatement: types.ServerStatement = {
  publicKey: fill(4),
  host: utf8('localhost'),
  port: 7000,
  roles: 1,
  salt: fill(5, 16),
  epochFrom: 2,
  epochTo: 9,
  serial: 1,
};
const clientStatement: types.ClientStatement = {
  publicKey: fill(4),
  name: utf8('alice'),
  quotaBytes: 0,
  epochFrom: 2,
  epochTo: 9,
  serial: 1,
};
const epochStatement: types.EpochStatement = {
  epoch: 0,
  configurationRoot: fill(6),
  memberCount: 4,
  activeCount: 4,
  faults: 1,
  parametersHash: fill(7),
  previous: fill(0),
};

describe('ids of record', () => {
  it.each([
    ['system', () => system, '19a65237564b509007602b413248f05deaf547522522c8e37985bb173a27664f'],
    [
      'system under another salt',
      () => otherSystem,
      '010a8c5147a45b3dc105461a13c868472f9b21b85e5b3081c58df21302e82a8e',
    ],
    [
      'storage instance',
      () => storageInstance(system),
      '9cbb9675345efa1599085b44c793a011458e907d7c3143d5ee61d441cd2b343a',
    ],
    [
      'server',
      () => serverId(serverStatement),
      'decad99957852197685ade58979c8886d7da2128ea4367aabb8c3069a60e6da2',
    ],
    [
      'parameters for one fault',
      () => parametersHash(1),
      '6d902b327571f8b49c7a00cc5c1e742c71356ed8714f5361219cbbb452c10cbc',
    ],
    [
      'configuration without members',
      () => configurationRoot([]),
      '88cf97777382740f93a98d4b4e6f9d3a58668714ca615c59d1fcaa6b94174766',
    ],
    [
      'configuration of one member',
      () =>
        configurationRoot([
          {
            certificate: certifyServer(authority, system, serverStatement),
            status: 0,
            since: 1,
            statusSequence: 2,
          },
        ]),
      '70301500dd76b80264bea1025b0277427f7d957268c1d1cedaf9deed1adaf000',
    ],
  ])('%s', (_, id, expected) => {
    expect(toHex(id())).toBe(expected);
  });

  it('a server id hangs on every value of the certificate', () => {
    const changes: Partial<types.ServerStatement>[] = [
      { publicKey: fill(9) },
      { host: utf8('localhosT') },
      { port: 7001 },
      { roles: 0 },
      { salt: fill(9, 16) },
      { epochFrom: 3 },
      { epochTo: 10 },
      { serial: 2 },
    ];
    expect(changes.flatMap((change) => Object.keys(change)).sort()).toEqual(
      Object.keys(serverStatement).sort(),
    );
    const ids = [{}, ...changes].map((change) =>
      toHex(serverId({ ...serverStatement, ...change })),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('certificates', () => {
  const server = certifyServer(authority, system, serverStatement);
  const client = certifyClient(authority, system, clientStatement);
  const epoch = certifyEpoch(authority, system, epochStatement);

  it('serve their purpose', () => {
    expect(trust.server(server)).toBe(true);
    expect(trust.client(client, 2)).toBe(true);
    expect(trust.client(client, 9)).toBe(true);
    expect(trust.epoch(epoch)).toBe(true);
  });

  it.each([1, 10])('a client is refused in epoch %d, outside its interval', (at) => {
    expect(trust.client(client, at)).toBe(false);
  });

  it('nobody is a client for stretching the interval', () => {
    const stretched = { ...client, statement: { ...clientStatement, epochTo: 10 } };
    expect(trust.client(stretched, 10)).toBe(false);
    const moved = { ...client, statement: { ...clientStatement, epochFrom: 1 } };
    expect(trust.client(moved, 2)).toBe(false);
  });

  it('a signature for one purpose serves no other', () => {
    expect(trust.server({ statement: serverStatement, signature: client.signature })).toBe(false);
    expect(trust.client({ statement: clientStatement, signature: server.signature }, 2)).toBe(
      false,
    );
    expect(trust.epoch({ statement: epochStatement, signature: server.signature })).toBe(false);
    expect(trust.epoch({ statement: epochStatement, signature: client.signature })).toBe(false);
  });

  it('a certificate of one system serves no other, even under the same authority', () => {
    const elsewhere = new Trust(otherSystem, authority.publicKey, ed25519);
    expect(elsewhere.server(server)).toBe(false);
    expect(elsewhere.client(client, 2)).toBe(false);
    expect(elsewhere.epoch(epoch)).toBe(false);
  });

  it('another authority is believed nothing', () => {
    const other = ed25519.signer(fill(8));
    expect(trust.server(certifyServer(other, system, serverStatement))).toBe(false);
    expect(trust.client(certifyClient(other, system, clientStatement), 2)).toBe(false);
    expect(trust.epoch(certifyEpoch(other, system, epochStatement))).toBe(false);
  });

  it('the authority certifies epoch 0 and no later one', () => {
    expect(trust.epoch(certifyEpoch(authority, system, { ...epochStatement, epoch: 1 }))).toBe(
      false,
    );
    expect(trust.epoch({ ...epoch, statement: { ...epochStatement, epoch: 1 } })).toBe(false);
  });
});
