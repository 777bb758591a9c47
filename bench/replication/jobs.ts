// What the benchmark of replication tells its processes, and what it hears back.

import { z } from 'zod';

const group = z.object({
  name: z.string(),
  faults: z.number(),
  members: z.array(z.object({ publicKey: z.string(), port: z.number() })),
});
export type GroupJob = z.infer<typeof group>;

export const replicaSchema = z.object({
  role: z.literal('replica'),
  group,
  engine: z.enum(['pbft', 'vr']),
  timeoutMs: z.number(),
  isTentative: z.boolean(),
  index: z.number(),
  seed: z.string(),
  /** Without it the replica keeps nothing. */
  folder: z.string().optional(),
  /** What is done about the folder first: it is made, or made anew after its loss. */
  prepare: z.enum(['nothing', 'create', 'recover']),
  resultSizeBytes: z.number(),
});
export type ReplicaJob = z.infer<typeof replicaSchema>;

export const clientsSchema = z.object({
  role: z.literal('clients'),
  group,
  engine: z.enum(['pbft', 'vr']),
  count: z.number(),
});
export type ClientsJob = z.infer<typeof clientsSchema>;

export const taskSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('load'),
    clients: z.number(),
    /** Operations that each client has under way. */
    window: z.number(),
    operationSizeBytes: z.number(),
    isQuery: z.boolean(),
    durationMs: z.number(),
  }),
  z.object({ kind: z.literal('status') }),
  z.object({ kind: z.literal('end') }),
]);
export type Task = z.infer<typeof taskSchema>;

export const loadSchema = z.object({
  operations: z.number(),
  elapsedMs: z.number(),
  samplesMs: z.array(z.number()),
  /** Longest time without any operation ending. */
  longestGapMs: z.number(),
});
export type LoadAnswer = z.infer<typeof loadSchema>;

export const statusSchema = z.object({
  view: z.number(),
  primary: z.number(),
  status: z.string(),
  executed: z.number(),
  checkpoint: z.number(),
  root: z.string(),
});
export type StatusAnswer = z.infer<typeof statusSchema>;

export const replySchema = z.union([
  z.object({ answer: z.unknown() }),
  z.object({ failure: z.string() }),
]);
