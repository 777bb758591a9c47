// The parts of docs/WIRE.md that follow from the code, as Markdown.

import { readFileSync } from 'node:fs';
import {
  ByteListType,
  ByteVectorType,
  ContainerType,
  ListCompositeType,
  UintNumberType,
} from '@chainsafe/ssz';
import { AssertionFailed } from '../../src/base/assert.ts';
import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { signaturePurposes } from '../../src/crypto/domains.ts';
import { hashTags } from '../../src/crypto/hash.ts';
import { frameHeaderSizeBytes } from '../../src/wire/frame.ts';
import { limits } from '../../src/wire/limits.ts';
import {
  encodeMessage,
  type MessageName,
  messageNames,
  payloadSizeBytesMax,
  type RefusalCode,
  refusalCodes,
  registry,
} from '../../src/wire/registry.ts';
import * as types from '../../src/wire/types.ts';
import { encodeNaively, piecesOf, shapeOf } from '../../testing/wire/ssz.ts';
import { constants, examples } from './example-messages.ts';
import { fields, hashedParts, refusals, signedStatements, traffic } from './notes.ts';

function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function registryTable(): string {
  const rows = messageNames.map((name) => {
    const { number } = registry[name];
    const { from, answers } = traffic[name];
    return [`${number}`, `\`${name}\``, from, answers, `${payloadSizeBytesMax(number)}`];
  });
  return table(['number', 'message', 'sent by', 'answer', 'payload bytes, at most'], rows);
}

// ---- Containers ----

/** Containers by the name under which they are declared. */
const containers: ReadonlyArray<readonly [string, ContainerType<Record<string, never>>]> =
  Object.entries<unknown>(types).flatMap(([name, type]) =>
    type instanceof ContainerType ? [[name, type] as const] : [],
  );

function typeText(type: unknown): string {
  if (type instanceof UintNumberType) return `uint${8 * type.byteLength}`;
  if (type instanceof ByteVectorType) return `bytes[${type.lengthBytes}]`;
  if (type instanceof ByteListType) return `byte list, ≤ ${type.limitBytes}`;
  if (type instanceof ListCompositeType) {
    const element = typeText(type.elementType);
    return `list of ≤ ${type.limit} × ${element}`;
  }
  const name = containers.find(([, container]) => container === type)?.[0];
  if (name === undefined) throw new AssertionFailed('a container without a name');
  return `\`${name}\``;
}

function noteOf(container: string, field: string): string {
  const note = fields[`${container}.${field}`] ?? fields[field];
  if (note === undefined) throw new AssertionFailed(`no note for ${container}.${field}`);
  return note;
}

function containerTables(): string {
  const numberOf = (container: unknown): number => {
    const message = messageNames.find((name) => registry[name].type === container);
    return message === undefined ? 0 : registry[message].number;
  };
  // Namespaces list their names in an order of their own, so equal numbers go by name.
  const sorted = [...containers].sort(
    ([nameA, a], [nameB, b]) => numberOf(a) - numberOf(b) || (nameA < nameB ? -1 : 1),
  );
  return sorted
    .map(([name, container]) => {
      const declared: Record<string, unknown> = container.fields;
      const rows = Object.entries(declared).map(([field, type]) => [
        `\`${field}\``,
        typeText(type),
        noteOf(name, field),
      ]);
      const number = numberOf(container);
      const title = number === 0 ? name : `${name} (${number})`;
      const size =
        container.fixedSize === null
          ? `${container.minSize} … ${container.maxSize}`
          : `${container.fixedSize}`;
      return `#### ${title}\n\n${size} bytes.\n\n${table(['field', 'type', 'meaning'], rows)}`;
    })
    .join('\n\n');
}

// ---- Limits ----

