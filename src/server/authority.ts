// The authority's folder: its secret key, the system it made, and everything it signed. The folder is the operator's
// to keep offline; no running server or client needs it.
//
//   authority.key          the secret key
//   system.toml            the system: id, name, faults
//   servers/NAME.toml      each admitted server's certificate
//   clients/NAME.toml      each admitted client's certificate
//   configuration.toml     epoch 0, once signed
//   admissions/NAME.admission   what each server is given

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { z } from 'zod';
import { type Bytes, equalBytes, toHex, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import {
  certifyClient,
  certifyEpoch,
  certifyServer,
  roles,
  systemId,
} from '../configuration/certificates.ts';
import {
  type Configuration,
  configurationRoot,
  inRingOrder,
  memberStatus,
  parametersHash,
} from '../configuration/configuration.ts';
import { hashSizeBytes } from '../crypto/hash.ts';
import { ed25519, type Signer } from '../crypto/signature.ts';
import { limits } from '../wire/limits.ts';
import * as types from '../wire/types.ts';
import {
  acceptConfiguration,
  type ClientAdmission,
  type ClientRequest,
  clientCertificateField,
  everyEpoch,
  type ServerAddress,
  type ServerRequest,
  serverAdmissionText,
} from './admission.ts';
import { createFile, fileExists, makePrivateFolder, namesIn, replaceFile } from './files.ts';
import { createKeyFile, newSeed, readKeyFile } from './key-files.ts';
import {
  certifiedText,
  encoded,
  encodedField,
  formatEndpoint,
  hex32Field,
  nameField,
  type SystemInfo,
  systemOf,
  systemSchema,
  systemTable,
} from './system-info.ts';
import { checkAgainst, field, parseToml, readTextFile } from './toml.ts';

export const authorityPaths = (folder: string) => ({
  key: join(folder, 'authority.key'),
  system: join(folder, 'system.toml'),
  servers: join(folder, 'servers'),
  clients: join(folder, 'clients'),
  configuration: join(folder, 'configuration.toml'),
  admissions: join(folder, 'admissions'),
});

/** Faulty servers that a group can be made to tolerate, at most. */
export const faultsMax = limits.faultsMax;

const faultsField = field(z.int().min(1).max(faultsMax), {
  expects: `a number of faulty servers to tolerate, from 1 to ${faultsMax}`,
  example: '1',
});

const authoritySchema = z.strictObject({
  faults: faultsField,
  salt: hex32Field("the system's salt"),
  system: systemSchema,
});

const serverRecordSchema = z.strictObject({
  name: nameField('s1'),
  certificate: encodedField(types.ServerCertificate, "a server's certificate"),
});

const clientRecordSchema = z.strictObject({
  name: nameField('alice'),
  certificate: clientCertificateField,
});

const configurationSchema = z.strictObject({
  configuration: encodedField(types.ConfigurationRecord, "the system's configuration"),
});

export interface AdmittedServer {
  readonly name: string;
  readonly certificate: types.ServerCertificate;
}

export interface AdmittedClient {
  readonly name: string;
  readonly certificate: types.ClientCertificate;
}

export interface Genesis {
  readonly configuration: Configuration;
  /** One file per server, to be given to it. */
  readonly admissions: readonly { readonly name: string; readonly file: string }[];
}

const usage = (message: string, cure: string, details = {}): HoldfastError =>
  new HoldfastError('usage', message, { cure, details });

async function readRecord<Schema extends z.ZodType>(
  schema: Schema,
  file: string,
): Promise<z.output<Schema>> {
  const text = await readTextFile(file, "Restore the authority's folder from your backup.");
  return checkAgainst(schema, parseToml(text, file), { file });
}

export class Authority {
  readonly folder: string;
  readonly system: SystemInfo;
  /** Faulty servers to tolerate in each group. */
  readonly faults: number;
  readonly #signer: Signer;

  private constructor(folder: string, system: SystemInfo, faults: number, signer: Signer) {
    this.folder = folder;
    this.system = system;
    this.faults = faults;
    this.#signer = signer;
  }

  /** Makes a new system. @throws HoldfastError `usage` if the folder holds one already. */
  static async create(options: {
    readonly folder: string;
    readonly name: string;
    readonly faults: number;
  }): Promise<Authority> {
    const { folder, name, faults } = options;
    const paths = authorityPaths(folder);
    if ((await fileExists(paths.key)) || (await fileExists(paths.system))) {
      throw usage(
        `${folder} holds an authority already; a new one there would end the old system`,
        'Name another folder: --dir DIR.',
        { folder },
      );
    }
    const seed = newSeed();
    const signer = ed25519.signer(seed);
    const salt = new Uint8Array(randomBytes(hashSizeBytes));
    const id = systemId({ authorityKey: signer.publicKey, salt, name: utf8(name) });
    const system = { id, name, authorityKey: signer.publicKey };
    await makePrivateFolder(folder);
    await makePrivateFolder(paths.servers);
    await makePrivateFolder(paths.clients);
    await createKeyFile(paths.key, 'authority', seed);
    const table: z.input<typeof authoritySchema> = {
      faults,
      salt: toHex(salt),
      system: systemTable(system),
    };
    await createFile(paths.system, `${stringify(table)}\n`);
    return new Authority(folder, system, faults, signer);
  }

  /** @throws HoldfastError `bad-configuration` if the folder is not an authority's or is damaged. */
  static async open(folder: string): Promise<Authority> {
    const paths = authorityPaths(folder);
    if (!(await fileExists(paths.system))) {
      throw usage(
        `${folder} is not an authority's folder`,
        'Make one with "holdfast authority init", or name it with --dir DIR.',
        { folder },
      );
    }
    const parsed = await readRecord(authoritySchema, paths.system);
    const signer = ed25519.signer(await readKeyFile(paths.key, 'authority'));
    const system = systemOf(parsed.system);
    const id = systemId({
      authorityKey: signer.publicKey,
      salt: parsed.salt,
      name: utf8(system.name),
    });
    if (!equalBytes(id, system.id)) {
      throw new HoldfastError(
        'bad-configuration',
        `${paths.system} and ${paths.key} do not belong together`,
        { cure: "Restore the authority's folder from your backup.", details: { folder } },
      );
    }
    return new Authority(folder, system, parsed.faults, signer);
  }

  /** Signs a server's certificate. @throws HoldfastError `usage` for a name, key or address that is taken. */
  async admit(request: ServerRequest): Promise<AdmittedServer> {
    if (await this.#hasConfiguration()) {
      throw usage(
        `the servers of system ${this.system.name} are fixed: its configuration has been signed`,
        'Make a new system with the servers you want: holdfast authority init --dir DIR.',
      );
    }
    const admitted = await this.servers();
    this.#refuseTaken(admitted, request);
    const certificate = certifyServer(this.#signer, this.system.id, {
      publicKey: request.publicKey,
      host: utf8(request.host),
      port: request.port,
      roles: roles.storage,
      salt: new Uint8Array(randomBytes(16)),
      ...everyEpoch,
      serial: admitted.length + 1,
    });
    const record: z.input<typeof serverRecordSchema> = {
      name: request.name,
      certificate: encoded(types.ServerCertificate, certificate),
    };
    const file = join(authorityPaths(this.folder).servers, `${request.name}.toml`);
    await createFile(file, `${stringify(record)}\n`);
    return { name: request.name, certificate };
  }

  /**
   * Signs the first configuration over the admitted servers and writes what each of them is to be given. Run again, it
   * writes admission files that are missing.
   * @throws HoldfastError `usage` when nothing is left to do or when there are fewer than 3 · faults + 1 servers.
   */
  async genesis(): Promise<Genesis> {
    const { configuration: file, admissions } = authorityPaths(this.folder);
    const servers = await this.servers();
    let configuration = await this.configuration();
    const isSigned = configuration !== undefined;
    if (configuration === undefined) {
      this.#requireEnough(servers.length);
      configuration = acceptConfiguration(this.#firstConfiguration(servers), this.system, file);
      // Before any admission leaves: there is never a second first configuration.
      const table: z.input<typeof configurationSchema> = {
        configuration: encoded(types.ConfigurationRecord, configuration.record),
      };
      await createFile(file, `${stringify(table)}\n`);
    }
    const written = await this.#writeAdmissions(servers, configuration);
    if (isSigned && written.length === 0) {
      throw usage(
        `the configuration of system ${this.system.name} has been signed already`,
        `Its admission files are in ${admissions}.`,
        { file },
      );
    }
    return { configuration, admissions: written };
  }

  /**
   * Signs a client's certificate.
   * @param quotaBytes what the client may store on each server; 0 leaves it to the servers.
   * @throws HoldfastError `usage` for a name or key that is taken, or before the configuration is signed.
   */
  async admitClient(request: ClientRequest, quotaBytes: number): Promise<ClientAdmission> {
    if (!(await this.#hasConfiguration())) {
      throw usage(
        `system ${this.system.name} has no configuration yet, so a client could not find its servers`,
        `First: holdfast authority genesis --dir ${this.folder}`,
      );
    }
    const admitted = await this.clients();
    for (const other of admitted) {
      const taken = equalBytes(other.certificate.statement.publicKey, request.publicKey)
        ? `this client has been admitted already, as ${other.name}`
        : `a client named ${request.name} has been admitted already`;
      if (other.name === request.name || taken.startsWith('this')) {
        throw usage(taken, 'Choose another name, or make a new key: holdfast client init.');
      }
    }
    const certificate = certifyClient(this.#signer, this.system.id, {
      publicKey: request.publicKey,
      name: utf8(request.name),
      quotaBytes,
      ...everyEpoch,
      serial: admitted.length + 1,
    });
    const record: z.input<typeof clientRecordSchema> = {
      name: request.name,
      certificate: encoded(types.ClientCertificate, certificate),
    };
    const file = join(authorityPaths(this.folder).clients, `${request.name}.toml`);
    await createFile(file, `${stringify(record)}\n`);
    return { system: this.system, certificate, servers: (await this.servers()).map(addressOf) };
  }

  /** In the order of their admission. */
  async servers(): Promise<AdmittedServer[]> {
    return this.#records(authorityPaths(this.folder).servers, serverRecordSchema);
  }

  /** In the order of their admission. */
  async clients(): Promise<AdmittedClient[]> {
    return this.#records(authorityPaths(this.folder).clients, clientRecordSchema);
  }

  /** The first configuration, or undefined before `genesis`. */
  async configuration(): Promise<Configuration | undefined> {
    if (!(await this.#hasConfiguration())) return undefined;
    const file = authorityPaths(this.folder).configuration;
    const parsed = await readRecord(configurationSchema, file);
    return acceptConfiguration(parsed.configuration, this.system, file);
  }

  #requireEnough(admitted: number): void {
    const needed = 3 * this.faults + 1;
    if (admitted >= needed) return;
    throw usage(
      `${count(admitted, 'server')} admitted, but tolerating ${count(this.faults, 'fault')} takes at least ${needed}`,
      `Admit ${needed - admitted} more: holdfast authority admit --dir ${this.folder} REQUEST…`,
      { admitted, needed },
    );
  }

  async #writeAdmissions(
    servers: readonly AdmittedServer[],
    configuration: Configuration,
  ): Promise<{ name: string; file: string }[]> {
    const { admissions } = authorityPaths(this.folder);
    await makePrivateFolder(admissions);
    const written = [];
    for (const { name, certificate } of servers) {
      const file = join(admissions, `${name}.admission`);
      if (await fileExists(file)) continue;
      const { record } = configuration;
      const text = serverAdmissionText({ system: this.system, certificate, configuration: record });
      await replaceFile(file, text);
      written.push({ name, file });
    }
    return written;
  }

  #hasConfiguration(): Promise<boolean> {
    return fileExists(authorityPaths(this.folder).configuration);
  }

  async #records<Certificate extends { readonly statement: { readonly serial: number } }>(
    folder: string,
    schema: z.ZodType<{ name: string; certificate: Certificate }>,
  ): Promise<{ name: string; certificate: Certificate }[]> {
    const names = (await namesIn(folder)) ?? [];
    const files = names.filter((name) => name.endsWith('.toml') && !name.startsWith('.'));
    const records = await Promise.all(files.map((name) => readRecord(schema, join(folder, name))));
    return records.sort((a, b) => a.certificate.statement.serial - b.certificate.statement.serial);
  }

  #refuseTaken(admitted: readonly AdmittedServer[], request: ServerRequest): void {
    const endpoint = formatEndpoint(request.host, request.port);
    for (const { name, certificate } of admitted) {
      const { statement } = certificate;
      if (equalBytes(statement.publicKey, request.publicKey)) {
        throw usage(
          `this server has been admitted already, as ${name}`,
          'Each server needs a key of its own: holdfast server init.',
        );
      }
      if (name === request.name) {
        throw usage(
          `a server named ${name} has been admitted already`,
          'Make the request with another name: holdfast server init --name NAME.',
        );
      }
      const other = formatEndpoint(certifiedText(statement.host), statement.port);
      if (other.toLowerCase() === endpoint.toLowerCase()) {
        throw usage(
          `server ${name} has the address ${other} already, and two servers cannot share one`,
          'Make the request with another host or port: holdfast server init --host H --port P.',
        );
      }
    }
  }

  #firstConfiguration(servers: readonly AdmittedServer[]): types.ConfigurationRecord {
    const members = inRingOrder(
      servers.map(({ certificate }) => ({
        certificate,
        status: memberStatus.active,
        since: 0,
        statusSequence: 0,
      })),
    );
    const certificate = certifyEpoch(this.#signer, this.system.id, {
      epoch: 0,
      configurationRoot: configurationRoot(members),
      memberCount: members.length,
      activeCount: members.length,
      faults: this.faults,
      parametersHash: parametersHash(this.faults),
      previous: zeroHash,
    });
    return { system: this.system.id, certificate, members };
  }
}

/** What stands for the epoch before the first. */
const zeroHash: Bytes = new Uint8Array(hashSizeBytes);

export function count(value: number, noun: string): string {
  return `${value === 0 ? 'no' : value} ${noun}${value === 1 ? '' : 's'}`;
}

function addressOf({ certificate }: AdmittedServer): ServerAddress {
  const { host, port, publicKey } = certificate.statement;
  return { host: certifiedText(host), port, key: publicKey };
}
