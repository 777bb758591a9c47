// What the benchmark asks of a client process, and what it hears back. One job at a time.

import { z } from 'zod';

const object = { objects: z.number() };

export const jobSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('connect'), client: z.string() }),
  /** Writes every object once. */
  z.object({ kind: z.literal('fill'), ...object, sizeBytes: z.number() }),
  /** One operation at a time, kinds of operations taking turns in short runs. */
  z.object({
    kind: z.literal('latency'),
    ...object,
    sizeBytes: z.number(),
    cycles: z.number(),
    runLength: z.number(),
    pauseMs: z.number(),
    /** Processes whose processor time is counted. */
    pids: z.array(z.number()),
    folder: z.string(),
  }),
  /** As many operations as fit, `concurrency` of them at a time. */
  z.object({
    kind: z.literal('load'),
    ...object,
    sizeBytes: z.number(),
    readShare: z.number(),
    concurrency: z.number(),
    durationMs: z.number(),
  }),
  z.object({ kind: z.literal('put'), sizeBytes: z.number(), seed: z.number() }),
  z.object({ kind: z.literal('get'), address: z.string() }),
  z.object({ kind: z.literal('unitCosts'), folder: z.string(), blocks: z.number() }),
  z.object({ kind: z.literal('end') }),
]);

export type Job = z.infer<typeof jobSchema>;
export type JobOf<Kind extends Job['kind']> = Extract<Job, { kind: Kind }>;

/** The kinds of operations whose latency is compared. */
export const seriesNames = [
  'round',
  'read',
  'readAgain',
  'twoRoundsSync',
  'write',
  'writeAgain',
  'roundSync',
  'writeAlone',
] as const;
export type SeriesName = (typeof seriesNames)[number];

const seriesSchema = z.object({ samplesMs: z.array(z.number()), cpuUs: z.number() });
export type Series = z.infer<typeof seriesSchema>;

const costSchema = z.object({ wallMs: z.number(), cpuMs: z.number() });
export type UnitCost = z.infer<typeof costSchema>;

export const answerSchemas = {
  connect: z.object({}),
  fill: z.object({}),
  latency: z.record(z.enum(seriesNames), seriesSchema),
  load: z.object({ operations: z.number(), elapsedMs: z.number(), samplesMs: z.array(z.number()) }),
  put: z.object({ address: z.string(), elapsedMs: z.number() }),
  get: z.object({ bytes: z.number(), elapsedMs: z.number() }),
  /** Per MiB. */
  unitCosts: z.record(z.string(), costSchema),
  end: z.object({}),
} satisfies Record<Job['kind'], z.ZodType>;

export type AnswerOf<Kind extends Job['kind']> = z.infer<(typeof answerSchemas)[Kind]>;

export const replySchema = z.union([
  z.object({ answer: z.unknown() }),
  z.object({ failure: z.string() }),
]);
