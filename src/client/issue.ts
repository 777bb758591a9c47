// A client made where the authority is: key, certificate and file in one step.

import { HoldfastError } from '../base/errors.ts';
import type { Authority } from '../server/authority.ts';
import { fileExists } from '../server/files.ts';
import { clientPublicKey, createClientFile, newClientSettings } from './keys.ts';

export interface NewClient {
  readonly name: string;
  /** What it may store on each server; 0 leaves it to the servers. */
  readonly quotaBytes: number;
  /** The client file to write. */
  readonly file: string;
}

/** @throws HoldfastError `usage` if the file exists or the authority refuses. */
export async function issueClient(authority: Authority, client: NewClient): Promise<void> {
  const { name, quotaBytes, file } = client;
  // Before the authority signs: a name that was used up for a file that cannot be written would be lost.
  if (await fileExists(file)) {
    throw new HoldfastError('usage', `${file} exists already and is not overwritten`, {
      cure: 'Name another file: -o FILE.',
      details: { file },
    });
  }
  const settings = newClientSettings();
  const membership = await authority.admitClient(
    { name, publicKey: clientPublicKey(settings) },
    quotaBytes,
  );
  await createClientFile(file, { ...settings, membership });
}
