// authority, and the parts of server and client that prepare their admission.

import { basename, relative, resolve } from 'node:path';
import { toHex } from '../../base/bytes.ts';
import { parseSizeBytes } from '../../base/duration.ts';
import { HoldfastError } from '../../base/errors.ts';
import { issueClient } from '../../client/issue.ts';
import { acceptClientAdmission, initClient } from '../../client/keys.ts';
import {
  clientAdmissionText,
  readClientRequest,
  readServerRequest,
} from '../../server/admission.ts';
import { Authority, count, faultsMax } from '../../server/authority.ts';
import { createFile } from '../../server/files.ts';
import { acceptServerAdmission, initServer } from '../../server/server-setup.ts';
import {
  certifiedText,
  formatEndpoint,
  isHost,
  nameExpects,
  nameLengthMax,
  namePattern,
  serverIdText,
  shortIdLength,
} from '../../server/system-info.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { Printer, table } from '../output.ts';
import { clientFileOf } from '../session.ts';

export interface FolderOptions extends GlobalOptions {
  readonly dir: string;
}

function usage(message: string, cure: string): HoldfastError {
  return new HoldfastError('usage', message, { cure });
}

/** @throws HoldfastError `usage`. */
export function wholeNumber(
  flag: string,
  text: string,
  least: number,
  most: number,
  example = least,
): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw usage(
    `${flag} must be a whole number from ${least} to ${most}, not "${text}"`,
    `For example: ${flag} ${example}`,
  );
}

const portOption = (flag: string, text: string, example: number): number =>
  wholeNumber(flag, text, 1, 65535, example);

function nameOption(flag: string, text: string): string {
  if (namePattern.test(text)) return text;
  throw usage(`${flag} must be ${nameExpects}, not "${text}"`, `For example: ${flag} home`);
}

function hostOption(flag: string, text: string): string {
  if (isHost(text)) return text;
  throw usage(
    `${flag} must be a host name or an IP address, not "${text}"`,
    `For example: ${flag} 127.0.0.1`,
  );
}

export async function authorityInit(
  context: Context,
  options: FolderOptions & { readonly name: string; readonly faults: string },
): Promise<void> {
  const folder = resolve(context.folder, options.dir);
  const faults = wholeNumber('--faults', options.faults, 1, faultsMax);
  const name = nameOption('--name', options.name);
  const { system } = await Authority.create({ folder, name, faults });
  const printer = new Printer(context, options);
  printer.answer(
    { system: toHex(system.id), name, faults, folder },
    `Made system ${name} (${toHex(system.id).slice(0, 16)}…) in ${folder}.`,
  );
  printer.note(
    `Keep that folder offline and in a backup: its key decides who belongs to the system.\nNext: on ${3 * faults + 1} machines "holdfast server init", then here "holdfast authority admit".`,
  );
}

export async function authorityAdmit(
  context: Context,
  options: FolderOptions,
  files: readonly string[],
): Promise<void> {
  const authority = await Authority.open(resolve(context.folder, options.dir));
  const printer = new Printer(context, options);
  for (const file of files) {
    const request = await readServerRequest(resolve(context.folder, file));
    const { name, certificate } = await authority.admit(request);
    const { host, port, publicKey } = request;
    const id = serverIdText(certificate.statement);
    printer.answer(
      { name, id, host, port, key: toHex(publicKey) },
      `Admitted ${name} (${id.slice(0, shortIdLength)}) at ${formatEndpoint(host, port)}.`,
    );
  }
  const missing = 3 * authority.faults + 1 - (await authority.servers()).length;
  printer.note(
    missing > 0
      ? `${count(missing, 'more server')} needed before "holdfast authority genesis".`
      : 'Next, when all servers are admitted: holdfast authority genesis',
  );
}

export async function authorityGenesis(context: Context, options: FolderOptions): Promise<void> {
  const authority = await Authority.open(resolve(context.folder, options.dir));
  const { configuration, admissions } = await authority.genesis();
  const printer = new Printer(context, options);
  const servers = configuration.members.length;
  printer.answer(
    { servers, faults: configuration.faults, admissions },
    [
      `Signed the configuration: ${count(servers, 'server')}, tolerating ${count(configuration.faults, 'fault')} in each group.`,
      ...admissions.map(({ file }) => file),
    ].join('\n'),
  );
  printer.note('Next: give each server its file: holdfast server accept --dir DIR FILE');
}

export interface ClientAdmitOptions extends FolderOptions {
  readonly new?: string;
  readonly output: string;
  readonly quota: string;
}

