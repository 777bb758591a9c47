// The founding of a simulated system, through the code that founds real ones: an authority, certified servers and
// clients, and the configuration of epoch 0.

import { assert } from '../../src/base/assert.ts';
import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, toHex, utf8 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import {
  certifyClient,
  certifyEpoch,
  certifyServer,
  roles,
  systemId,
  Trust,
} from '../../src/configuration/certificates.ts';
import {
  Configuration,
  configurationRoot,
  inRingOrder,
  memberStatus,
  parametersHash,
} from '../../src/configuration/configuration.ts';
import type { SignatureScheme, Signer } from '../../src/crypto/signature.ts';
import type { Greeting } from '../../src/env/network.ts';
import { encodeMessage, messageNumber } from '../../src/wire/registry.ts';
import type { ClientCertificate, MemberRecord } from '../../src/wire/types.ts';

export interface Genesis {
  readonly scheme: SignatureScheme;
  readonly trust: Trust;
  readonly configuration: Configuration;
  /** Certifies one more client. */
  newClient(name: string): { readonly key: Signer; readonly greeting: Greeting };
}

export interface GenesisOptions {
  readonly prng: Prng;
  readonly scheme: SignatureScheme;
  readonly servers: number;
  readonly faults: number;
}

export function found({ prng, scheme, servers, faults }: GenesisOptions): Genesis {
  const authority = scheme.signer(prng.bytes(32));
  const system = systemId({
    authorityKey: authority.publicKey,
    salt: prng.bytes(16),
    name: utf8('simulated'),
  });
  const members = inRingOrder(
    Array.from({ length: servers }, (_, index) =>
      memberRecord(authority, scheme, system, prng, index),
    ),
  );
  const statement = {
    epoch: 0,
    configurationRoot: configurationRoot(members),
    memberCount: members.length,
    activeCount: members.length,
    faults,
    parametersHash: parametersHash(faults),
    previous: new Uint8Array(32),
  };
  const certificate = certifyEpoch(authority, system, statement);
  const trust = new Trust(system, authority.publicKey, scheme);
  const configuration = Configuration.accept({ system, certificate, members }, trust);
  assert(typeof configuration !== 'string', `a founded configuration is refused: ${configuration}`);
  return {
    scheme,
    trust,
    configuration,
    newClient(name) {
      const key = scheme.signer(prng.bytes(32));
      const client = certifyClient(authority, system, {
        publicKey: key.publicKey,
        name: utf8(name),
        quotaBytes: 0,
        epochFrom: 0,
        epochTo: 0,
        serial: 1,
      });
      return { key, greeting: greetingOf(system, [client]) };
    },
  };
}

function memberRecord(
  authority: Signer,
  scheme: SignatureScheme,
  system: Bytes,
  prng: Prng,
  index: number,
): MemberRecord {
  const statement = {
    publicKey: scheme.signer(prng.bytes(32)).publicKey,
    host: utf8(`server-${index}`),
    port: 1,
    roles: roles.storage,
    salt: prng.bytes(16),
    epochFrom: 0,
    epochTo: 0,
    serial: index,
  };
  const certificate = certifyServer(authority, system, statement);
  return { certificate, status: memberStatus.active, since: 0, statusSequence: 0 };
}

/** What a node says first on each connection it opens; servers are known without a certificate. */
export function greetingOf(system: Bytes, certificate: ClientCertificate[]): Greeting {
  return {
    type: messageNumber('hello'),
    payload: encodeMessage('hello', { system, certificate }),
  };
}

export function peerOf(key: Bytes): PeerId {
  return toHex(key) as PeerId;
}
