// Provable faults on disk: one line of JSON for each, with all that a third party needs to check it.

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { fromHex, toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Evidence, ReplicaGroup } from '../../replication/contract.ts';
import { verifyEvidence } from '../../replication/pbft/index.ts';

/** Records that one file takes: a member that keeps on proving its faults must not fill the disk. */
const recordsMax = 1000;

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

/** Appends evidence to a file, as long as it is small. */
export class EvidenceFile {
  readonly #path: string;
  readonly #group: ReplicaGroup;
  #records: number;

  constructor(path: string, group: ReplicaGroup) {
    this.#path = path;
    this.#group = group;
    this.#records = existsSync(path) ? linesOf(readFileSync(path, 'utf8')).length : 0;
  }

  append({ code, accused, proof, genesis }: Evidence): void {
    if (this.#records >= recordsMax) return;
    this.#records += 1;
    const { instance, members, faults } = this.#group;
    const record = {
      holdfast: 'evidence',
      code,
      accused: toHex(accused),
      proof: toHex(proof),
      group: { instance: toHex(instance), members: members.map(toHex), faults },
      genesis: toHex(genesis),
    };
    appendFileSync(this.#path, `${JSON.stringify(record)}\n`, { mode: 0o600 });
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

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

function parsed(path: string, line: number, text: string): z.infer<typeof recordSchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const result = recordSchema.safeParse(value);
  if (result.success) return result.data;
  throw new HoldfastError('bad-configuration', `${path}, line ${line}: not a record of evidence`, {
    cure: 'The file is cut short or was changed; records before this line can be checked alone.',
  });
}
