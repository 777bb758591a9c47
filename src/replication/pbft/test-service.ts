// A service and a signature scheme for tests.

import { type Bytes, concatBytes, equalBytes, mapKey, utf8 } from '../../base/bytes.ts';
import { taggedHash } from '../../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../../crypto/signature.ts';
import type { OperationContext, PageStore, StateMachine } from '../contract.ts';

/** A signature that anyone could make, in no time: tests make wrong ones by leaving it out. */
export const quickScheme: SignatureScheme = {
  signer: (seed) => {
    const publicKey = taggedHash('object-key', seed);
    return { publicKey, sign: (message) => quickSignature(publicKey, message) };
  },
  verify: (publicKey, message, signature) =>
    equalBytes(signature, quickSignature(publicKey, message)),
};

function quickSignature(publicKey: Bytes, message: Bytes): Bytes {
  const digest = taggedHash('record', publicKey, message);
  return concatBytes(digest, digest);
}

export function quickSigner(name: string): Signer {
  return quickScheme.signer(taggedHash('object-key', utf8(name)));
}

const entrySizeBytes = 8;
const entriesPerPage = 8;
export const stopOperation: Bytes = utf8('stop!!!!');
export const countQuery: Bytes = utf8('count???');

/** Appends operations of eight bytes to a ledger; an operation's result is its place, a read's the length. */
export class Ledger implements StateMachine {
  #pages: PageStore | undefined;
  entries: string[] = [];

  load(pages: PageStore): void {
    this.#pages = pages;
    this.entries = [];
    for (let page = 0; ; page++) {
      const bytes = pages.read(page);
      if (bytes === undefined) return;
      for (let at = 0; at < bytes.length; at += entrySizeBytes) {
        this.entries.push(mapKey(bytes.subarray(at, at + entrySizeBytes)));
      }
    }
  }

  execute(operation: Bytes, _context: OperationContext): Bytes {
    const place = this.entries.length;
    this.entries.push(mapKey(operation.subarray(0, entrySizeBytes)));
    const page = Math.floor(place / entriesPerPage);
    const first = page * entriesPerPage;
    const bytes = concatBytes(
      ...this.entries.slice(first).map((entry) => Uint8Array.from(Buffer.from(entry, 'latin1'))),
    );
    this.#pages?.write(page, bytes);
    return placeBytes(place);
  }

  query(): Bytes {
    return placeBytes(this.entries.length);
  }

  isQuery(operation: Bytes): boolean {
    return equalBytes(operation, countQuery);
  }

  isStop(operation: Bytes): boolean {
    return equalBytes(operation, stopOperation);
  }
}

function placeBytes(place: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, place);
  return bytes;
}

export function placeOf(bytes: Bytes): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0);
}
