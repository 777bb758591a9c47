import { describe, expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, emptyBytes, textOf, toHex, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import type { Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessage,
  type ReplicationMessageValue,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import { byzantineAcceptance } from './acceptance.ts';
import { GroupClient, type GroupClientOptions } from './client.ts';
import type { Outcome, ReplicaGroup } from './contract.ts';
import { RequestVerifier, resultDigest } from './requests.ts';
import { TestEnv } from './test-env.ts';

const group: ReplicaGroup = {
  instance: new Uint8Array(32).fill(7),
  members: [1, 2, 3, 4].map((i) => new Uint8Array(32).fill(i)),
  faults: 1,
};
const addresses = group.members.map((_, i) => ({ host: 'localhost', port: 1000 + i }));
const signer = ed25519.signer(new Uint8Array(32).fill(1));
const peers = group.members.map((key) => toHex(key) as PeerId);

type Reply = ReplicationMessageValue<'requestReply'>;

class Stage {
  readonly test = new TestEnv(3);
  readonly client: GroupClient;
  readonly outcomes: (string | HoldfastError)[] = [];
  /** What a fresh client says first. */
  readonly greeting: readonly string[] = [];
  /** Whatever it sent at first. */
  readonly sent: ReturnType<Stage['taken']> = [];

  constructor(isFresh = true, more: Partial<GroupClientOptions> = {}) {
    this.client = new GroupClient({
      env: this.test.env,
      signer,
      group,
      addresses,
      acceptance: byzantineAcceptance(1),
      isFresh,
      ...more,
    });
    if (isFresh) {
      this.sent = this.taken();
      this.greeting = this.sent.map(({ member, message }) => `${member} ${message.name}`);
    }
  }

  /** What was sent since the last call, as `member:name`. */
  taken(): { member: number; message: ReplicationMessage }[] {
    return this.test.sent.splice(0).map(({ peer, type, payload }) => {
      const message = decodeReplicationMessage(type, payload);
      if (message === undefined) expect.unreachable('clients send messages only');
      return { member: peers.indexOf(peer), message };
    });
  }

  /** Numbers of the requests sent since the last call, with the members they went to. */
  requests(): string[] {
    return this.requestsIn(this.taken());
  }

  requestsIn(sent: ReturnType<Stage['taken']>): string[] {
    return sent.flatMap(({ member, message }) =>
      message.name === 'submitRequest' ? [`${member}:${message.value.request.request.number}`] : [],
    );
  }

  async submit(...texts: string[]): Promise<void> {
    for (const text of texts) this.watch(this.client.submit(utf8(text)));
    await settled();
  }

  watch(outcome: Promise<Outcome>): void {
    outcome.then(
      (value) =>
        this.outcomes.push(value.kind === 'result' ? (textOf(value.result) ?? '?') : value.kind),
      (error: HoldfastError) => this.outcomes.push(error),
    );
  }

  async deliver<Name extends 'requestReply' | 'lastNumberIs'>(
    member: number,
    name: Name,
    value: ReplicationMessageValue<Name>,
  ): Promise<void> {
    const payload = encodeReplicationMessage(name, value);
    this.test.deliver(
      this.test.link(peers[member] as PeerId),
      replicationMessageNumber(name),
      payload,
    );
    await settled();
  }

  /** A reply with the whole result unless `whole` is false. */
  async reply(
    member: number,
    number: number,
    text: string,
    options: Partial<Reply> & { whole?: boolean } = {},
  ): Promise<void> {
    const { whole = true, ...others } = options;
    const outcome = others.outcome ?? 0;
    const result = utf8(text);
    await this.deliver(member, 'requestReply', {
      instance: group.instance,
      view: 0,
      sequence: number,
      number,
      kind: 0,
      outcome,
      digest: resultDigest(outcome, result),
      result: whole ? [result] : [],
      ...others,
    });
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

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

  it('tells that nobody answers before anything is asked, while it looks for its first number', () => {
    const stage = new Stage(false);
    stage.test.advance(5_100);
    expect(stage.test.logged).toEqual([expect.stringContaining('"operations":0')]);
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
    expect(error).toMatchObject({ code: 'unavailable', details: { timeoutMs: 1_000 } });
    if (!(error instanceof HoldfastError)) expect.unreachable();
    expect(error.message).toContain('may have been executed or not');
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

  it('first asks what its key has used, and goes on beyond a window of it', async () => {
    const stage = new Stage(false);
    await stage.submit('a');
    const asked = stage.taken();
    expect(asked.map(({ message }) => message.name)).toEqual(Array(4).fill('lastNumber'));
    const [first] = asked;
    const nonce =
      first?.message.name === 'lastNumber' ? first.message.value.nonce : new Uint8Array(16);
    const { instance } = group;
    await stage.deliver(0, 'lastNumberIs', { instance, nonce, number: 40 });
    await stage.deliver(0, 'lastNumberIs', { instance, nonce, number: 90 });
    await stage.deliver(1, 'lastNumberIs', { instance, nonce, number: 50 });
    await stage.deliver(2, 'lastNumberIs', { instance, nonce: new Uint8Array(16), number: 70 });
    expect(stage.requests()).toEqual([]);
    stage.test.advance(300);
    expect(stage.taken()).toHaveLength(4);
    await stage.deliver(2, 'lastNumberIs', { instance, nonce, number: 60 });
    // Nothing but the claim before that is executed.
    const [claim, ...others] = stage.taken();
    expect(others).toEqual([]);
    if (claim?.message.name !== 'submitRequest') expect.unreachable();
    const { number: claimed, ...request } = claim.message.value.request.request;
    expect(request).toMatchObject({ kind: 2, operation: emptyBytes });
    // Somewhere above, so that no two processes of one key meet at a number that nobody executed.
    expect(claimed).toBeGreaterThan(60 + limits.clientWindow);
    expect(claimed).toBeLessThan(60 + limits.clientWindow + 1 + 2 ** 32);
    await stage.reply(0, claimed, '');
    await stage.reply(1, claimed, '');
    expect(stage.requests()).toEqual([`0:${claimed + 1}`]);
  });

  it('claims a number far up when too few members answer, so that the others move', async () => {
    const stage = new Stage(false);
    const [asked] = stage.taken();
    if (asked?.message.name !== 'lastNumber') expect.unreachable();
    const { nonce } = asked.message.value;
    const { instance } = group;
    await stage.deliver(0, 'lastNumberIs', { instance, nonce, number: Number.MAX_SAFE_INTEGER });
    stage.test.advance(10_000);
    // One answer may be a liar's: nothing is claimed for it.
    expect(stage.requests()).toEqual([]);
    await stage.deliver(1, 'lastNumberIs', { instance, nonce, number: 7 });
    stage.test.advance(10_000);
    const [claim] = stage.taken();
    if (claim?.message.name !== 'submitRequest') expect.unreachable();
    const { number, kind } = claim.message.value.request.request;
    expect(kind).toBe(2);
    expect(number).toBeGreaterThanOrEqual(7 + 2 ** 36);
    expect(number).toBeLessThan(7 + 2 ** 37);
    await stage.submit('a');
    for (const member of [0, 1]) await stage.reply(member, number, '');
    expect(stage.requests()).toContain(`0:${number + 1}`);
  });

  it('asks again what its key has used when the claimed number was used', async () => {
    const stage = new Stage(false);
    const answer = async (number: number): Promise<void> => {
      const [asked] = stage.taken();
      if (asked?.message.name !== 'lastNumber') expect.unreachable();
      const { nonce } = asked.message.value;
      for (const member of [0, 1, 2]) {
        await stage.deliver(member, 'lastNumberIs', { instance: group.instance, nonce, number });
      }
    };
    const claimed = (): number => {
      const [claim] = stage.requests();
      return Number(claim?.split(':')[1]);
    };
    await answer(0);
    const first = claimed();
    await stage.reply(0, first, '', { outcome: 2 });
    await stage.reply(1, first, '', { outcome: 2 });
    await answer(100);
    expect(claimed()).toBeGreaterThan(100 + limits.clientWindow);
  });

  it('takes new numbers when the group has forgotten it and takes the old ones for used', async () => {
    const stage = new Stage();
    await stage.submit('a');
    stage.taken();
    for (const member of [0, 1]) await stage.reply(member, 1, '', { outcome: 2 });
    expect(stage.outcomes).toEqual(['too-old']);
    const asked = stage.taken().filter(({ message }) => message.name === 'lastNumber');
    expect(asked).toHaveLength(4);
    await stage.submit('b');
    expect(stage.requests()).toEqual([]);
    const question = asked[0]?.message;
    if (question?.name !== 'lastNumber') expect.unreachable();
    const { instance, nonce } = question.value;
    const number = 2 ** 38;
    for (const member of [0, 1, 2]) {
      await stage.deliver(member, 'lastNumberIs', { instance, nonce, number });
    }
    const claimed = Number(stage.requests()[0]?.split(':')[1]);
    expect(claimed).toBeGreaterThan(number);
    for (const member of [0, 1]) await stage.reply(member, claimed, '');
    expect(stage.requests()).toEqual([`0:${claimed + 1}`]);
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
    expect(stage.outcomes[1]).toBeInstanceOf(HoldfastError);
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

describe('a client that goes on in the next instance', () => {
  const next: ReplicaGroup = { ...group, instance: new Uint8Array(32).fill(9) };

  it('asks for what was not answered, under the numbers that it had', async () => {
    const old = new Stage();
    await old.submit('a', 'b', 'c');
    await old.reply(1, 2, 'two');
    await old.reply(2, 2, 'two');
    const stage = new Stage(true, { group: next, follows: old.client.leave() });
    const sent = stage.sent.filter(({ message }) => message.name === 'submitRequest');
    const verifier = new RequestVerifier(ed25519, next.instance);
    for (const { message } of sent) {
      if (message.name !== 'submitRequest') expect.unreachable();
      expect(verifier.verify(message.value.request)).toBeDefined();
    }
    expect(stage.requestsIn(sent)).toEqual(['0:1', '0:3']);
    await stage.reply(0, 1, 'one', { instance: next.instance });
    await stage.reply(3, 1, 'one', { instance: next.instance });
    // Those who asked the one before are told by this one.
    expect(old.outcomes).toEqual(['two', 'one']);
    await stage.submit('d');
    expect(stage.requests()).toEqual(['0:4']);
    await stage.reply(0, 3, '', { instance: next.instance, outcome: 1 });
    await stage.reply(1, 3, '', { instance: next.instance, outcome: 1 });
    expect(old.outcomes).toEqual(['two', 'one', 'ended']);
  });

  it('takes reads and what had no place along, and nothing more is taken before', async () => {
    const old = new Stage();
    const many = Array.from({ length: limits.clientWindow + 2 }, (_, i) => `${i}`);
    old.watch(old.client.query(utf8('read')));
    await old.submit(...many);
    const left = old.client.leave();
    expect([left.requests.length, left.waiting.length]).toEqual([limits.clientWindow, 3]);
    await expect(old.client.submit(utf8('late'))).rejects.toThrow('closed');
    const stage = new Stage(true, { group: next, follows: left });
    await settled();
    expect(stage.requestsIn(stage.sent)).toHaveLength(limits.clientWindow);
    const names = stage.taken().map(({ message }) => message.name);
    expect(names.filter((name) => name === 'queryRequest').length).toBe(4);
    for (const member of [0, 1]) {
      await stage.reply(member, 1, 'first', { instance: next.instance });
    }
    expect(old.outcomes).toEqual(['first']);
    expect(stage.requests()).toEqual([`0:${limits.clientWindow + 1}`]);
    stage.client.close();
    await settled();
    expect(old.outcomes).toHaveLength(many.length + 1);
  });

  it('gives up after the time that it has itself, and asks for numbers that were not known', async () => {
    const old = new Stage(false, { timeoutMs: 1000 });
    await old.submit('a');
    old.taken();
    const left = old.client.leave();
    expect(left).toMatchObject({ next: undefined, requests: [] });
    const stage = new Stage(false, { group: next, follows: left, timeoutMs: 5000 });
    expect(stage.taken().map(({ message }) => message.name)).toEqual(
      Array.from({ length: 4 }, () => 'lastNumber'),
    );
    stage.test.advance(4999);
    await settled();
    expect(old.outcomes).toEqual([]);
    stage.test.advance(1);
    await settled();
    expect(old.outcomes.map(String)).toEqual([expect.stringContaining('5000 ms')]);
  });
});
