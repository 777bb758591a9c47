// Which of our files a file is, so that one given in another's place is told apart before anything else is said of it.

import { HoldfastError } from '../base/errors.ts';
import { parseToml } from './toml.ts';

export type FileKind =
  | 'server request'
  | 'client request'
  | 'server admission'
  | 'client admission'
  | 'client file'
  | 'server settings file';

const keyFile = /^holdfast-([a-z]+)-key:[0-9a-f]+\s*$/m;

/** What a file says that it is; undefined for a kind nobody knows, empty for a file of another sort. */
function kindOf(value: Readonly<Record<string, unknown>>): string | undefined {
  const { kind } = value;
  if (typeof kind === 'string') {
    return kind.startsWith('holdfast-')
      ? kind.replace('holdfast-', '').replaceAll('-', ' ')
      : undefined;
  }
  if ('identity' in value) return 'client file';
  if ('listen' in value || 'admin' in value) return 'server settings file';
  if ('faults' in value && 'salt' in value) return "description of an authority's system";
  return kind === undefined ? '' : undefined;
}

const articled = (noun: string): string => (/^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`);

export interface Wanted {
  readonly kind: FileKind;
  /** Keys that make up such a file: one that has some of them is taken for a faulty one, not for another file. */
  readonly keys: readonly string[];
  /** Which file to give. */
  readonly cure: string;
}

/**
 * The file's TOML, to be checked against its schema.
 * @throws HoldfastError `bad-configuration` for another kind of file, or text that is not TOML; never shows the text.
 */
export function parseKind(text: string, file: string, wanted: Wanted): Record<string, unknown> {
  const { kind, keys, cure } = wanted;
  const another = (found: string): HoldfastError => {
    const problem = found === '' ? 'is not' : `is ${articled(found)}, not`;
    return new HoldfastError('bad-configuration', `${file} ${problem} ${articled(kind)}`, {
      cure,
      details: { file },
    });
  };
  const key = keyFile.exec(text);
  if (key !== null) throw another(`${key[1]}'s key file`);
  let value: Record<string, unknown>;
  try {
    value = parseToml(text, file);
  } catch (error) {
    // In what is nowhere near such a file there is no place to correct.
    throw keys.some((each) => text.includes(each)) ? error : another('');
  }
  const found = kindOf(value);
  const isFaulty = Object.keys(value).length === 0 || keys.some((each) => each in value);
  if (found !== undefined && (found === '' ? !isFaulty : found !== kind)) throw another(found);
  return value;
}
