// put, get, write, read: bytes into the system and out of it.

import { createReadStream } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { Bytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { contentIdOf, objectAddressIn, requireWritable } from '../../client/arguments.ts';
import type { Content, TransferOptions } from '../../client/contract.ts';
import { descriptorOf, saveContent } from '../../client/output-file.ts';
import { reasonOf } from '../../server/local-errors.ts';
import type { Context, GlobalOptions } from '../context.ts';
import type { Printer } from '../output.ts';
import { startProgress } from '../progress.ts';
import { type Session, withClient } from '../session.ts';

const readSizeBytes = 1024 * 1024;
/** Standard input or output in place of a file. */
const standard = '-';

interface Source {
  readonly name: string;
  /** Undefined for a stream. */
  readonly sizeBytes: number | undefined;
  readonly open: () => AsyncIterable<Bytes>;
}

function cannotRead(file: string, reason: string): HoldfastError {
  return new HoldfastError('usage', `cannot read ${file}: ${reason}`, {
    cure: 'Check the name and the permissions of the file. Use - for standard input.',
    details: { file },
  });
}

async function* chunksOf(stream: Readable, name: string): AsyncGenerator<Bytes> {
  try {
    for await (const chunk of stream) {
      yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    }
  } catch (error) {
    throw cannotRead(name, reasonOf(error));
  }
}

async function sourceOf(context: Context, file: string): Promise<Source> {
  if (file === standard) {
    const open = () => chunksOf(context.stdin, 'standard input');
    return { name: file, sizeBytes: undefined, open };
  }
  const path = resolve(context.folder, file);
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw cannotRead(file, 'it is a folder');
    await access(path, constants.R_OK);
    return {
      name: file,
      sizeBytes: found.isFile() ? found.size : undefined,
      open: () => chunksOf(createReadStream(path, { highWaterMark: readSizeBytes }), file),
    };
  } catch (error) {
    throw error instanceof HoldfastError ? error : cannotRead(file, reasonOf(error));
  }
}

async function withProgress<Result>(
  context: Context,
  options: GlobalOptions,
  label: string,
  sizeBytes: number | undefined,
  work: (transfer: TransferOptions) => Promise<Result>,
): Promise<Result> {
  const progress = startProgress(context, options, label, sizeBytes);
  try {
    return await work({ onProgress: progress.onProgress, signal: context.signal });
  } finally {
    progress.stop();
  }
}

export async function put(
  context: Context,
  options: GlobalOptions,
  files: readonly string[],
): Promise<void> {
  if (files.filter((file) => file === standard).length > 1) {
    throw new HoldfastError('usage', 'standard input can be stored only once', {
      cure: 'Give - one time only.',
    });
  }
  // All of them before the first is stored: a mistyped name costs nothing then.
  const sources = await Promise.all(files.map((file) => sourceOf(context, file)));
  await withClient(context, options, async ({ client, printer }) => {
    for (const { name, sizeBytes, open } of sources) {
      const result = await withProgress(context, options, name, sizeBytes, (transfer) =>
        client.put(open(), transfer),
      ).catch((error: unknown) => {
        throw sources.length === 1 ? error : ofFile(name, error);
      });
      const { address, bytes } = result;
      printer.answer(
        { address, bytes, file: name },
        sources.length === 1 ? address : `${address}  ${name}`,
      );
    }
  });
}

/** Which of several files it was. */
function ofFile(file: string, error: unknown): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const { code, message, cure, details } = error;
  return new HoldfastError(code, `${file} was not stored: ${message}`, {
    ...(cure === undefined ? {} : { cure }),
    details: { ...details, file },
    cause: error,
  });
}

export interface SaveOptions extends GlobalOptions {
  readonly output?: string;
}

/** Standard output under any of its names: it is written as a stream, and never replaced. */
function isStandardOutput(context: Context, output: string | undefined): boolean {
  if (output === undefined || output === standard) return true;
  return descriptorOf(resolve(context.folder, output)) === 1;
}

function requireFileForJson(context: Context, options: SaveOptions): void {
  if (!options.json || !isStandardOutput(context, options.output)) return;
  throw new HoldfastError('usage', '--json cannot share standard output with the content', {
    cure: 'Name a file for the content: -o FILE.',
  });
}

async function deliver(
  context: Context,
  printer: Printer,
  content: Content & { readonly address: string; readonly version?: number },
  output: string | undefined,
): Promise<void> {
  if (output === undefined || isStandardOutput(context, output)) {
    return await printer.bytes(content.chunks);
  }
  await saveContent(resolve(context.folder, output), content);
  const { address, bytes, version } = content;
  if (printer.isJson) printer.answer({ address, bytes, version, file: output }, '');
}

export async function get(context: Context, options: SaveOptions, address: string): Promise<void> {
  requireFileForJson(context, options);
  contentIdOf(address);
  await withClient(context, options, ({ client, printer }) =>
    withProgress(context, options, options.output ?? address, undefined, async (transfer) => {
      const content = await client.get(address, transfer);
      const { bytes, chunks } = content;
      await deliver(context, printer, { address, bytes, chunks }, options.output);
    }),
  );
}

export async function read(
  context: Context,
  options: SaveOptions & { readonly key?: string },
  name: string,
): Promise<void> {
  requireFileForJson(context, options);
  objectAddressIn(name);
  await withClient(context, options, ({ client, printer }: Session) =>
    withProgress(context, options, options.output ?? name, undefined, async (transfer) => {
      const content = await client.read(name, transfer);
      await deliver(context, printer, content, options.output);
    }),
  );
}

export async function write(
  context: Context,
  options: GlobalOptions & { readonly key?: string },
  name: string,
  file: string,
): Promise<void> {
  requireWritable(name);
  const source = await sourceOf(context, file);
  await withClient(context, options, async ({ client, printer }) => {
    const result = await withProgress(context, options, name, source.sizeBytes, (transfer) =>
      client.write(name, source.open(), transfer),
    );
    const { address, version, bytes } = result;
    printer.answer({ address, version, bytes, name, file }, address);
    printer.hint(
      `Version ${version} of ${name}. Anyone in the system can read it by this address.`,
    );
  });
}
