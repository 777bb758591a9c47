import type { Bytes } from '../base/bytes.ts';

/** Randomness. Secret-grade on a real machine, seeded in the simulator. */
export interface Entropy {
  bytes(length: number): Bytes;
}
