// A progress bar on the error stream, for a person at a terminal only.

import { SingleBar } from 'cli-progress';
import { formatSize } from '../base/duration.ts';
import type { Context, GlobalOptions } from './context.ts';

export interface Progress {
  readonly onProgress: (doneBytes: number, totalBytes: number | undefined) => void;
  stop(): void;
}

/** @param totalBytes known beforehand, such as a file's size. */
export function startProgress(
  context: Context,
  options: GlobalOptions,
  label: string,
  totalBytes?: number,
): Progress {
  if (context.stderr.isTTY !== true || options.quiet || options.json) {
    return { onProgress: () => undefined, stop: () => undefined };
  }
  const bar = new SingleBar({
    stream: context.stderr,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 24,
    fps: 8,
    gracefulExit: false,
    format: (_, params, payload) => {
      const known = payload.isTotalKnown === true;
      const share = params.total > 0 ? Math.min(1, params.value / params.total) : 0;
      const filled = Math.round(share * 24);
      const drawn = known ? ` ${'█'.repeat(filled)}${'░'.repeat(24 - filled)}` : '';
      const total = known ? ` of ${formatSize(params.total)}` : '';
      return `${label}${drawn} ${formatSize(params.value)}${total}`;
    },
  });
  let isRunning = false;
  return {
    onProgress(doneBytes, total) {
      const known = total ?? totalBytes;
      if (!isRunning) bar.start(known ?? 0, 0, { isTotalKnown: known !== undefined });
      isRunning = true;
      if (known !== undefined) bar.setTotal(known);
      bar.update(doneBytes, { isTotalKnown: known !== undefined });
    },
    stop() {
      if (isRunning) bar.stop();
    },
  };
}
