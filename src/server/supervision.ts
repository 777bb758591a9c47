// What a server process tells the process that started it (holdfast dev), over the channel that Node gives a child.

import { z } from 'zod';
import { type ErrorCode, exitCodes, HoldfastError } from '../base/errors.ts';

const errorCodes = Object.keys(exitCodes) as [ErrorCode, ...ErrorCode[]];

const reportSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), address: z.string(), adminAddress: z.string() }),
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

/** True in a process that another one started and watches. */
export function isSupervised(): boolean {
  return process.connected === true && process.send !== undefined;
}

/** Resolves when the report has left. Does nothing in a process that nobody watches. */
export function reportToSupervisor(report: ChildReport): Promise<void> {
  return new Promise((resolve) => {
    if (!isSupervised()) resolve();
    else process.send?.(report, () => resolve());
  });
}

export function failureReport(error: HoldfastError): ChildReport {
  const { code, message, cure } = error;
  return { kind: 'failed', code, message, cure };
}

export function errorOfReport(report: ChildReport & { kind: 'failed' }): HoldfastError {
  const { code, message, cure } = report;
  return new HoldfastError(code, message, cure === undefined ? {} : { cure });
}
