import { describe, expect, it } from 'vitest';
import { emptyBytes } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import { group, Stage } from './test-client.ts';

describe('the numbers of a client', () => {
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
});
