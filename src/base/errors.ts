// Errors that a user meets: what failed, what it means, what to do, and the exit code of the command.

/** Exit codes of the command line, by kind of trouble. docs/ERRORS.md lists them for users. */
export const exitCodes = {
  internal: 1,
  usage: 2,
  'not-found': 3,
  unavailable: 4,
  'verification-failed': 5,
  'not-permitted': 6,
  'bad-configuration': 7,
  'data-folder': 8,
  'port-in-use': 9,
  'over-limit': 10,
  interrupted: 130,
} as const;

export type ErrorCode = keyof typeof exitCodes;

export interface ErrorOptions {
  /** What the user can do about it, as a sentence. */
  readonly cure?: string;
  /** What a program can read: names of servers, sizes, addresses. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** The one error class of the public interface. `code` is stable; the message is for people. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly cure: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.cure = options.cure;
    this.details = options.details ?? {};
  }

  get exitCode(): number {
    return exitCodes[this.code];
  }
}
