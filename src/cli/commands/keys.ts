// key: the keys that objects are written under.

import { resolve } from 'node:path';
import { readClientSettings } from '../../client/client-file.ts';
import { addNewKey, exportKey, importKey, listKeys, makeDefault } from '../../client/keys.ts';
import { readTextFile } from '../../server/toml.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { Printer, table } from '../output.ts';
import { clientFileOf } from '../session.ts';

export async function keyList(context: Context, options: GlobalOptions): Promise<void> {
  const settings = await readClientSettings(await clientFileOf(context, options));
  const keys = listKeys(settings);
  const printer = new Printer(context, options);
  if (printer.isJson) {
    for (const { name, publicKey, isDefault } of keys) {
      printer.answer({ name, publicKey, default: isDefault }, '');
    }
    return;
  }
  const rows = keys.map((key) => [key.name, key.publicKey, key.isDefault ? 'default' : '']);
  printer.answer(undefined, table(['name', 'public key', ''], rows));
}

/** What programs are told of a key after a change. */
async function reportOf(file: string, name: string) {
  const key = listKeys(await readClientSettings(file)).find((one) => one.name === name);
  return { name, publicKey: key?.publicKey, default: key?.isDefault, file };
}

export async function keyNew(
  context: Context,
  options: GlobalOptions,
  name: string,
): Promise<void> {
  const file = await clientFileOf(context, options);
  await addNewKey(file, name);
  new Printer(context, options).done(
    await reportOf(file, name),
    `Made key ${name} in ${file}. Keep a backup of that file.`,
  );
}

export async function keyExport(
  context: Context,
  options: GlobalOptions,
  name: string,
): Promise<void> {
  const settings = await readClientSettings(await clientFileOf(context, options));
  const key = exportKey(settings, name);
  const printer = new Printer(context, options);
  printer.answer({ name, key }, key);
  printer.hint('This is the secret itself: whoever has it can write the objects of this key.');
}

/** @param file the exported key; standard input if it is "-". Never an argument, which other users could see. */
export async function keyImport(
  context: Context,
  options: GlobalOptions,
  name: string,
  file: string,
): Promise<void> {
  const text =
    file === '-'
      ? await textOf(context)
      : await readTextFile(resolve(context.folder, file), 'Check the name of the file.', 'usage');
  const client = await clientFileOf(context, options);
  await importKey(client, name, text);
  new Printer(context, options).done(
    await reportOf(client, name),
    `Added key ${name} to ${client}.`,
  );
}

async function textOf(context: Context): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of context.stdin) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('utf8');
}

export async function keyDefault(
  context: Context,
  options: GlobalOptions,
  name: string,
): Promise<void> {
  const file = await clientFileOf(context, options);
  await makeDefault(file, name);
  new Printer(context, options).done(
    await reportOf(file, name),
    `Objects are now written under key ${name}.`,
  );
}