export async function authorityClient(
  context: Context,
  options: ClientAdmitOptions,
  request: string | undefined,
): Promise<void> {
  if ((request === undefined) === (options.new === undefined)) {
    throw usage(
      'one of a request file and --new NAME is needed',
      'For example: holdfast authority client --new alice -o client.toml',
    );
  }
  const quotaBytes = parseSizeBytes(options.quota);
  if (quotaBytes === undefined) {
    throw usage(`--quota must be a size, not "${options.quota}"`, 'For example: --quota 10GiB');
  }
  const authority = await Authority.open(resolve(context.folder, options.dir));
  const output = resolve(context.folder, options.output);
  const printer = new Printer(context, options);
  if (options.new !== undefined) {
    const name = nameOption('--new', options.new);
    await issueClient(authority, { name, quotaBytes, file: output });
    printer.answer({ name, file: output }, `Made client ${name}: ${output}`);
    printer.note('It holds secret keys: bring it to its user by a safe way, and delete it here.');
    return;
  }
  const asked = await readClientRequest(resolve(context.folder, request ?? ''));
  const admission = await authority.admitClient(asked, quotaBytes);
  await createFile(output, clientAdmissionText(admission));
  printer.answer({ name: asked.name, file: output }, `Admitted ${asked.name}: ${output}`);
  printer.note(
    `Next, where the client file is: holdfast client accept --client CLIENT.toml ${basename(output)}`,
  );
}

export async function authorityList(context: Context, options: FolderOptions): Promise<void> {
  const authority = await Authority.open(resolve(context.folder, options.dir));
  const servers = (await authority.servers()).map(({ name, certificate: { statement } }) => ({
    name,
    id: serverIdText(statement),
    host: certifiedText(statement.host),
    port: statement.port,
    key: toHex(statement.publicKey),
  }));
  const clients = (await authority.clients()).map(({ name, certificate: { statement } }) => ({
    name,
    quotaBytes: statement.quotaBytes,
    key: toHex(statement.publicKey),
  }));
  const isSigned = (await authority.configuration()) !== undefined;
  const { name, id } = authority.system;
  const rows = [
    ...servers.map((s) => [
      'server',
      s.name,
      s.id.slice(0, shortIdLength),
      formatEndpoint(s.host, s.port),
    ]),
    ...clients.map((c) => ['client', c.name, '', '']),
  ];
  const state = isSigned ? 'configuration signed' : 'configuration not signed yet';
  new Printer(context, options).answer(
    { system: toHex(id), name, faults: authority.faults, configured: isSigned, servers, clients },
    `System ${name}, tolerating ${count(authority.faults, 'fault')} in each group, ${state}.\n${
      rows.length === 0 ? 'Nobody is admitted.' : `\n${table(['', 'name', 'id', 'address'], rows)}`
    }`,
  );
}

export interface ServerInitOptions extends FolderOptions {
  readonly name?: string;
  readonly host: string;
  readonly port: string;
  readonly listenHost?: string;
  readonly adminPort: string;
}

/** A name for people out of any host, such as "1-7101" for port 7101 of ::1. */
function nameFrom(host: string, port: number): string {
  return `${host.replaceAll(':', '-')}-${port}`.slice(-nameLengthMax).replace(/^[^A-Za-z0-9]+/, '');
}

export async function serverInit(context: Context, options: ServerInitOptions): Promise<void> {
  const folder = resolve(context.folder, options.dir);
  const host = hostOption('--host', options.host);
  const port = portOption('--port', options.port, 7101);
  const name = nameOption('--name', options.name ?? nameFrom(host, port));
  const listenHost = options.listenHost && hostOption('--listen-host', options.listenHost);
  const adminPort = portOption('--admin-port', options.adminPort, 7201);
  const { request } = await initServer({
    folder,
    name,
    host,
    port,
    adminPort,
    ...(listenHost === undefined ? {} : { listenHost }),
  });
  const printer = new Printer(context, options);
  printer.answer({ name, folder, request }, `Made server ${name} in ${folder}.\n${request}`);
  printer.note(`Next, at the authority: holdfast authority admit ${basename(request)}`);
}

export async function serverAccept(
  context: Context,
  options: FolderOptions,
  file: string,
): Promise<void> {
  const folder = resolve(context.folder, options.dir);
  const accepted = await acceptServerAdmission(folder, resolve(context.folder, file));
  const { name, system, settings, configuration } = accepted;
  const printer = new Printer(context, options);
  printer.answer(
    { name, system: toHex(system.id), settings },
    `Server ${name} belongs to system ${system.name} with ${count(configuration.members.length, 'server')}.`,
  );
  printer.note(`Next: holdfast server --config ${settings}`);
}

export async function clientInit(
  context: Context,
  options: GlobalOptions & { readonly output: string; readonly name: string },
): Promise<void> {
  const file = resolve(context.folder, options.output);
  const { request } = await initClient(file, options.name);
  const printer = new Printer(context, options);
  printer.answer({ file, request }, `Made client ${options.name}: ${file}\n${request}`);
  const near = (path: string): string => {
    const short = relative(context.folder, path);
    return short.startsWith('..') ? path : short;
  };
  const admission = `${basename(request, '.request')}.admission`;
  printer.note(
    [
      `Next, at the authority: holdfast authority client ${basename(request)} -o ${admission}`,
      `Then here:              holdfast client accept --client ${near(file)} ${admission}`,
    ].join('\n'),
  );
}

export async function clientAccept(
  context: Context,
  options: GlobalOptions,
  admission: string,
): Promise<void> {
  const file = await clientFileOf(context, options);
  const { system } = await acceptClientAdmission(file, resolve(context.folder, admission));
  new Printer(context, options).answer(
    { file, system: toHex(system.id) },
    `${file} now belongs to system ${system.name}.`,
  );
}
