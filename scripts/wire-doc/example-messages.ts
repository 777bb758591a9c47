// One example of every message, out of one small system with keys anyone can make again: each seed is one byte repeated.
// All certificates and signatures in them are real, so that a reader of the document can check his own code with them.

import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import {
  certifyClient,
  certifyEpoch,
  certifyServer,
  roles,
  storageInstance,
  systemId,
} from '../../src/configuration/certificates.ts';
import {
  configurationRoot,
  inRingOrder,
  parametersHash,
} from '../../src/configuration/configuration.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { dataDigest, HeaderVerifier, headerScheme, writerId } from '../../src/dbqs/headers.ts';
import { blockId, holdingProof, objectId } from '../../src/dbqs/ids.ts';
import { type MessageName, type MessageValue, refusalCodes } from '../../src/wire/registry.ts';

const fill = (value: number, length: number): Bytes => new Uint8Array(length).fill(value);
const signerOf = (value: number) => ed25519.signer(fill(value, 32));

const authority = signerOf(0x01);
const system = systemId({
  authorityKey: authority.publicKey,
  salt: fill(0x02, 16),
  name: utf8('example'),
});
const serverSeeds = [0x11, 0x12, 0x13, 0x14];
const client = signerOf(0x21);
const owner = signerOf(0x31);

const members = inRingOrder(
  serverSeeds.map((seed, i) => ({
    certificate: certifyServer(authority, system, {
      publicKey: signerOf(seed).publicKey,
      host: utf8('127.0.0.1'),
      port: 7001 + i,
      roles: roles.storage,
      salt: fill(seed, 16),
      epochFrom: 0,
      epochTo: 1000,
      serial: i + 1,
    }),
    status: 0,
    since: 0,
    statusSequence: 0,
  })),
);

const certificate = certifyEpoch(authority, system, {
  epoch: 0,
  configurationRoot: configurationRoot(members),
  memberCount: members.length,
  activeCount: members.length,
  faults: 1,
  parametersHash: parametersHash(1),
  previous: fill(0, 32),
});

const clientCertificate = certifyClient(authority, system, {
  publicKey: client.publicKey,
  name: utf8('alice'),
  quotaBytes: 0,
  epochFrom: 0,
  epochTo: 1000,
  serial: 1,
});

const nonce = Uint8Array.from({ length: 16 }, (_, i) => i);
const context = { instance: storageInstance(system), epoch: 0, nonce };
const data = utf8('hello, holdfast');
const object = objectId(owner.publicKey);
const writer = writerId(client.publicKey, nonce);
const header = headerScheme(new HeaderVerifier(system, ed25519), system, writer, owner).sign(
  1,
  data,
);
const { version } = header;
const block = blockId(data);
const challenge = fill(0x41, 32);
const from = fill(0, 32);
const register = { object: fill(0x51, 32), counter: 1, writer, data };

export const examples: { readonly [Name in MessageName]: MessageValue<Name> } = {
  hello: { system, certificate: [clientCertificate] },
  getConfiguration: { system, nonce },
  configuration: { nonce, configuration: { system, certificate, members } },
  refused: { ...context, code: refusalCodes['not-held'].number, detail: 0 },
  stale: { ...context, certificate },
  needConfiguration: context,
  readVersion: { ...context, object, inlineSizeBytesMax: 65_536 },
  version: { ...context, object, header: [header], data: [data] },
  write: { ...context, object, header, data },
  written: { ...context, object, version },
  fetch: { ...context, object, version },
  data: { ...context, object, header, data },
  store: { ...context, block, data },
  stored: { ...context, block },
  get: { ...context, block },
  block: { ...context, block, data },
  absent: { ...context, block },
  hold: { ...context, block, challenge },
  held: { ...context, block, proof: holdingProof(challenge, data) },
  list: { ...context, kind: 0, from },
  listed: { ...context, kind: 0, from, objects: [header], blocks: [], complete: 1 },
  status: context,
  serverStatus: {
    ...context,
    software: utf8('holdfast 0.1.0'),
    state: 1,
    uptimeMs: 3_600_000,
    objects: 1,
    blocks: 2,
    storedSizeBytes: 4096,
    diskFreeBytes: 1_000_000_000,
    journalSizeBytes: 8192,
    damagedFound: 0,
    repaired: 0,
    repairsWaiting: 0,
    scrubPasses: 1,
    lagItems: 2,
  },
  ping: context,
  pong: context,
  registerRead: { ...context, object: register.object },
  registerValue: { ...context, ...register },
  registerWrite: { ...context, ...register },
  registerWritten: { ...context, object: register.object },
};

/** Values that the examples are made of, by name. */
export const constants: ReadonlyArray<readonly [string, Bytes]> = [
  ['authority, public key of seed `01` × 32', authority.publicKey],
  ['system id of (authority key, salt `02` × 16, "example")', system],
  ['instance of its storage service', context.instance],
  ['client, public key of seed `21` × 32', client.publicKey],
  ['object owner, public key of seed `31` × 32', owner.publicKey],
  ['object id', object],
  ['writer of (client key, nonce below)', writer],
  ['nonce', nonce],
  ['data, "hello, holdfast"', data],
  ['its digest, and as a block its id', dataDigest(data)],
];
