// What trees of content are made of: blocks that are named by their hash and never change.

import type { Bytes } from '../../base/bytes.ts';

export interface BlockStore {
  /**
   * Stores 1 … `limits.blockSizeBytesMax` bytes durably and gives their id, which is `blockId(data)`. `data` is not
   * changed afterwards by anyone. Rejects soon after `signal` aborts.
   * @throws HoldfastError `unavailable`, `not-permitted`, `over-limit`.
   */
  put(data: Bytes, signal: AbortSignal): Promise<Bytes>;

  /**
   * The bytes that hash to `id`: the store has checked that. Rejects soon after `signal` aborts.
   * @throws HoldfastError `not-found`, `unavailable`.
   */
  get(id: Bytes, signal: AbortSignal): Promise<Bytes>;
}
