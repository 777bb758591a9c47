import { describe, expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import type { Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import {
  encodeReplicationMessage,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import { RequestVerifier, resultDigest } from './requests.ts';
import { group, peers, Stage, settled } from './test-client.ts';

describe('a client of a group', () => {
  it('makes itself known to all members before it asks anything', () => {
    expect(new Stage().greeting).toEqual([0, 1, 2, 3].map((member) => `${member} lastNumber`));
  });

  it('sends what is submitted in one turn to the primary under one signature', async () => {
    const stage = new Stage();
    await stage.submit('a', 'b', 'c');
    const sent = stage.taken();
    expect(sent.map(({ member }) => member)).toEqual([0, 0, 0]);
    let checks = 0;
    const verifier = new RequestVerifier(
      {
        signer: ed25519.signer,
        verify(...args) {
          checks += 1;
          return ed25519.verify(...args);
        },
      },
      group.instance,
    );
    for (const { message } of sent) {
      if (message.name !== 'submitRequest') expect.unreachable();
      expect(verifier.verify(message.value.request)).toBeDefined();
    }
    expect(checks).toBe(1);
  });

  it('believes enough equal replies, once, whatever else is said', async () => {
    const stage = new Stage();
    await stage.submit('a', 'b');
    await stage.reply(1, 1, 'lie');
    await stage.reply(1, 1, 'one');
    await stage.reply(2, 1, 'one', { instance: new Uint8Array(32) });
    await stage.reply(2, 1, 'one');
    expect(stage.outcomes).toEqual([]);
    await stage.reply(3, 1, 'one');
    await stage.reply(0, 1, 'one');
    expect(stage.outcomes).toEqual(['one']);
    await stage.reply(2, 2, '', { outcome: 1 });
    await stage.reply(3, 2, '', { outcome: 1 });
    expect(stage.outcomes).toEqual(['one', 'ended']);
  });

  it('takes a reply for good in the place of a tentative one', async () => {
    const stage = new Stage();
    await stage.submit('a');
    await stage.reply(0, 1, 'one', { kind: 1 });
    await stage.reply(1, 1, 'one', { kind: 1 });
    expect(stage.outcomes).toEqual([]);
    await stage.reply(0, 1, 'one', { view: 1 });
    await stage.reply(1, 1, 'one', { view: 1 });
    expect(stage.outcomes).toEqual(['one']);
    // It has learned who is primary now.
    stage.taken();
    await stage.submit('b');
    expect(stage.requests()).toEqual(['1:2']);
  });

  it('asks every member for the whole result when only digests came, or wrong bytes', async () => {
    const stage = new Stage();
    await stage.submit('a');
    stage.taken();
    await stage.reply(1, 1, 'one', { whole: false });
    const digest = resultDigest(0, utf8('one'));
    await stage.reply(2, 1, 'two', { digest });
    expect(stage.outcomes).toEqual([]);
    const asked = stage
      .taken()
      .map(({ member, message }) =>
        message.name === 'submitRequest' ? [member, message.value.fullReplier] : [],
      );
    expect(asked).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    await stage.reply(2, 1, 'two', { digest });
    await stage.reply(1, 1, 'one');
    expect(stage.outcomes).toEqual(['one']);
  });

  it('keeps a window of numbers in flight and the rest waiting', async () => {
    const stage = new Stage();
    const texts = Array.from({ length: limits.clientWindow + 3 }, (_, i) => `${i}`);
    await stage.submit(...texts);
    expect(stage.requests()).toHaveLength(limits.clientWindow);
    // The oldest one holds the window: a later answer makes no room.
    await stage.reply(0, 2, 'x');
    await stage.reply(1, 2, 'x');
    expect(stage.requests()).toEqual([]);
    await stage.reply(0, 1, 'x');
    await stage.reply(1, 1, 'x');
    const next = limits.clientWindow;
    expect(stage.requests()).toEqual([`0:${next + 1}`, `0:${next + 2}`]);
  });

  it('asks all members when nobody answers, less and less often', async () => {
    const stage = new Stage();
    await stage.submit('a');
    stage.taken();
    stage.test.advance(260);
    expect(stage.requests()).toEqual(['0:1', '1:1', '2:1', '3:1']);
    stage.test.advance(400);
    expect(stage.requests()).toEqual([]);
    stage.test.advance(60_000);
    const often = stage.requests().length / 4;
    expect(often).toBeGreaterThan(5);
    expect(often).toBeLessThan(15);
    await stage.reply(2, 1, 'late');
    await stage.reply(3, 1, 'late');
    expect(stage.outcomes).toEqual(['late']);
    stage.test.advance(60_000);
    expect(stage.requests()).toEqual([]);
  });

  it('asks all members at once when the connection to the primary is gone, once for each request', async () => {
    const stage = new Stage();
    await stage.submit('a');
    stage.taken();
    const links = peers.map((peer) => stage.test.link(peer));
    // The others were not asked.
    stage.test.lose(links[1] as Channel);
    expect(stage.requests()).toEqual([]);
    stage.test.lose(links[0] as Channel);
    expect(stage.requests()).toEqual(['0:1', '1:1', '2:1', '3:1']);
    // A peer that closes every connection does not make this client ask without end.
    stage.test.lose(links[0] as Channel);
    expect(stage.requests()).toEqual([]);
    stage.test.advance(510);
    expect(stage.requests()).toHaveLength(4);
    stage.client.close();
    stage.test.lose(links[0] as Channel);
    expect(stage.requests()).toEqual([]);
  });

  it('stops waiting at the signal and goes on with what waits', async () => {
    const stage = new Stage();
    const abort = new AbortController();
    stage.watch(stage.client.submit(utf8('a'), { signal: abort.signal }));
    await stage.submit(...Array.from({ length: limits.clientWindow }, (_, i) => `${i}`));
    expect(stage.requests()).toHaveLength(limits.clientWindow);
    abort.abort();
    await settled();
    expect(stage.outcomes).toEqual([expect.objectContaining({ code: 'interrupted' })]);
    // It keeps its place: a restart counts on it that numbers in use are near those that are answered.
    expect(stage.requests()).toEqual([]);
    stage.test.advance(300);
    expect(stage.requests()).toContain('3:1');
    await stage.reply(0, 1, 'x');
    await stage.reply(1, 1, 'x');
    expect(stage.outcomes).toHaveLength(1);
    expect(stage.requests()).toEqual([`0:${limits.clientWindow + 1}`]);
    stage.watch(stage.client.submit(utf8('b'), { signal: abort.signal }));
    await settled();
    expect(stage.outcomes).toHaveLength(2);
  });

  it('does not count who is gone among those that answer', async () => {
    const stage = new Stage(true, { connected: () => 1 });
    await stage.submit('a');
    await stage.reply(1, 1, 'lie');
    await stage.reply(2, 1, 'another');
    stage.test.lose(stage.test.link(peers[1] as PeerId));
    stage.test.advance(5_100);
    expect(stage.test.logged[0]).toContain('"connected":1,"answering":1');
  });

  it('tells that nobody answers, less and less often, and that somebody does again', async () => {
    const stage = new Stage(true, { connected: () => 2 });
    const { logged } = stage.test;
    await stage.submit('a', 'b');
    stage.test.advance(4_900);
    // Something is said, but nothing that could be believed.
    await stage.reply(1, 1, 'lie');
    expect(logged).toEqual([]);
    stage.test.advance(200);
    const said = { members: 4, connected: 2, answering: 1, operations: 2 };
    expect(logged).toEqual([`group-silent ${JSON.stringify({ silentMs: 5000, ...said })}`]);
    stage.test.advance(3_600_000);
    expect(logged.length).toBeGreaterThan(10);
    expect(logged.length).toBeLessThan(20);
    expect(logged[1]).toContain('"answering":0');
    logged.length = 0;
    await stage.reply(0, 1, 'lie');
    expect(logged).toEqual(['group-answers {"silentMs":3605100}']);
    await stage.reply(0, 2, 'b');
    await stage.reply(1, 2, 'b');
    expect(stage.outcomes).toHaveLength(2);
    stage.test.advance(600_000);
    expect(logged).toHaveLength(1);
    // From when something waits again.
    await stage.submit('c');
    stage.test.advance(4_900);
    expect(logged).toHaveLength(1);
    stage.test.advance(200);
    expect(logged).toHaveLength(2);
  });

  it('tells it too of what waits while it looks for its first number, and nothing before', async () => {
    const stage = new Stage(false);
    stage.test.advance(60_000);
    expect(stage.test.logged).toEqual([]);
    await stage.submit('a');
    stage.test.advance(5_100);
    expect(stage.test.logged).toEqual([expect.stringContaining('"silentMs":5000')]);
    expect(stage.test.logged).toEqual([expect.stringContaining('"operations":1')]);
  });

  it.each([true, false])(
    'tells nobody who does not wait any more (number known: %s)',
    async (isFresh) => {
      const stage = new Stage(isFresh, { timeoutMs: 2_000 });
      const { logged } = stage.test;
      const abort = new AbortController();
      stage.watch(stage.client.submit(utf8('a')));
      stage.watch(stage.client.query(utf8('b'), { signal: abort.signal }));
      stage.test.advance(1_000);
      abort.abort();
      for (let i = 0; i < 10; i++) {
        stage.test.advance(1_000);
        await settled();
      }
      expect(stage.outcomes).toHaveLength(2);
      stage.test.advance(600_000);
      expect(logged).toEqual([]);
      // Who tries again and again waits for all of it: 2 s, 2 s, and 1 s of the third.
      await stage.submit('c');
      stage.test.advance(2_000);
      await settled();
      await stage.submit('d');
      stage.test.advance(990);
      expect(logged).toEqual([]);
      stage.test.advance(20);
      expect(logged).toEqual([expect.stringContaining('"silentMs":5000')]);
      expect(logged).toEqual([expect.stringContaining('"operations":1')]);
      stage.test.advance(1_000);
      await settled();
      stage.test.advance(600_000);
      expect(logged).toHaveLength(1);
      expect(stage.outcomes).toHaveLength(4);
    },
  );

  it('says in one way only of an operation that is given up that nobody answered', async () => {
    const stage = new Stage(true, { timeoutMs: 5_000 });
    await stage.submit('a');
    stage.test.advance(5_000);
    await settled();
    expect(stage.outcomes).toHaveLength(1);
    expect(stage.test.logged).toEqual([]);
  });

  it('tells that somebody answers again, though nobody waits', async () => {
    const stage = new Stage(true, { timeoutMs: 6_000 });
    const { logged } = stage.test;
    await stage.submit('a');
    stage.test.advance(6_000);
    await settled();
    expect(stage.outcomes).toHaveLength(1);
    expect(logged).toEqual([expect.stringContaining('group-silent')]);
    // What was sent is asked for until it is answered.
    stage.taken();
    stage.test.advance(60_000);
    expect(stage.requests()).toContain('0:1');
    for (const member of [0, 1]) await stage.reply(member, 1, 'late');
    expect(logged.slice(1)).toEqual(['group-answers {"silentMs":6000}']);
  });

  it('gives up after the time-out, and says what that means', async () => {
    const stage = new Stage(true, { timeoutMs: 1_000 });
    await stage.submit('a', ...Array.from({ length: limits.clientWindow }, (_, i) => `${i}`));
    stage.test.advance(400);
    stage.watch(stage.client.query(utf8('q')));
    await settled();
    stage.test.advance(590);
    await settled();
    expect(stage.outcomes).toEqual([]);
    stage.test.advance(10);
    await settled();
    expect(stage.outcomes).toHaveLength(limits.clientWindow + 1);
    const [error] = stage.outcomes;
    expect(error).toMatchObject({
      code: 'unavailable',
      details: { timeoutMs: 1_000, members: 4, answering: 0 },
    });
    if (!(error instanceof HoldfastError)) expect.unreachable();
    expect(error.message).toContain('may have been executed or not');
    const unsent = stage.outcomes.at(-1);
    if (!(unsent instanceof HoldfastError)) expect.unreachable();
    expect(unsent.message).toContain('was not sent, and is not executed');
    expect(error.cure).toContain('status()');
    stage.test.advance(400);
    await settled();
    const read = stage.outcomes.at(-1);
    if (!(read instanceof HoldfastError)) expect.unreachable();
    expect(read.message).not.toContain('executed');
    // What was sent keeps its place; what was not sent is never sent; what is answered in time is not given up.
    stage.taken();
    for (let number = 1; number <= limits.clientWindow; number++) {
      for (const member of [0, 1]) await stage.reply(member, number, 'late');
    }
    expect(stage.requests().filter((sent) => !sent.endsWith(`:${limits.clientWindow}`))).toEqual(
      [],
    );
    const before = stage.outcomes.length;
    await stage.submit('c');
    const [sent] = stage.requests();
    const number = Number(sent?.split(':')[1]);
    for (const member of [0, 1]) await stage.reply(member, number, 'c');
    stage.test.advance(10_000);
    await settled();
    expect(stage.outcomes.slice(before)).toEqual(['c']);
  });

  it('reads in one round from all, and orders the read when that comes to nothing', async () => {
    const stage = new Stage();
    const numberOf = (): number => {
      const sent = stage.taken();
      expect(sent.map(({ member, message }) => `${member} ${message.name}`)).toEqual(
        [0, 1, 2, 3].map((member) => `${member} queryRequest`),
      );
      const [first] = sent;
      return first?.message.name === 'queryRequest' ? first.message.value.number : 0;
    };
    stage.watch(stage.client.query(utf8('q')));
    await settled();
    const first = numberOf();
    for (const member of [0, 1, 2]) await stage.reply(member, first, 'same', { kind: 2 });
    expect(stage.outcomes).toEqual(['same']);
    // Answers that differ, then silence.
    stage.watch(stage.client.query(utf8('q')));
    await settled();
    const second = numberOf();
    await stage.reply(0, second, 'a', { kind: 2 });
    await stage.reply(1, second, 'b', { kind: 2 });
    await stage.reply(2, second, 'c', { kind: 2 });
    expect(stage.requests()).toEqual(['0:1']);
    stage.watch(stage.client.query(utf8('q')));
    await settled();
    numberOf();
    stage.test.advance(60);
    await settled();
    expect(
      stage.taken().some(({ message }) => {
        if (message.name !== 'submitRequest') return false;
        const { number, kind } = message.value.request.request;
        return number === 2 && kind === 1;
      }),
    ).toBe(true);
    await stage.reply(0, 2, 'ordered');
    await stage.reply(1, 2, 'ordered');
    expect(stage.outcomes).toEqual(['same', 'ordered']);
  });

  it('refuses what is too large or too much, and ends what waits when closed', async () => {
    const stage = new Stage();
    await stage.submit('a');
    stage.watch(stage.client.submit(new Uint8Array(limits.operationSizeBytesMax + 1)));
    await settled();
    expect(stage.outcomes).toEqual([expect.objectContaining({ code: 'over-limit' })]);
    stage.client.close();
    await settled();
    await stage.submit('b');
    expect(stage.outcomes.slice(1)).toEqual([
      expect.objectContaining({ code: 'interrupted' }),
      expect.objectContaining({ code: 'interrupted' }),
    ]);
    const [, waited, late] = stage.outcomes;
    expect(waited).toMatchObject({ message: expect.stringContaining('may still be') });
    expect(waited).toMatchObject({ cure: expect.stringContaining('Connect again') });
    expect(late).toMatchObject({ cure: expect.stringContaining('Connect again') });
  });

  it('survives any bytes from members, and hears nobody else', async () => {
    const stage = new Stage();
    await stage.submit('a');
    const bytes: Bytes = new Uint8Array(300).fill(255);
    for (let type = 0; type < 120; type++) {
      stage.test.deliver(stage.test.link(peers[0] as PeerId), type, bytes);
    }
    const stranger = stage.test.incoming('ab'.repeat(32) as PeerId);
    const result = utf8('lie');
    const reply = {
      instance: group.instance,
      view: 0,
      sequence: 1,
      number: 1,
      kind: 0,
      outcome: 0,
    };
    const value = { ...reply, digest: resultDigest(0, result), result: [result] };
    const payload = encodeReplicationMessage('requestReply', value);
    stage.test.deliver(stranger, replicationMessageNumber('requestReply'), payload);
    await stage.reply(0, 1, 'lie');
    expect(stage.outcomes).toEqual([]);
  });
});
