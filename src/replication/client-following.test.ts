import { describe, expect, it } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { ed25519 } from '../crypto/signature.ts';
import { limits } from '../wire/limits.ts';
import type { ReplicaGroup } from './contract.ts';
import { RequestVerifier } from './requests.ts';
import { group, Stage, settled } from './test-client.ts';

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
    await expect(old.client.submit(utf8('late'))).rejects.toMatchObject({
      message: expect.stringContaining('closed'),
      cure: 'Use the client that follow gave.',
    });
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

  it('tells that nobody answers what it has taken over', async () => {
    const old = new Stage();
    await old.submit('a');
    const stage = new Stage(true, { group: next, follows: old.client.leave() });
    stage.test.advance(5_100);
    expect(stage.test.logged).toEqual([expect.stringContaining('"operations":1')]);
    expect(old.test.logged).toEqual([]);
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
