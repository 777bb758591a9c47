// TOML files checked against a schema. Whatever is wrong is told by the key's name, with what belongs there.

import { readFile } from 'node:fs/promises';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { reasonOf } from './local-errors.ts';
import { closest } from './suggest.ts';

/** What a key expects, for messages and documentation. */
export interface FieldNote {
  /** Completes "must be …". */
  readonly expects: string;
  /** A value as it stands in TOML. */
  readonly example: string;
  /** The value never appears in a message. */
  readonly isSecret?: boolean;
}

/** Marks a leaf of a schema with what it expects. */
export function field<Schema extends z.ZodType>(schema: Schema, note: FieldNote): Schema {
  return schema.meta({ ...note });
}

function unwrap(schema: unknown): unknown {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodPrefault) {
    inner = inner.unwrap();
  }
  return inner;
}

function noteOf(schema: unknown): FieldNote | undefined {
  if (!(schema instanceof z.ZodType)) return undefined;
  const meta = schema.meta();
  const { expects, example, isSecret } = meta ?? {};
  if (typeof expects !== 'string' || typeof example !== 'string') return undefined;
  return {
    expects,
    example,
    ...(isSecret === true ? { isSecret } : {}),
  };
}

/** Every key of a schema outside lists, dotted and in order. */
export function keysOf(schema: z.ZodType, path: readonly string[] = []): string[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([key, value]) =>
      value instanceof z.ZodType ? keysOf(value, [...path, key]) : [],
    );
  }
  return [path.join('.')];
}

function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): unknown {
  let here: unknown = unwrap(schema);
  for (const key of path) {
    if (here instanceof z.ZodObject && typeof key === 'string') here = unwrap(here.shape[key]);
    else if (here instanceof z.ZodArray) here = unwrap(here.element);
    else return undefined;
  }
  return here;
}

/** Text from outside the file as the schema wants it: a number where a number belongs and the text is one. */
export function valueOfText(schema: z.ZodType, path: readonly string[], text: string): unknown {
  const isNumber = schemaAt(schema, path) instanceof z.ZodNumber;
  return isNumber && /^\d{1,15}$/.test(text) ? Number(text) : text;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let here = value;
  for (const key of path) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = Reflect.get(here, key);
  }
  return here;
}

/** "servers[2].port": lists are counted from 1, as people do. */
function nameOf(path: readonly PropertyKey[]): string {
  return path
    .map((key, at) =>
      typeof key === 'number' ? `[${key + 1}]` : `${at > 0 ? '.' : ''}${String(key)}`,
    )
    .join('');
}

function show(value: unknown): string {
  if (typeof value === 'string') {
    return value.length > 40 ? `"${value.slice(0, 37)}..."` : `"${value}"`;
  }
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a table';
  return String(value);
}

export interface Source {
  /** The file, as the user named it. */
  readonly file: string;
  /** Keys that came from elsewhere: dotted path to the name of the variable or flag. */
  readonly origins?: ReadonlyMap<string, string>;
}

function unknownKey(
  schema: z.ZodType,
  issue: z.core.$ZodIssueUnrecognizedKeys,
  source: Source,
): HoldfastError {
  const key = issue.keys[0] ?? '';
  const parent = schemaAt(schema, issue.path);
  const known = parent instanceof z.ZodObject ? Object.keys(parent.shape) : [];
  const guess = closest(key, known);
  const where = issue.path.length === 0 ? '' : ` in ${nameOf(issue.path)}`;
  return new HoldfastError(
    'bad-configuration',
    `${source.file} has an unknown key "${key}"${where}`,
    {
      cure:
        guess === undefined
          ? `Remove it. Keys known here: ${known.join(', ')}.`
          : `Did you mean "${guess}"? Otherwise remove it.`,
      details: { file: source.file, key: nameOf([...issue.path, key]) },
    },
  );
}

function badValue(
  schema: z.ZodType,
  value: unknown,
  issue: z.core.$ZodIssue,
  source: Source,
): HoldfastError {
  const name = nameOf(issue.path);
  const note = noteOf(schemaAt(schema, issue.path));
  const found = valueAt(value, issue.path);
  const origin = source.origins?.get(name);
  const expects = note?.expects ?? (Array.isArray(found) ? 'a list as described' : 'a table');
  const isShown = found !== undefined && note?.isSecret !== true;
  const key = String(issue.path.at(-1) ?? '');
  const custom = issue.code === 'custom' && note === undefined ? issue.message : undefined;
  const problem =
    custom ??
    (found === undefined
      ? `is missing; it must be ${expects}`
      : `must be ${expects}${isShown ? `, not ${show(found)}` : ''}`);
  const place = origin ?? source.file;
  return new HoldfastError(
    'bad-configuration',
    origin === undefined ? `${source.file}: ${name} ${problem}` : `${origin} ${problem}`,
    {
      cure:
        origin !== undefined
          ? `Correct ${origin}, or leave it out to use the file's ${name}.`
          : note === undefined
            ? `Correct ${name} in ${place}.`
            : `Write in ${place}, for example: ${key} = ${note.example}`,
      details: { file: source.file, key: name },
    },
  );
}

/** The value as the schema describes it. @throws HoldfastError `bad-configuration` naming the first key that is wrong. */
export function checkAgainst<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  source: Source,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  const unknown = issues.find((issue) => issue.code === 'unrecognized_keys');
  if (unknown !== undefined) throw unknownKey(schema, unknown, source);
  const [first] = issues;
  if (first === undefined) {
    throw new HoldfastError('bad-configuration', `${source.file} is not as expected`);
  }
  throw badValue(schema, value, first, source);
}

/** @throws HoldfastError `bad-configuration` with line and column; the text itself may hold secrets and is not shown. */
export function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    const place = error instanceof TomlError ? ` (line ${error.line}, column ${error.column})` : '';
    const reason =
      error instanceof Error
        ? error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '')
        : 'unreadable';
    throw new HoldfastError('bad-configuration', `${file} is not valid TOML: ${reason}${place}`, {
      cure: `Correct that place in ${file}.`,
      details: { file },
    });
  }
}

/**
 * @param code `usage` for a file that an argument of the command names, as with all commands.
 * @throws HoldfastError `bad-configuration` or `code` when the file is missing or unreadable.
 */
export async function readTextFile(
  file: string,
  cure: string,
  code: 'bad-configuration' | 'usage' = 'bad-configuration',
): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new HoldfastError(code, `cannot read ${file}: ${reasonOf(error)}`, {
      cure,
      details: { file },
      cause: error,
    });
  }
}
