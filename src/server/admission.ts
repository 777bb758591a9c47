// The small files that go between a server or client and the authority: a request one way, an admission back.

import { stringify } from 'smol-toml';
import { z } from 'zod';
import { counterMax } from '../base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { serverId } from '../configuration/certificates.ts';
import { Configuration, type ConfigurationFault } from '../configuration/configuration.ts';
import type { DataFolderOwner } from '../node/data-folder.ts';
import * as types from '../wire/types.ts';
import { type FileKind, parseKind } from './file-kind.ts';
import {
  encoded,
  encodedField,
  hex32Field,
  hostField,
  nameField,
  portField,
  type SystemInfo,
  systemOf,
  systemSchema,
  systemTable,
  trustOf,
} from './system-info.ts';
import { checkAgainst, field, readTextFile } from './toml.ts';

/** The epochs that a certificate is good for, when it is not limited. */
export const everyEpoch = { epochFrom: 0, epochTo: counterMax } as const;

const kindField = <Kind extends string>(kind: Kind) =>
  field(z.literal(kind), { expects: `"${kind}"`, example: `"${kind}"` });

const serverRequestSchema = z.strictObject({
  kind: kindField('holdfast-server-request'),
  name: nameField('s1'),
  public_key: hex32Field("the server's public key"),
  host: hostField('storage1.example.org'),
  port: portField(7101),
});

const clientRequestSchema = z.strictObject({
  kind: kindField('holdfast-client-request'),
  name: nameField('alice'),
  public_key: hex32Field("the client's public key"),
});

export const serverAddressSchema = z.strictObject({
  host: hostField('storage1.example.org'),
  port: portField(7101),
  key: hex32Field("the server's public key"),
});

export const clientCertificateField: z.ZodType<types.ClientCertificate, string> = encodedField(
  types.ClientCertificate,
  "the client's certificate as the authority wrote it",
);

const serverAdmissionSchema = z.strictObject({
  kind: kindField('holdfast-server-admission'),
  system: systemSchema,
  certificate: encodedField(
    types.ServerCertificate,
    "the server's certificate as the authority wrote it",
  ),
  configuration: encodedField(
    types.ConfigurationRecord,
    "the system's configuration as the authority wrote it",
  ),
});

const clientAdmissionSchema = z.strictObject({
  kind: kindField('holdfast-client-admission'),
  system: systemSchema,
  certificate: clientCertificateField,
  servers: z.array(serverAddressSchema).min(1),
});

export interface ServerRequest {
  readonly name: string;
  readonly publicKey: Bytes;
  readonly host: string;
  readonly port: number;
}

export interface ClientRequest {
  readonly name: string;
  readonly publicKey: Bytes;
}

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  /** Ed25519 public key, 32 bytes. */
  readonly key: Bytes;
}

/** What the authority gives a server: all it needs to know of its system. */
export interface ServerAdmission {
  readonly system: SystemInfo;
  readonly certificate: types.ServerCertificate;
  readonly configuration: Configuration;
}

/** What the authority gives a client. The configuration comes from any of the servers and proves itself. */
export interface ClientAdmission {
  readonly system: SystemInfo;
  readonly certificate: types.ClientCertificate;
  readonly servers: readonly ServerAddress[];
}

export const serverRequestText = (request: ServerRequest): string =>
  `# Request to be admitted as a server: give this file to the system's authority.\n${stringify({
    kind: 'holdfast-server-request',
    name: request.name,
    public_key: toHex(request.publicKey),
    host: request.host,
    port: request.port,
  } satisfies z.input<typeof serverRequestSchema>)}\n`;

export const clientRequestText = (request: ClientRequest): string =>
  `# Request to be admitted as a client: give this file to the system's authority.\n${stringify({
    kind: 'holdfast-client-request',
    name: request.name,
    public_key: toHex(request.publicKey),
  } satisfies z.input<typeof clientRequestSchema>)}\n`;

export interface AdmissionText {
  readonly system: SystemInfo;
  readonly certificate: types.ServerCertificate;
  readonly configuration: types.ConfigurationRecord;
}

export const serverAdmissionText = (admission: AdmissionText): string =>
  `# Admission of a server, signed by the authority. Holds no secret.\n${stringify({
    kind: 'holdfast-server-admission',
    certificate: encoded(types.ServerCertificate, admission.certificate),
    configuration: encoded(types.ConfigurationRecord, admission.configuration),
    system: systemTable(admission.system),
  } satisfies z.input<typeof serverAdmissionSchema>)}\n`;

export const addressTable = (address: ServerAddress): z.input<typeof serverAddressSchema> => ({
  host: address.host,
  port: address.port,
  key: toHex(address.key),
});

export const clientAdmissionText = (admission: ClientAdmission): string =>
  `# Admission of a client, signed by the authority. Holds no secret.\n${stringify({
    kind: 'holdfast-client-admission',
    certificate: encoded(types.ClientCertificate, admission.certificate),
    system: systemTable(admission.system),
    servers: admission.servers.map(addressTable),
  } satisfies z.input<typeof clientAdmissionSchema>)}\n`;

