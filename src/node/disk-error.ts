export type DiskFault = 'disk-full' | 'disk-failed' | 'closed';

/** The disk did not do what durability needs. After one, nothing written since the last success may be assumed. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly fault: DiskFault;

  constructor(fault: DiskFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.fault = fault;
  }
}

/** The typed form of what a file or database operation threw. */
export function diskErrorOf(action: string, cause: unknown): DiskError {
  if (cause instanceof DiskError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  const full = /ENOSPC|EDQUOT|MDB_MAP_FULL|no space left|quota exceeded/i.test(text);
  return new DiskError(full ? 'disk-full' : 'disk-failed', `${action}: ${text}`, cause);
}
