// Provable faults on disk: one line of JSON for each, with all that a third party needs to check it.

import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { fromHex, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Log } from '../../env/log.ts';
import type { Evidence, ReplicaGroup } from '../../replication/contract.ts';
import { verifyEvidence } from '../../replication/pbft/index.ts';
import { reasonOf } from '../local-errors.ts';

/** In a replica's data folder. */
export const evidenceName = 'evidence.jsonl';
/** Bytes that one file takes: whoever keeps on proving his faults must not fill the disk. */
const fileSizeBytesMax = 64 * 1024 * 1024;
/** Clients' keys cost nothing: what they do wrong leaves room for what members do. */
const clientRecordsMax = 200;

const hex = z.string().transform((text, context) => {
  const bytes = fromHex(text);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: 'custom', message: 'not hexadecimal' });
  return z.NEVER;
});

const recordSchema = z.object({
  holdfast: z.literal('evidence'),
  code: z.string(),
  accused: hex,
  proof: hex,
  group: z.object({ instance: hex, members: z.array(hex), faults: z.int().min(0) }),
  genesis: hex,
});

/** Appends evidence to a file: the first of each kind against each key, as long as the file is small. */
export class EvidenceFile {
  readonly #path: string | undefined;
  readonly #group: ReplicaGroup;
  readonly #members: ReadonlySet<string>;
  /** Key and kind of what is on record. */
  readonly #known = new Set<string>();
  #sizeBytes = 0;
  #clientRecords = 0;
  /** What the next record begins with: a last line that was cut short must not take it along. */
  #separator = '';

  /**
   * Never throws: a file that cannot be read takes nothing more.
   * @param path undefined keeps in mind only what is on record.
   */
  constructor(path: string | undefined, group: ReplicaGroup) {
    this.#path = path;
    this.#group = group;
    this.#members = new Set(group.members.map(toHex));
    if (path === undefined || !existsSync(path)) return;
    try {
      this.#sizeBytes = statSync(path).size;
      if (this.#sizeBytes > fileSizeBytesMax) return;
      const text = readFileSync(path, 'utf8');
      if (text !== '' && !text.endsWith('\n')) this.#separator = '\n';
      for (const { json } of linesOf(text)) {
        const record = recordSchema.safeParse(parsedJson(json));
        if (record.success) this.#note(toHex(record.data.accused), record.data.code);
      }
    } catch {
      this.#sizeBytes = fileSizeBytesMax;
    }
  }

  /**
   * @returns whether it is on record from now on: false for what was before, has no room or cannot be written. Never
   * throws.
   */
  append({ code, accused, proof, genesis }: Evidence): boolean {
    const key = toHex(accused);
    if (this.#known.has(`${key} ${code}`)) return false;
    if (!this.#members.has(key) && this.#clientRecords >= clientRecordsMax) return false;
    const { instance, members, faults } = this.#group;
    const record = {
      holdfast: 'evidence',
      code,
      accused: key,
      proof: toHex(proof),
      group: { instance: toHex(instance), members: members.map(toHex), faults },
      genesis: toHex(genesis),
    };
    const line = `${this.#separator}${JSON.stringify(record)}\n`;
    if (this.#sizeBytes + line.length > fileSizeBytesMax) return false;
    try {
      if (this.#path !== undefined) appendFileSync(this.#path, line, { mode: 0o600 });
    } catch {
      // Evidence is worth less than the replica: a full disk costs the record, not the service.
      // Half of the line may be there.
      this.#separator = '\n';
      return false;
    }
    this.#separator = '';
    this.#sizeBytes += line.length;
    this.#note(key, code);
    return true;
  }

  #note(accused: string, code: string): void {
    this.#known.add(`${accused} ${code}`);
    if (!this.#members.has(accused)) this.#clientRecords += 1;
  }
}

/**
 * What to do with each piece of evidence: who proves his faults over and over is written down, logged and told of once.
 * @param tell the application's.
 */
export function evidenceKeeper(
  file: EvidenceFile,
  log: Log,
  tell: (evidence: Evidence) => void = () => {},
): (evidence: Evidence) => void {
  return (evidence) => {
    if (!file.append(evidence)) return;
    log.warn('evidence', { code: evidence.code, accused: toHex(evidence.accused) });
    tell(evidence);
  };
}

export interface CheckedEvidence {
  /** Counted from 1. */
  readonly line: number;
  /** What is claimed. */
  readonly code: string;
  /** Public key, hexadecimal, of whom it accuses. */
  readonly accused: string;
  /** Instance of the group, hexadecimal: the reader knows which group that is, and that these are its members. */
  readonly instance: string;
  /** Whether the signatures prove it. */
  readonly isProved: boolean;
}

export interface CheckedEvidenceFile {
  /** Path of the file itself, also where its folder was named. */
  readonly file: string;
  readonly records: readonly CheckedEvidence[];
  /** Numbers, from 1, of the lines that are no records: cut short or changed. They say nothing about the others. */
  readonly badLines: readonly number[];
}

/**
 * Checks every record of an evidence file, with nothing but what stands in it.
 * @param path the file, or the data folder of a replica, which has one only when somebody has done wrong.
 * @throws HoldfastError `usage` when there is neither, or it cannot be read.
 */
export function checkEvidenceFile(path: string): CheckedEvidenceFile {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isFolder ? join(path, evidenceName) : path;
  const records: CheckedEvidence[] = [];
  const badLines: number[] = [];
  for (const { number, json } of linesOf(readEvidence(file))) {
    const record = recordSchema.safeParse(parsedJson(json));
    if (record.success) records.push(checked(number, record.data));
    else badLines.push(number);
  }
  return { file, records, badLines };
}

function checked(line: number, record: z.infer<typeof recordSchema>): CheckedEvidence {
  const { code, accused, proof, group, genesis } = record;
  const verdict = verifyEvidence(proof, group, ed25519, genesis);
  return {
    line,
    code,
    accused: toHex(accused),
    instance: toHex(group.instance),
    isProved: verdict?.code === code && toHex(verdict.accused) === toHex(accused),
  };
}

function readEvidence(file: string): string {
  if (!existsSync(file) && existsSync(join(dirname(file), 'journal'))) return '';
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `cannot read ${file}: ${reasonOf(cause)}`, {
      cure: 'Name the data folder of a replica, or the file evidence.jsonl that it has written there.',
      cause,
    });
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function linesOf(text: string): { number: number; json: string }[] {
  return text
    .split('\n')
    .map((json, at) => ({ number: at + 1, json }))
    .filter(({ json }) => json !== '');
}
