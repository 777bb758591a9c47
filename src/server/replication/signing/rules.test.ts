import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../base/bytes.ts';
import { channelKeyBytes } from '../../../crypto/channel-key.ts';
import {
  type SignaturePurpose,
  signaturePurposes,
  signedBytes,
  statementOf,
} from '../../../crypto/domains.ts';
import { ed25519 } from '../../../crypto/signature.ts';
import { limits } from '../../../wire/limits.ts';
import { SigningRules } from './rules.ts';

const instance = new Uint8Array(32).fill(3);
const signer = ed25519.signer(new Uint8Array(32).fill(4));
const body = utf8('what is stated');

function statement(purpose: SignaturePurpose, scope: number, system = instance): Uint8Array {
  return signedBytes({ purpose, system, scope, body });
}

function rulesWith(counter = 0): {
  rules: SigningRules;
  kept: number[];
  clock: { now: number };
} {
  const kept: number[] = [];
  const clock = { now: 0 };
  const rules = new SigningRules({
    signer,
    instance,
    counter,
    clock: { nowMs: () => clock.now },
    timeOfDayMs: () => 1_000_000 + clock.now,
    channelKeyLifetimeMs: 5_000,
    async keepCounter(next) {
      kept.push(next);
    },
  });
  return { rules, kept, clock };
}

describe('a signing module', () => {
  test('signs what members sign, and nothing else', async () => {
    const { rules } = rulesWith();
    const signed: SignaturePurpose[] = [];
    for (const purpose of signaturePurposes) {
      const bytes = statement(purpose, 1);
      const answer = await rules.sign(bytes);
      if (typeof answer === 'string') continue;
      expect(ed25519.verify(signer.publicKey, bytes, answer)).toBe(true);
      signed.push(purpose);
    }
    expect(signed).toEqual(['client-bundle', 'checkpoint', 'view-change', 'new-view', 'new-key']);
  });

  test('signs no bytes but those of statements', async () => {
    const { rules } = rulesWith();
    const whole = statement('checkpoint', 1);
    for (let size = 0; size < whole.length - body.length; size++) {
      expect(await rules.sign(whole.subarray(0, size))).toBeTypeOf('string');
    }
    expect(await rules.sign(whole.subarray(1))).toBeTypeOf('string');
    expect(await rules.sign(statement('checkpoint', 2 ** 53))).toBeTypeOf('string');
  });

  test('signs for its own instance only', async () => {
    const { rules } = rulesWith();
    expect(await rules.sign(statement('checkpoint', 1, new Uint8Array(32)))).toContain('instance');
  });

  test('counts changes of keys one by one, durably, and takes none back', async () => {
    const { rules, kept } = rulesWith(7);
    expect(await rules.sign(statement('new-key', 8))).toBeInstanceOf(Uint8Array);
    expect(await rules.sign(statement('new-key', 8))).toBeInstanceOf(Uint8Array);
    expect(await rules.sign(statement('new-key', 7))).toContain('8 times already');
    expect(await rules.sign(statement('new-key', 10))).toContain('older copy');
    expect(kept).toEqual([8]);
    expect(rules.counter).toBe(8);
  });

  test('signs no change that it could not keep', async () => {
    const { rules } = rulesWith();
    const failing = new SigningRules({
      signer,
      instance,
      counter: 0,
      clock: { nowMs: () => 0 },
      timeOfDayMs: () => 0,
      channelKeyLifetimeMs: 1,
      keepCounter: () => Promise.reject(new Error('disk full')),
    });
    await expect(failing.sign(statement('new-key', 1))).rejects.toThrow('disk full');
    expect(failing.counter).toBe(0);
    expect(rules.counter).toBe(0);
  });

  test('does not let anyone use up the numbers', async () => {
    const { rules, clock } = rulesWith();
    const { signingKeyChangesMax: most, signingKeyChangeIntervalMs: intervalMs } = limits;
    for (let counter = 1; counter <= most; counter++) {
      expect(await rules.sign(statement('new-key', counter))).toBeInstanceOf(Uint8Array);
    }
    expect(await rules.sign(statement('new-key', most + 1))).toContain('too often');
    clock.now = intervalMs - 1;
    expect(await rules.sign(statement('new-key', most + 1))).toContain('in 1 s');
    clock.now = intervalMs;
    expect(await rules.sign(statement('new-key', most + 1))).toBeInstanceOf(Uint8Array);
    expect(await rules.sign(statement('new-key', most + 2))).toContain('too often');
  });

  test('vouches for keys of channels as of the last change of keys, for a time', async () => {
    const { rules } = rulesWith(2);
    const key = new Uint8Array(32).fill(8);
    await rules.sign(statement('new-key', 3));
    const { signature, ...claim } = rules.vouch(key);
    expect(claim).toEqual({ counter: 3, notAfterMs: 1_005_000 });
    const bytes = channelKeyBytes(instance, claim, key);
    expect(ed25519.verify(signer.publicKey, bytes, signature)).toBe(true);
  });
});

test('statements are read as they were written', () => {
  for (const purpose of signaturePurposes) {
    for (const scope of [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      expect(statementOf(statement(purpose, scope))).toEqual({
        purpose,
        system: instance,
        scope,
        body,
      });
    }
  }
});
