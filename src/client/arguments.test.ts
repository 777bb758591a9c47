import { describe, expect, it } from 'vitest';
import {
  contentIdOf,
  requireBytes,
  requirePiece,
  requireTimeoutMs,
  requireWritable,
} from './arguments.ts';

const usage = (argument: string) =>
  expect.objectContaining({ code: 'usage', message: expect.stringContaining(argument) });

describe('arguments of applications', () => {
  it.each([Number.NaN, -1, 0, Number.POSITIVE_INFINITY, '30', null])('timeoutMs %j', (value) => {
    expect(() => requireTimeoutMs(value)).toThrow(usage('timeoutMs'));
  });

  it.each(['text', undefined, null, 7, [1], {}])('bytes %j', (value) => {
    expect(() => requireBytes('source', value)).toThrow(usage('source must be a Uint8Array'));
    expect(() => requirePiece(value)).toThrow(usage('the source gave'));
  });

  it('names and addresses', () => {
    expect(() => contentIdOf(undefined as unknown as string)).toThrow(usage('address must be'));
    expect(() => requireWritable(7 as unknown as string)).toThrow(usage('name must be a string'));
    expect(() => requireWritable('')).toThrow(usage('a name has'));
  });

  it('passes what is right', async () => {
    requireTimeoutMs(0.5);
    requireBytes('source', new Uint8Array(0));
    requireBytes('source', (async function* () {})());
    requireWritable('n');
  });
});
