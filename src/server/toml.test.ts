import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { closest } from './suggest.ts';
import { checkAgainst, field, keysOf, parseToml } from './toml.ts';

const port = field(z.int().min(1), { expects: 'a port', example: '7101' });
const schema = z.strictObject({
  port,
  secret: field(z.string().regex(/^k/), {
    expects: 'a key',
    example: '"k"',
    isSecret: true,
  }).optional(),
  inner: z.strictObject({ size: port.prefault(5) }).prefault({}),
  list: z.array(z.strictObject({ port })).optional(),
});

function failureOf(work: () => unknown): HoldfastError {
  try {
    work();
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  return expect.fail('accepted');
}

const check = (value: unknown, origins?: ReadonlyMap<string, string>) => () =>
  checkAgainst(schema, value, { file: 'f.toml', ...(origins === undefined ? {} : { origins }) });

describe('checking against a schema', () => {
  it('gives the value with defaults', () => {
    expect(check({ port: 1 })()).toEqual({ port: 1, inner: { size: 5 } });
  });

  it.each([
    [{ port: 'x' }, 'f.toml: port must be a port, not "x"'],
    [{ port: 1.5 }, 'f.toml: port must be a port, not 1.5'],
    [{ port: 0 }, 'f.toml: port must be a port, not 0'],
    [{}, 'f.toml: port is missing; it must be a port'],
    [{ port: 1, inner: 5 }, 'f.toml: inner must be a table, not 5'],
    [{ port: 1, inner: { size: [] } }, 'f.toml: inner.size must be a port, not a list'],
    [
      { port: 1, list: [{ port: 1 }, { port: 'x' }] },
      'f.toml: list[2].port must be a port, not "x"',
    ],
    [{ port: 1, prot: 1 }, 'f.toml has an unknown key "prot"'],
    [{ port: 1, inner: { sise: 1 } }, 'f.toml has an unknown key "sise" in inner'],
  ])('%j: %s', (value, message) => {
    const error = failureOf(check(value));
    expect(error.message).toBe(message);
    expect(error.code).toBe('bad-configuration');
  });

  it('says what could stand there', () => {
    expect(failureOf(check({ port: 'x' })).cure).toBe('Write in f.toml, for example: port = 7101');
  });

  it('suggests the key that was meant', () => {
    expect(failureOf(check({ port: 1, prot: 1 })).cure).toContain('Did you mean "port"?');
    expect(failureOf(check({ port: 1, weather: 1 })).cure).toContain('Keys known here: port,');
  });

  it('names the variable or flag that a value came from', () => {
    const error = failureOf(check({ port: 'x' }, new Map([['port', 'HOLDFAST_PORT']])));
    expect(error.message).toBe('HOLDFAST_PORT must be a port, not "x"');
    expect(error.cure).toContain('HOLDFAST_PORT');
  });

  it('never repeats a secret', () => {
    const error = failureOf(check({ port: 1, secret: 'hunter2' }));
    expect(error.message).toBe('f.toml: secret must be a key');
    expect(JSON.stringify([error.cure, error.details])).not.toContain('hunter2');
  });

  it('lists its keys', () => {
    expect(keysOf(schema)).toEqual(['port', 'secret', 'inner.size', 'list']);
  });
});

describe('text that is not TOML', () => {
  it('is told by its place and without its content', () => {
    const error = failureOf(() => parseToml('a = 1\nkey = "hunter2', 'f.toml'));
    expect(error.message).toMatch(/^f\.toml is not valid TOML: .* \(line 2, column \d+\)$/);
    expect(error.message).not.toContain('hunter2');
  });
});

describe('the nearest word', () => {
  it.each([
    ['prot', 'port'],
    ['listen-port', 'listen_port'],
    ['Port', 'port'],
    ['nonsense', undefined],
  ])('%s: %s', (word, nearest) => {
    expect(closest(word, ['host', 'port', 'listen_port'])).toBe(nearest);
  });
});
