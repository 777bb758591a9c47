import { expect, it } from 'vitest';
import { BatchDelay } from './batch-delay.ts';

it('waits half of what batches take, up to the bound', () => {
  const delay = new BatchDelay();
  expect(delay.ms(20)).toBe(5);
  for (let i = 0; i < 40; i++) {
    delay.proposed(i, 100 * i);
    delay.executed(i, 100 * i + 2);
  }
  expect(delay.ms(20)).toBeCloseTo(1, 2);
  for (let i = 40; i < 80; i++) {
    delay.proposed(i, 100 * i);
    delay.executed(i, 100 * i + 30);
  }
  expect(delay.ms(20)).toBeCloseTo(15, 2);
  expect(delay.ms(7)).toBe(7);
});

it('measures one batch from its proposal to its execution, whatever is proposed meanwhile', () => {
  const delay = new BatchDelay();
  delay.proposed(1, 0);
  delay.proposed(2, 40);
  delay.executed(0, 45);
  expect(delay.ms(1000)).toBe(5);
  delay.executed(2, 50);
  expect(delay.ms(1000)).toBe(10);
  delay.executed(3, 900);
  expect(delay.ms(1000)).toBe(10);
});

it('does not count what was under way when the view changed', () => {
  const delay = new BatchDelay();
  delay.proposed(1, 0);
  delay.clear();
  delay.executed(1, 5000);
  expect(delay.ms(1000)).toBe(5);
});
