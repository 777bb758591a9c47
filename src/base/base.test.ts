import { describe, expect, it } from 'vitest';
import { AssertionFailed, assert, unreachable } from './assert.ts';
import { counterMax, epoch, isCounter } from './brand.ts';
import { exitCodes, HoldfastError } from './errors.ts';

describe('assertions', () => {
  it('stop on false only', () => {
    assert(true, 'fine');
    expect(() => assert(false, 'broken')).toThrow(new AssertionFailed('broken'));
  });

  it('mark what cannot be reached', () => {
    expect(() => unreachable('x' as never)).toThrow(AssertionFailed);
  });
});

describe('counters', () => {
  it.each([0, 1, 2 ** 32, counterMax])('%d is one', (value) => {
    expect(isCounter(value)).toBe(true);
    expect(epoch(value)).toBe(value);
  });

  it.each([-1, 0.5, counterMax + 1, Number.NaN, Number.POSITIVE_INFINITY])(
    '%d is none',
    (value) => {
      expect(isCounter(value)).toBe(false);
      expect(() => epoch(value)).toThrow(RangeError);
    },
  );
});

describe('errors', () => {
  it('carry code, exit code, cure, details and cause', () => {
    const cause = new RangeError('inner');
    const error = new HoldfastError('port-in-use', 'taken', {
      cure: 'wait',
      details: { port: 1 },
      cause,
    });
    expect(error).toMatchObject({
      code: 'port-in-use',
      exitCode: exitCodes['port-in-use'],
      cure: 'wait',
      details: { port: 1 },
      cause,
    });
    expect(new HoldfastError('internal', 'x')).toMatchObject({ cure: undefined, details: {} });
    expect('cause' in new HoldfastError('internal', 'x')).toBe(false);
  });

  it('have exit codes that a shell can tell apart', () => {
    const codes = Object.values(exitCodes);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes.every((code) => code > 0 && code < 256)).toBe(true);
  });
});
