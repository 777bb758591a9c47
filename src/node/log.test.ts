import { expect, test } from 'vitest';
import { createLog, type LogLevel } from './log.ts';

function lines(level: LogLevel, write: (log: ReturnType<typeof createLog>) => void): unknown[] {
  const written: unknown[] = [];
  const stream = { write: (line: string) => void written.push(JSON.parse(line)) };
  write(createLog({ level, fields: { server: 's1' }, stream }));
  return written;
}

test('a line is JSON with time, level, event and fields', () => {
  const [line] = lines('info', (log) =>
    log.info('server.started', { port: 7, ok: true, why: undefined }),
  );
  expect(line).toEqual({
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    level: 'info',
    event: 'server.started',
    server: 's1',
    port: 7,
    ok: true,
  });
});

test('lower levels than asked for are not written', () => {
  const all = (log: ReturnType<typeof createLog>): void => {
    log.debug('d');
    log.info('i');
    log.warn('w');
    log.error('e');
  };
  expect(lines('debug', all)).toHaveLength(4);
  expect(lines('warn', all)).toMatchObject([{ event: 'w' }, { event: 'e' }]);
  expect(lines('silent', all)).toEqual([]);
});

test('secrets that slip in are blotted out, and what a peer wrote is cut', () => {
  const [line] = lines('info', (log) =>
    log.info('x', { identitySeed: 'abc', privateKeyPem: 'abc', why: 'y'.repeat(100_000) }),
  );
  expect(line).toMatchObject({ identitySeed: '[redacted]', privateKeyPem: '[redacted]' });
  expect(JSON.stringify(line).length).toBeLessThan(1000);
});

test('a line from outside cannot start a line of its own', () => {
  expect(lines('info', (log) => log.info('x', { why: 'a\n{"level":"error"}' }))).toHaveLength(1);
});
