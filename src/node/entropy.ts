import { randomFillSync } from 'node:crypto';
import type { Entropy } from '../env/entropy.ts';

/** Secret-grade randomness of the operating system. */
export const systemEntropy: Entropy = {
  bytes(length) {
    const bytes = new Uint8Array(length);
    randomFillSync(bytes);
    return bytes;
  },
};
