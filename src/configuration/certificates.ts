// What the authority signs: who may serve, who may use the system, and (for epoch 0) the first configuration.

import type { Bytes } from '../base/bytes.ts';
import { type SignaturePurpose, signedBytes } from '../crypto/domains.ts';
import { taggedHash } from '../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import * as types from '../wire/types.ts';

/** Bits of a server's `roles`. */
export const roles = { storage: 1 } as const;

/**
 * A server's id: the hash of its certificate's values. They include a salt that the authority draws after all other
 * values are fixed, so neither the server nor anyone else chooses where on the ring it stands (paper section 3.1.1,
 * which has the authority choose the key instead).
 */
export function serverId(statement: types.ServerStatement): Bytes {
  return taggedHash('server-id', types.ServerStatement.serialize(statement));
}

export interface SystemGenesis {
  readonly authorityKey: Bytes;
  readonly salt: Bytes;
  readonly name: Bytes;
}

/** The system's id: fixed when the authority makes the system, before any server is known. */
export function systemId(genesis: SystemGenesis): Bytes {
  return taggedHash('system', genesis.authorityKey, genesis.salt, genesis.name);
}

/** What every storage message names beside its epoch: this system's storage service, and no other. */
export function storageInstance(system: Bytes): Bytes {
  return taggedHash('instance', system, new Uint8Array([1]));
}

interface Certificate<Statement> {
  statement: Statement;
  signature: Bytes;
}

interface Kind<Statement> {
  readonly purpose: SignaturePurpose;
  readonly encode: (statement: Statement) => Bytes;
  readonly scope: (statement: Statement) => number;
}

const serverKind: Kind<types.ServerStatement> = {
  purpose: 'server-certificate',
  encode: (statement) => types.ServerStatement.serialize(statement),
  scope: (statement) => statement.epochFrom,
};

const clientKind: Kind<types.ClientStatement> = {
  purpose: 'client-certificate',
  encode: (statement) => types.ClientStatement.serialize(statement),
  scope: (statement) => statement.epochFrom,
};

const epochKind: Kind<types.EpochStatement> = {
  purpose: 'epoch-certificate',
  encode: (statement) => types.EpochStatement.serialize(statement),
  scope: (statement) => statement.epoch,
};

function bytesOf<Statement>(kind: Kind<Statement>, system: Bytes, statement: Statement): Bytes {
  const { purpose, scope, encode } = kind;
  return signedBytes({ purpose, system, scope: scope(statement), body: encode(statement) });
}

function certify<Statement>(
  kind: Kind<Statement>,
  authority: Signer,
  system: Bytes,
  statement: Statement,
) {
  return { statement, signature: authority.sign(bytesOf(kind, system, statement)) };
}

/** Verifies certificates of one system against its authority's key. */
export class Trust {
  readonly system: Bytes;
  readonly #authorityKey: Bytes;
  readonly #scheme: SignatureScheme;

  constructor(system: Bytes, authorityKey: Bytes, scheme: SignatureScheme) {
    this.system = system;
    this.#authorityKey = authorityKey;
    this.#scheme = scheme;
  }

  server(certificate: types.ServerCertificate): boolean {
    return this.#verify(serverKind, certificate);
  }

  /** True if the authority certified this client and `epoch` is inside the certificate's interval. */
  client(certificate: types.ClientCertificate, epoch: number): boolean {
    const { epochFrom, epochTo } = certificate.statement;
    return epochFrom <= epoch && epoch <= epochTo && this.#verify(clientKind, certificate);
  }

  epoch(certificate: types.EpochCertificate): boolean {
    return certificate.statement.epoch === 0 && this.#verify(epochKind, certificate);
  }

  #verify<Statement>(kind: Kind<Statement>, certificate: Certificate<Statement>): boolean {
    const message = bytesOf(kind, this.system, certificate.statement);
    return this.#scheme.verify(this.#authorityKey, message, certificate.signature);
  }
}

export function certifyServer(
  authority: Signer,
  system: Bytes,
  statement: types.ServerStatement,
): types.ServerCertificate {
  return certify(serverKind, authority, system, statement);
}

export function certifyClient(
  authority: Signer,
  system: Bytes,
  statement: types.ClientStatement,
): types.ClientCertificate {
  return certify(clientKind, authority, system, statement);
}

export function certifyEpoch(
  authority: Signer,
  system: Bytes,
  statement: types.EpochStatement,
): types.EpochCertificate {
  return certify(epochKind, authority, system, statement);
}