/** The comment above each limit says what it bounds; both are read from the one place where they stand. */
function limitsTable(): string {
  const source = readFileSync(new URL('../../src/wire/limits.ts', import.meta.url), 'utf8');
  const comments = new Map(
    [...source.matchAll(/\/\*\* ([^*]+) \*\/\n\s+(\w+):/g)].map(([, comment, name]) => [
      name,
      comment,
    ]),
  );
  const rows = Object.entries(limits).map(([name, value]) => [
    `\`${name}\``,
    `${value}`,
    comments.get(name) ?? '',
  ]);
  return table(['limit', 'value', 'bounds'], rows);
}

// ---- Examples ----

const bytesPerLine = 32;

/** The hexadecimal of one stretch; a long run of bytes is broken into lines. */
function hexLines(bytes: Bytes): string[] {
  const hex = toHex(bytes);
  const lines = hex.match(new RegExp(`.{1,${2 * bytesPerLine}}`, 'g'));
  return lines ?? ['(empty)'];
}

function example(name: MessageName): string {
  const { number, type } = registry[name];
  const payload = encodeMessage(name, examples[name]);
  const shape = shapeOf(type);
  const pieces = piecesOf(shape, examples[name]);
  if (toHex(encodeNaively(shape, examples[name])) !== toHex(payload)) {
    throw new AssertionFailed(`the two encoders differ about ${name}`);
  }
  const header = new Uint8Array(frameHeaderSizeBytes);
  const view = new DataView(header.buffer);
  view.setUint32(0, payload.length + 2, true);
  view.setUint16(4, number, true);
  const rows: [Bytes, string][] = [
    [header.subarray(0, 4), `frame length, ${payload.length + 2}`],
    [header.subarray(4), `type ${number}, ${name}`],
    ...pieces.map(({ path, what, bytes }): [Bytes, string] => [
      bytes,
      what === 'offset' ? `offset of ${path}` : path,
    ]),
  ];
  const width = Math.max(...rows.map(([, label]) => label.length));
  let position = 0;
  const lines = rows.flatMap(([bytes, label]) => {
    const at = position;
    position += bytes.length;
    return hexLines(bytes).map((hex, i) =>
      `${String(at + i * bytesPerLine).padStart(5)}  ${(i === 0 ? label : '').padEnd(width)}  ${hex}`.trimEnd(),
    );
  });
  return `#### ${name}\n\n\`\`\`text\n${lines.join('\n')}\n\`\`\``;
}

/** Generated parts by the name in their markers. */
function sections(): ReadonlyMap<string, string> {
  return new Map([
    ['registry', registryTable()],
    ['containers', containerTables()],
    [
      'hash-tags',
      table(
        ['tag', 'parts, and what the hash is'],
        hashTags.map((tag) => [`\`${tag}\``, hashedParts[tag]]),
      ),
    ],
    [
      'signatures',
      table(
        ['purpose', 'signed by', 'scope', 'body'],
        signaturePurposes.map((purpose) => {
          const { signer, scope, body } = signedStatements[purpose];
          return [`\`${purpose}\``, signer, scope, body];
        }),
      ),
    ],
    [
      'refusals',
      table(
        ['number', 'code', 'final', 'meaning'],
        (Object.keys(refusalCodes) as RefusalCode[]).map((code) => {
          const { number, final } = refusalCodes[code];
          return [`${number}`, `\`${code}\``, final ? 'yes' : 'no', refusals[code]];
        }),
      ),
    ],
    ['limits', limitsTable()],
    [
      'constants',
      table(
        ['value', 'bytes'],
        constants.map(([name, bytes]) => [name, `\`${toHex(bytes)}\``]),
      ),
    ],
    ['examples', messageNames.map(example).join('\n\n')],
  ]);
}

/** The document with everything between its markers written anew. */
export function regenerated(document: string): string {
  let result = document;
  for (const [name, text] of sections()) {
    const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`];
    const [from, to] = [result.indexOf(begin), result.indexOf(end)];
    if (from < 0 || to < from) throw new AssertionFailed(`docs/WIRE.md has no markers for ${name}`);
    result = `${result.slice(0, from + begin.length)}\n\n${text}\n\n${result.slice(to)}`;
  }
  return result;
}
