// Provable faults on disk: one line of JSON for each, with all that a third party needs to check it.

import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { fromHex, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Evidence, ReplicaGroup } from '../../replication/contract.ts';
import { verifyEvidence } from '../../replication/pbft/index.ts';

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
  readonly #path: string;
  readonly #group: ReplicaGroup;
  readonly #members: ReadonlySet<string>;
  /** Key and kind of what is on record. */
  readonly #known = new Set<string>();
  #sizeBytes = 0;
  #clientRecords = 0;

  /** Never throws: a file that cannot be read takes nothing more. */
  constructor(path: string, group: ReplicaGroup) {
    this.#path = path;
    this.#group = group;
    this.#members = new Set(group.members.map(toHex));
    if (!existsSync(path)) return;
    try {
      this.#sizeBytes = statSync(path).size;
      if (this.#sizeBytes > fileSizeBytesMax) return;
      for (const line of linesOf(readFileSync(path, 'utf8'))) {
        const record = recordSchema.safeParse(parsedJson(line));
        if (record.success) this.#note(toHex(record.data.accused), record.data.code);
      }
    } catch {
      this.#sizeBytes = fileSizeBytesMax;
    }
  }

  /** @returns whether it was written: false for what is on record already, or has no room. Never throws. */
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
    const line = `${JSON.stringify(record)}\n`;
    if (this.#sizeBytes + line.length > fileSizeBytesMax) return false;
    try {
      appendFileSync(this.#path, line, { mode: 0o600 });
    } catch {
      // Evidence is worth less than the replica: a full disk costs the record, not the service.
      return false;
    }
    this.#sizeBytes += line.length;
    this.#note(key, code);
    return true;
  }

  #note(accused: string, code: string): void {
    this.#known.add(`${accused} ${code}`);
    if (!this.#members.has(accused)) this.#clientRecords += 1;
  }
}

export interface CheckedEvidence {
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

/**
 * Checks every record of an evidence file, with nothing but what stands in it.
 * @throws HoldfastError `bad-configuration` when the file cannot be read or a line is no record.
 */
export function checkEvidenceFile(path: string): CheckedEvidence[] {
  return linesOf(readEvidence(path)).map((line, at) => {
    const record = parsed(path, at + 1, line);
    const { code, accused, proof, group, genesis } = record;
    const verdict = verifyEvidence(proof, group, ed25519, genesis);
    return {
      line: at + 1,
      code,
      accused: toHex(accused),
      instance: toHex(group.instance),
      isProved: verdict?.code === code && toHex(verdict.accused) === toHex(accused),
    };
  });
}

function readEvidence(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new HoldfastError('bad-configuration', `cannot read the evidence file ${path}`, {
      cure: 'Name the file evidence.jsonl that a replica has written beside its data.',
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

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function parsed(path: string, line: number, text: string): z.infer<typeof recordSchema> {
  const result = recordSchema.safeParse(parsedJson(text));
  if (result.success) return result.data;
  throw new HoldfastError('bad-configuration', `${path}, line ${line}: not a record of evidence`, {
    cure: 'The file is cut short or was changed; records before this line can be checked alone.',
  });
}
