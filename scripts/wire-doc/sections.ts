// The parts of docs/WIRE.md that follow from the code, as Markdown.

import { readFileSync } from 'node:fs';
import {
  ByteListType,
  ByteVectorType,
  ContainerType,
  ListBasicType,
  ListCompositeType,
  type Type,
  UintNumberType,
} from '@chainsafe/ssz';
import { AssertionFailed } from '../../src/base/assert.ts';
import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { signaturePurposes } from '../../src/crypto/domains.ts';
import { hashTags } from '../../src/crypto/hash.ts';
import { frameHeaderSizeBytes } from '../../src/wire/frame.ts';
import { limits } from '../../src/wire/limits.ts';
import * as pbft from '../../src/wire/pbft.ts';
import {
  encodeMessage,
  type MessageName,
  messageNames,
  payloadSizeBytesMax,
  type RefusalCode,
  refusalCodes,
  registry,
} from '../../src/wire/registry.ts';
import * as replication from '../../src/wire/replication.ts';
import {
  encodeReplicationMessage,
  type ReplicationMessageName,
  type ReplicationMessageValue,
  replicationMessageNames,
  replicationPayloadSizeBytesMax,
  replicationRegistry,
} from '../../src/wire/replication-registry.ts';
import * as types from '../../src/wire/types.ts';
import * as vr from '../../src/wire/vr.ts';
import { encodeNaively, piecesOf, shapeOf, type Value } from '../../testing/wire/ssz.ts';
import { constants, examples } from './example-messages.ts';
import { fields, hashedParts, refusals, signedStatements, traffic } from './notes.ts';
import { replicationConstants, replicationExamples } from './replication-examples.ts';
import { replicationFields, replicationTraffic } from './replication-notes.ts';

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

function replicationRegistryTable(): string {
  const rows = replicationMessageNames.map((name) => {
    const { number } = replicationRegistry[name];
    const { from, to, answers } = replicationTraffic[name];
    const bound = `${replicationPayloadSizeBytesMax(number)}`;
    return [`${number}`, `\`${name}\``, from, to, answers, bound];
  });
  const head = ['number', 'message', 'sent by', 'to', 'answer', 'payload bytes, at most'];
  return table(head, rows);
}

// ---- Containers ----

type Container = ContainerType<Record<string, never>>;
type Named = readonly [string, Container];

/** Containers by the name under which they are declared. */
function declaredIn(module: { readonly [name: string]: unknown }): Named[] {
  return Object.entries<unknown>(module).flatMap(([name, type]) =>
    type instanceof ContainerType ? [[name, type] as const] : [],
  );
}

const containers: readonly Named[] = declaredIn(types);
const replicationContainers: readonly Named[] = [
  ...declaredIn(replication),
  ...declaredIn(pbft),
  ...declaredIn(vr),
].filter(([, container]) => isSent(container));

/** Whether a container stands in a message: others are of journals and evidence. */
function isSent(container: unknown): boolean {
  const within = (type: unknown): boolean => {
    if (type === container) return true;
    if (type instanceof ListCompositeType) return within(type.elementType);
    return type instanceof ContainerType && Object.values<unknown>(type.fields).some(within);
  };
  // An entry of a log travels as its bytes.
  if (container === vr.VrEntry) return true;
  return replicationMessageNames.some((name) => within(replicationRegistry[name].type));
}

function typeText(type: unknown): string {
  if (type instanceof UintNumberType) return `uint${8 * type.byteLength}`;
  if (type instanceof ByteVectorType) return `bytes[${type.lengthBytes}]`;
  if (type instanceof ByteListType) return `byte list, ≤ ${type.limitBytes}`;
  if (type instanceof ListCompositeType || type instanceof ListBasicType) {
    const element = typeText(type.elementType);
    return `list of ≤ ${type.limit} × ${element}`;
  }
  const all = [...containers, ...replicationContainers];
  const name = all.find(([, container]) => container === type)?.[0];
  if (name === undefined) throw new AssertionFailed('a container without a name');
  return `\`${name}\``;
}

type Notes = Readonly<Record<string, string>>;

function noteOf(notes: Notes, container: string, field: string): string {
  const note = notes[`${container}.${field}`] ?? notes[field];
  if (note === undefined) throw new AssertionFailed(`no note for ${container}.${field}`);
  return note;
}

/** @param numbersOf message numbers of a container: none for one that only stands in others. */
function containerTables(
  all: readonly Named[],
  notes: Notes,
  numbersOf: (container: unknown) => readonly number[],
): string {
  const numberOf = (container: unknown): number => numbersOf(container)[0] ?? 0;
  // Namespaces list their names in an order of their own, so equal numbers go by name.
  const sorted = [...all].sort(
    ([nameA, a], [nameB, b]) => numberOf(a) - numberOf(b) || (nameA < nameB ? -1 : 1),
  );
  return sorted
    .map(([name, container]) => {
      const declared: Record<string, unknown> = container.fields;
      const rows = Object.entries(declared).map(([field, type]) => [
        `\`${field}\``,
        typeText(type),
        noteOf(notes, name, field),
      ]);
      const numbers = numbersOf(container);
      const title = numbers.length === 0 ? name : `${name} (${numbers.join(', ')})`;
      const size =
        container.fixedSize === null
          ? `${container.minSize} … ${container.maxSize}`
          : `${container.fixedSize}`;
      return `#### ${title}\n\n${size} bytes.\n\n${table(['field', 'type', 'meaning'], rows)}`;
    })
    .join('\n\n');
}

function storageContainers(): string {
  return containerTables(containers, fields, (container) =>
    messageNames.flatMap((name) =>
      registry[name].type === container ? [registry[name].number] : [],
    ),
  );
}

function containersOfReplication(): string {
  return containerTables(replicationContainers, replicationFields, (container) =>
    replicationMessageNames.flatMap((name) => {
      const { number, type } = replicationRegistry[name];
      const isIt: boolean = (type as unknown) === container;
      return isIt ? [number] : [];
    }),
  );
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
  return exampleText(name, number, type, examples[name], encodeMessage(name, examples[name]));
}

function replicationExample(name: ReplicationMessageName): string {
  const { number, type } = replicationRegistry[name];
  const value: ReplicationMessageValue<ReplicationMessageName> = replicationExamples[name];
  return exampleText(name, number, type, value, encodeReplicationMessage(name, value));
}

function exampleText(
  name: string,
  number: number,
  type: Type<unknown>,
  value: Value,
  payload: Bytes,
): string {
  const shape = shapeOf(type);
  const pieces = piecesOf(shape, value);
  if (toHex(encodeNaively(shape, value)) !== toHex(payload)) {
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

function constantsTable(values: ReadonlyArray<readonly [string, Bytes]>): string {
  return table(
    ['value', 'bytes'],
    values.map(([name, bytes]) => [name, `\`${toHex(bytes)}\``]),
  );
}

/** Generated parts by the name in their markers. */
function sections(): ReadonlyMap<string, string> {
  return new Map([
    ['registry', registryTable()],
    ['containers', storageContainers()],
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
    ['constants', constantsTable(constants)],
    ['examples', messageNames.map(example).join('\n\n')],
    ['replication-registry', replicationRegistryTable()],
    ['replication-containers', containersOfReplication()],
    ['replication-constants', constantsTable(replicationConstants)],
    ['replication-examples', replicationMessageNames.map(replicationExample).join('\n\n')],
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
