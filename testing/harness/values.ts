// Values that can be told apart: each write's data is made from a tag that no other write uses, and what a reader gets
// is named by the tag that made exactly these bytes, or as bytes that nobody wrote.

import { type Bytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { blockId } from '../../src/dbqs/ids.ts';

export class ValueNames {
  readonly #names = new Map<string, string>();

  /** Bytes of this length or a little more, named `tag`. */
  make(tag: string, sizeBytes: number): Bytes {
    const head = utf8(`${tag}|`);
    const data = new Uint8Array(Math.max(head.length, sizeBytes));
    data.fill(head.length + tag.charCodeAt(tag.length - 1));
    data.set(head);
    this.#names.set(toHex(blockId(data)), tag);
    return data;
  }

  nameOf(data: Bytes): string {
    const digest = toHex(blockId(data));
    return this.#names.get(digest) ?? `unwritten ${digest.slice(0, 12)}`;
  }
}
