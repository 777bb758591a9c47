import { expect, it } from 'vitest';
import type { Clock } from '../env/clock.ts';
import { limits } from '../wire/limits.ts';
import { HandshakeRates } from './handshake-rates.ts';

class TestRates {
  #nowMs = 0;
  readonly #clock: Clock = { nowMs: () => this.#nowMs };
  readonly rates = new HandshakeRates(this.#clock, false);

  pass(ms: number): void {
    this.#nowMs += ms;
  }

  /** How many of so many attempts are taken. */
  taken(address: string, attempts: number): number {
    let taken = 0;
    for (let i = 0; i < attempts; i++) if (this.rates.take(address)) taken += 1;
    return taken;
  }
}

const { handshakesAtOnceMax, handshakesPerSecondMax, handshakeAddressesMax } = limits;

it('takes a crowd at once, and then so many a second', () => {
  const test = new TestRates();
  expect(test.taken('10.0.0.1', 1000)).toBe(handshakesAtOnceMax);
  test.pass(2000);
  expect(test.taken('10.0.0.1', 1000)).toBe(2 * handshakesPerSecondMax);
  // Who was refused is not made to wait longer for having tried.
  test.pass(60_000);
  expect(test.taken('10.0.0.1', 1000)).toBe(handshakesAtOnceMax);
});

it('lets no address pay for another, and takes a network of version 6 for one', () => {
  const test = new TestRates();
  test.taken('::ffff:10.0.0.1', 1000);
  test.taken('2001:db8:1:2::1', 1000);
  expect(test.taken('::ffff:10.0.0.2', 1)).toBe(1);
  expect(test.taken('2001:db8:1:3::1', 1)).toBe(1);
  expect(test.taken('2001:db8:1:2::ffff', 1)).toBe(0);
});

it('counts nobody on this machine', () => {
  const test = new TestRates();
  for (const address of ['127.0.0.1', '::ffff:127.0.0.1', '::1']) {
    expect(test.taken(address, 1000)).toBe(1000);
  }
});

it('counts nothing of whoever is known', () => {
  const test = new TestRates();
  for (let i = 0; i < 3 * handshakesAtOnceMax; i++) {
    expect(test.taken('10.0.0.1', 1)).toBe(1);
    test.rates.giveBack('10.0.0.1');
  }
});

it('keeps a bounded number of addresses, and none that has waited long enough', () => {
  const test = new TestRates();
  for (let i = 0; i < 2 * handshakeAddressesMax; i++) test.taken(`10.0.${i >> 8}.${i & 255}`, 1);
  expect(test.rates.placesCount).toBe(handshakeAddressesMax);
  test.pass(1000);
  test.taken('10.1.0.0', 1);
  expect(test.rates.placesCount).toBe(1);
});

it.each([
  ['2001:db8::', (i: number) => `2001:db8::${(i + 1).toString(16)}`],
  ['2001:db8:0:0 with a full end', (i: number) => `2001:db8::${(i + 1).toString(16)}:1:1:1`],
  ['fe80:: of one link', (i: number) => `fe80::${(i + 1).toString(16)}:2:3:4%eth0`],
  ['fd00::', (i: number) => `fd00::${(i + 1).toString(16)}`],
])('takes all of %s/64 for one place', (_, address) => {
  const { rates } = new TestRates();
  let taken = 0;
  for (let i = 0; i < 3000; i++) if (rates.take(address(i))) taken += 1;
  expect(taken).toBe(handshakesAtOnceMax);
});

it('keeps two networks apart', () => {
  const { rates } = new TestRates();
  for (let i = 0; i < 1000; i++) rates.take('2001:db8:1::1');
  expect(rates.take('2001:db8:1:1::1')).toBe(true);
});

it('keeps out no member because of a stranger on its network of version 6', () => {
  let nowMs = 0;
  const rates = new HandshakeRates({ nowMs: () => nowMs }, false);
  const members = ['fd00::1', 'fd00::2', 'fd00::3'];
  for (const member of members) {
    expect(rates.take(member)).toBe(true);
    rates.giveBack(member);
    rates.know(member, member);
  }
  let refused = 0;
  // 100 connections a second, never a key proved; a member comes back once a second.
  for (let i = 0; i < 100 * 600; i++) {
    nowMs += 10;
    rates.take('fd00::666');
    if (i < 1000 || i % 100 !== 50) continue;
    if (rates.take(members[i % 3] as string)) rates.giveBack(members[i % 3] as string);
    else refused += 1;
  }
  expect(refused).toBe(0);
});

it('gives a peer with a network of version 6 one more place, and not one for each of its addresses', () => {
  const clock = { nowMs: 0 };
  const rates = new HandshakeRates({ nowMs: () => clock.nowMs }, false);
  const address = (i: number): string => `2001:db8:1:2::${i.toString(16)}`;
  for (let i = 1; i <= 1000; i++) {
    rates.take(address(i));
    rates.giveBack(address(i));
    rates.know('peer', address(i));
  }
  clock.nowMs += 60_000;
  let taken = 0;
  for (let i = 1; i <= 1000; i++) {
    for (let k = 0; k < 1000; k++) if (rates.take(address(i))) taken += 1;
  }
  expect(taken).toBe(2 * limits.handshakesAtOnceMax);
});
