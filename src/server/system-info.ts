// What files say about the system itself: its id, name and authority, and certificates as text.

import { z } from 'zod';
import { assert } from '../base/assert.ts';
import { type Bytes, fromHex, textOf, toHex } from '../base/bytes.ts';
import { serverId, Trust } from '../configuration/certificates.ts';
import { ed25519 } from '../crypto/signature.ts';
import { limits } from '../wire/limits.ts';
import type * as types from '../wire/types.ts';
import { field } from './toml.ts';

export interface SystemInfo {
  /** 32 bytes. */
  readonly id: Bytes;
  readonly name: string;
  /** The authority's Ed25519 public key, 32 bytes. */
  readonly authorityKey: Bytes;
}

/** Names of systems, servers, clients and keys: they become file names and parts of messages. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Characters, as in `namePattern`. */
export const nameLengthMax = 64;

export const nameExpects = `a name of at most ${nameLengthMax} letters, digits, dots, underscores and hyphens, beginning with a letter or digit`;

export const nameField = (example: string) =>
  field(z.string().regex(namePattern), { expects: nameExpects, example: `"${example}"` });

/** A 32-byte value in hexadecimal. */
export const hex32Field = (what: string) =>
  field(
    z
      .string()
      .regex(/^[0-9a-fA-F]{64}$/)
      .transform((text) => {
        const bytes = fromHex(text);
        assert(bytes !== undefined, 'the pattern admits only hexadecimal');
        return bytes;
      }),
    { expects: `${what} in 64 hexadecimal digits`, example: `"${'0123456789abcdef'.repeat(4)}"` },
  );

interface Codec<Value> {
  deserialize(bytes: Uint8Array): Value;
  serialize(value: Value): Uint8Array;
}

/** A message of the wire format in base64, checked to be canonical. */
export function encodedField<Value>(
  codec: Codec<Value>,
  expects: string,
): z.ZodType<Value, string> {
  return field(
    z.string().transform((text, context): Value => {
      try {
        const bytes = new Uint8Array(Buffer.from(text, 'base64'));
        const value = codec.deserialize(bytes);
        if (encoded(codec, value) === text) return value;
      } catch {
        // Told below, like any other text that is not what it should be.
      }
      context.addIssue({ code: 'custom', message: 'unreadable' });
      return z.NEVER;
    }),
    { expects, example: '"…"' },
  );
}

export function encoded<Value>(codec: Codec<Value>, value: Value): string {
  return Buffer.from(codec.serialize(value)).toString('base64');
}

const hostPattern = /^[0-9A-Za-z.:_-]+$/;

/** A host as it may stand in a certificate. */
export function isHost(text: string): boolean {
  return hostPattern.test(text) && text.length <= limits.hostNameBytesMax;
}

export const hostField = (example: string) =>
  field(z.string().refine(isHost), {
    expects: 'a host name or an IP address',
    example: `"${example}"`,
  });

export const portField = (example: number) =>
  field(z.int().min(1).max(65535), {
    expects: 'a port number from 1 to 65535',
    example: String(example),
  });

export const systemSchema = z.strictObject({
  id: hex32Field("the system's id"),
  name: nameField('home'),
  authority_key: hex32Field("the authority's public key"),
});

export function systemOf(parsed: z.output<typeof systemSchema>): SystemInfo {
  return { id: parsed.id, name: parsed.name, authorityKey: parsed.authority_key };
}

/** As it stands in a file under [system]. */
export function systemTable(system: SystemInfo): z.input<typeof systemSchema> {
  return {
    id: toHex(system.id),
    name: system.name,
    authority_key: toHex(system.authorityKey),
  };
}

export function trustOf(system: SystemInfo): Trust {
  return new Trust(system.id, system.authorityKey, ed25519);
}

/** A server's id in hexadecimal. Its first digits name it wherever the system itself speaks of it. */
export function serverIdText(statement: types.ServerStatement): string {
  return toHex(serverId(statement));
}

/** As many digits of an id as people are shown. */
export const shortIdLength = 8;

/** Host and port for people and URLs: IPv6 addresses in brackets. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Text of a certificate's byte field; certificates are checked to hold text before they are used. */
export function certifiedText(bytes: Bytes): string {
  return textOf(bytes) ?? '';
}