/** @param code for a file that cannot be read. */
async function readKind<Schema extends z.ZodType>(
  schema: Schema,
  kind: FileKind,
  file: string,
  cure: string,
  code: 'bad-configuration' | 'usage' = 'usage',
): Promise<z.output<Schema>> {
  const text = await readTextFile(file, cure, code);
  return checkAgainst(schema, parseKind(text, file, { kind, keys: ['kind'], cure }), { file });
}

export async function readServerRequest(file: string): Promise<ServerRequest> {
  const cure = 'Give the .request file that "holdfast server init" wrote.';
  const parsed = await readKind(serverRequestSchema, 'server request', file, cure);
  return { name: parsed.name, publicKey: parsed.public_key, host: parsed.host, port: parsed.port };
}

export async function readClientRequest(file: string): Promise<ClientRequest> {
  const cure = 'Give the .request file that "holdfast client init" wrote.';
  const parsed = await readKind(clientRequestSchema, 'client request', file, cure);
  return { name: parsed.name, publicKey: parsed.public_key };
}

/** Whose a server's data folder is. */
export function dataFolderOwner(
  admission: Pick<ServerAdmission, 'system' | 'certificate'>,
): DataFolderOwner {
  return {
    serverId: toHex(serverId(admission.certificate.statement)),
    systemId: toHex(admission.system.id),
  };
}

const faultWords: Readonly<Record<ConfigurationFault, string>> = {
  'wrong-system': 'belongs to another system',
  'bad-signature': "does not carry the authority's signature",
  'bad-member-certificate': 'lists a server without a valid certificate',
  'bad-member-field': 'lists a server with an unusable address',
  'members-not-ascending': 'lists its servers out of order',
  'duplicate-key': 'lists one server twice',
  'root-mismatch': 'lists other servers than its signature covers',
  'count-mismatch': 'lists another number of servers than its signature covers',
  'bad-fault-bound': 'tolerates a number of faults that is not supported',
  'too-few-active': 'has too few servers for the faults that it is to tolerate',
};

/** The configuration, verified. @throws HoldfastError `bad-configuration` with what is wrong, in words. */
export function acceptConfiguration(
  record: types.ConfigurationRecord,
  system: SystemInfo,
  file: string,
): Configuration {
  const configuration = Configuration.accept(record, trustOf(system));
  if (configuration instanceof Configuration) return configuration;
  throw new HoldfastError(
    'bad-configuration',
    `the configuration in ${file} ${faultWords[configuration]}`,
    {
      cure: 'Ask the authority for the admission file again.',
      details: { file, fault: configuration },
    },
  );
}

/**
 * Reads and verifies an admission. `publicKey` is the server's own.
 * @param code for a file that cannot be read.
 * @throws HoldfastError `bad-configuration`, or `code`.
 */
export async function readServerAdmission(
  file: string,
  publicKey: Bytes,
  code: 'bad-configuration' | 'usage' = 'bad-configuration',
): Promise<ServerAdmission> {
  const cure = 'Give the .admission file that "holdfast authority genesis" wrote for this server.';
  const parsed = await readKind(serverAdmissionSchema, 'server admission', file, cure, code);
  const system = systemOf(parsed.system);
  const { certificate } = parsed;
  const fail = (message: string): HoldfastError =>
    new HoldfastError('bad-configuration', message, { cure, details: { file } });
  if (!equalBytes(certificate.statement.publicKey, publicKey)) {
    throw fail(`${file} admits another server: its certificate is for another key`);
  }
  if (!trustOf(system).server(certificate)) {
    throw fail(`the certificate in ${file} does not carry the authority's signature`);
  }
  const configuration = acceptConfiguration(parsed.configuration, system, file);
  const { epochFrom, epochTo } = certificate.statement;
  if (configuration.epoch < epochFrom || configuration.epoch > epochTo) {
    throw fail(
      `the certificate in ${file} is valid from epoch ${epochFrom} to ${epochTo}, but the system is in epoch ${configuration.epoch}`,
    );
  }
  return { system, certificate, configuration };
}

/** Checks what a client was given. @throws HoldfastError `bad-configuration`. */
export function checkClientCertificate(
  given: { readonly system: SystemInfo; readonly certificate: types.ClientCertificate },
  publicKey: Bytes,
  file: string,
): void {
  const { statement } = given.certificate;
  const cure = 'Ask the authority to admit this client again: holdfast authority client.';
  const fail = (message: string): HoldfastError =>
    new HoldfastError('bad-configuration', message, { cure, details: { file } });
  if (!equalBytes(statement.publicKey, publicKey)) {
    throw fail(`${file} admits another client: its certificate is for another key`);
  }
  if (!trustOf(given.system).client(given.certificate, statement.epochFrom)) {
    throw fail(`the certificate in ${file} does not carry the authority's signature`);
  }
}

/** Reads and verifies an admission. @throws HoldfastError `bad-configuration`. */
export async function readClientAdmission(
  file: string,
  publicKey: Bytes,
): Promise<ClientAdmission> {
  const cure = 'Give the .admission file that "holdfast authority client" wrote for this client.';
  const parsed = await readKind(clientAdmissionSchema, 'client admission', file, cure);
  const admission = {
    system: systemOf(parsed.system),
    certificate: parsed.certificate,
    servers: parsed.servers,
  };
  checkClientCertificate(admission, publicKey, file);
  return admission;
}
