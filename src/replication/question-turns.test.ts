import { expect, it } from 'vitest';
import { limits } from '../wire/limits.ts';
import { QuestionTurns } from './question-turns.ts';

interface Question {
  readonly of: string;
  readonly costBytes: number;
}

/** Answers while it may, and notes whose question was answered. */
function turnsOf(): { turns: QuestionTurns<Question>; answered: string[]; isOpen: boolean } {
  const made = {
    answered: [] as string[],
    isOpen: true,
    turns: new QuestionTurns<Question>(({ of, costBytes }) => {
      if (!made.isOpen) return undefined;
      made.answered.push(of);
      return costBytes;
    }),
  };
  return made;
}

it('answers at once within the budget of a turn, and the rest in the turns that follow', () => {
  const { turns, answered } = turnsOf();
  for (let i = 0; i < 100; i++) turns.ask('a', { of: 'a', costBytes: 2048 });
  expect(answered).toHaveLength(32);
  expect(turns.wantsTurn).toBe(true);
  turns.beginTurn();
  expect(answered).toHaveLength(64);
  while (turns.count > 0) turns.beginTurn();
  expect(answered).toHaveLength(96);
});

it('does not let one who asks for much hold up one who asks for little', () => {
  const { turns, answered } = turnsOf();
  for (let i = 0; i < 20; i++) turns.ask('scan', { of: 'scan', costBytes: 65_536 });
  for (let i = 0; i < 20; i++) turns.ask('small', { of: 'small', costBytes: 1024 });
  expect(answered).toEqual(['scan']);
  for (let turn = 0; turn < 3; turn++) turns.beginTurn();
  expect(answered.filter((of) => of === 'small').length).toBeGreaterThanOrEqual(15);
  expect(answered.filter((of) => of === 'scan').length).toBeLessThanOrEqual(4);
});

it('answers all that one alone asks for, however much it has had', () => {
  const { turns, answered } = turnsOf();
  for (let i = 0; i < 5; i++) turns.ask('scan', { of: 'scan', costBytes: 65_536 });
  for (let turn = 0; turn < 4; turn++) turns.beginTurn();
  expect(answered).toHaveLength(5);
  turns.beginTurn();
  expect(turns.wantsTurn).toBe(false);
});

it('keeps what cannot be answered yet, so many of each, and tells some that it has no room', () => {
  const made = turnsOf();
  const { turns, answered } = made;
  made.isOpen = false;
  const said = Array.from({ length: 200 }, () => turns.ask('a', { of: 'a', costBytes: 1 }));
  expect(said.filter((asked) => asked === 'taken')).toHaveLength(limits.heldQueriesPerClientMax);
  expect(said.filter((asked) => asked === 'refused')).toHaveLength(32);
  expect(said.at(-1)).toBe('dropped');
  for (let client = 0; client < 2 * limits.heldQueriesMax; client++) {
    turns.ask(`client ${client}`, { of: 'other', costBytes: 1 });
  }
  expect(turns.count).toBe(2 * limits.heldQueriesMax);
  turns.run();
  expect(answered).toEqual([]);
  made.isOpen = true;
  turns.run();
  expect(answered).toHaveLength(2 * limits.heldQueriesMax);
  expect([turns.count, turns.waitingOf('a').length]).toEqual([0, 0]);
});
