// Damage to the files of a server that is not running.

import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

/** Changes one bit of the byte at each of these offsets. */
export function flipAt(file: string, offsets: readonly number[]): void {
  const descriptor = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    for (const offset of offsets) {
      readSync(descriptor, byte, 0, 1, offset);
      byte[0] = (byte[0] ?? 0) ^ 0x10;
      writeSync(descriptor, byte, 0, 1, offset);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Where in the file the bytes stand. */
export function placesOf(file: string, bytes: Uint8Array): number[] {
  const content = readFileSync(file);
  const places: number[] = [];
  for (let at = content.indexOf(bytes); at >= 0; at = content.indexOf(bytes, at + 1)) {
    places.push(at);
  }
  return places;
}

/** Up to where a file that was filled with zeros beforehand has been written. */
export function usedSizeBytes(file: string): number {
  const content = readFileSync(file);
  return content.findLastIndex((byte) => byte !== 0) + 1;
}
