export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Structured log. `event` is a stable short name; fields never hold secrets or user data. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
