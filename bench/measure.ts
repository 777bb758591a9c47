// Numbers: medians with their spread, processor time of processes, and the machine they were measured on.

import { readFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { HoldfastError } from '../src/base/errors.ts';

export interface Summary {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly p99: number;
  readonly count: number;
}

export function summary(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), p99: at(0.99), count: sorted.length };
}

/** The kernel's unit in /proc: a hundredth of a second, whatever the kernel's own tick. */
const clockTickUs = 10_000;

/** Processor time that these processes have used so far, all threads, user and system. */
export function cpuUs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0);
}

function cpuUsOf(pid: number): number {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    throw new HoldfastError('unavailable', `process ${pid} is gone, or this is not Linux`, {
      cure: 'Look into the log that it has left in the folder of the benchmark (--keep).',
      cause: error,
    });
  }
  // The name of the program, in parentheses, may contain spaces; fields are counted behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * clockTickUs;
}

export function machine(): Readonly<Record<string, string | number>> {
  const processors = cpus();
  return {
    date: new Date().toISOString().slice(0, 16),
    processor: processors[0]?.model.trim() ?? 'unknown',
    processors: processors.length,
    kernel: release(),
    node: process.version,
    load: loadavg()
      .map((load) => load.toFixed(1))
      .join(' '),
  };
}
