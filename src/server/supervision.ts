// What a server process tells the process that started it (holdfast dev), over the channel that Node gives a child.

import { z } from 'zod';
import { type ErrorCode, exitCodes, HoldfastError } from '../base/errors.ts';

const errorCodes = Object.keys(exitCodes) as [ErrorCode, ...ErrorCode[]];

const reportSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('ready'),
    /** Short, as in the status. */
    id: z.string(),
    address: z.string(),
    adminAddress: z.string(),
    /** It is up, but answers nobody before it has fetched its data. */
    isRecovering: z.boolean(),
  }),
  z.object({
    kind: z.literal('failed'),
    code: z.enum(errorCodes),
    message: z.string(),
    cure: z.string().optional(),
  }),
]);

export type ChildReport = z.output<typeof reportSchema>;

/** The report in a message from a child; undefined if it is none. */
export function parseReport(message: unknown): ChildReport | undefined {
  const result = reportSchema.safeParse(message);
  return result.success ? result.data : undefined;
}

/** Set for a child by its supervisor. A channel alone says nothing: other programs give their children one too. */
export const supervisedVariable = 'HOLDFAST_SUPERVISED';

/** What a supervised process has of its supervisor. */
export interface SupervisorChannel {
  /** Resolves when the report has left. */
  report(report: ChildReport): Promise<void>;
  /** Resolves when the supervisor has ended, however. */
  readonly gone: Promise<void>;
  /** Lets this process end: an open channel keeps it alive. */
  leave(): void;
}

/** The channel of this process; undefined in a process that nobody watches. */
export function supervisorChannel(): SupervisorChannel | undefined {
  if (process.env[supervisedVariable] !== '1' || process.send === undefined) return undefined;
  return {
    report: (report) =>
      new Promise((resolve) => {
        if (process.connected) process.send?.(report, () => resolve());
        else resolve();
      }),
    gone: new Promise((resolve) => {
      process.once('disconnect', () => resolve());
    }),
    leave: () => {
      if (process.connected) process.disconnect();
    },
  };
}

export function failureReport(error: HoldfastError): ChildReport {
  const { code, message, cure } = error;
  return { kind: 'failed', code, message, cure };
}

export function errorOfReport(report: ChildReport & { kind: 'failed' }): HoldfastError {
  const { code, message, cure } = report;
  return new HoldfastError(code, message, cure === undefined ? {} : { cure });
}
