// evidence: checks what a replica has kept of others' provable faults, offline.

import { resolve } from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import { checkEvidenceFile } from '../../server/replication/evidence-file.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { Printer, table } from '../output.ts';

export function evidence(context: Context, options: GlobalOptions, path: string): void {
  const printer = new Printer(context, options);
  const { file, records, badLines } = checkEvidenceFile(resolve(context.folder, path));
  if (records.length === 0 && badLines.length > 0) throw noEvidenceFile(file, badLines);
  const rows = records.map(({ line, code, accused, instance, isProved }) => [
    String(line),
    isProved ? 'proved' : 'not proved',
    code,
    accused,
    instance.slice(0, 16),
  ]);
  const words =
    records.length === 0
      ? 'There is no evidence.'
      : table(['line', 'verdict', 'what', 'accused key', 'group'], rows);
  printer.answer({ file, records, badLines }, words);
  const failed = records.filter(({ isProved }) => !isProved).map(({ line }) => line);
  const faults = [
    ...(failed.length > 0 ? [`not proved: line ${failed.join(', ')} of ${file}`] : []),
    ...(badLines.length > 0 ? [`no record: line ${badLines.join(', ')} of ${file}`] : []),
  ];
  if (faults.length === 0) return;
  throw new HoldfastError(
    'verification-failed',
    `${faults.join('; ')}. What stands there accuses nobody.`,
    {
      cure: 'Check that the file is as the replica wrote it; a line that was cut short takes none of the others with it.',
      details: { file, failed, badLines },
    },
  );
}

function noEvidenceFile(file: string, badLines: readonly number[]): HoldfastError {
  const lines =
    badLines.length === 1
      ? 'its only line is no record'
      : `none of its ${badLines.length} lines is a record`;
  return new HoldfastError(
    'verification-failed',
    `${file} is no evidence file: ${lines}. It accuses nobody, and does not say that nobody was caught.`,
    {
      cure: 'Name the data folder of a replica, or evidence.jsonl in it; if it is that one, look for an older copy: it was damaged since it was written.',
      details: { file, badLines },
    },
  );
}
