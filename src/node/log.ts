import { type DestinationStream, destination, pino } from 'pino';
import type { Log, LogFields } from '../env/log.ts';
import { limits } from '../wire/limits.ts';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** Fields of every line, for instance the server's name. */
  readonly fields?: LogFields;
  /** Where lines go; the standard error stream unless given. */
  readonly stream?: DestinationStream;
}

/** Fields never hold secrets by contract; a slip that names itself as one is blotted out all the same. */
const secretName = /seed|secret|private|password|token/i;

/** One JSON object per line: `time` (ISO 8601), `level` (a word), `event`, then the fields. */
export function createLog(options: LogOptions): Log {
  const stream = options.stream ?? destination({ dest: 2, sync: true });
  const logger = pino(
    {
      level: options.level,
      base: options.fields === undefined ? null : clean(options.fields),
      messageKey: 'event',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  const write =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (event: string, fields?: LogFields): void => {
      if (logger.isLevelEnabled(level))
        logger[level](fields === undefined ? {} : clean(fields), event);
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** Bounded copies: part of a text may come from a peer. */
function clean(fields: LogFields): Record<string, string | number | boolean | undefined> {
  const cleaned: Record<string, string | number | boolean | undefined> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (secretName.test(name)) cleaned[name] = '[redacted]';
    else if (typeof value === 'string') cleaned[name] = value.slice(0, limits.textBytesMax);
    else cleaned[name] = value;
  }
  return cleaned;
}
