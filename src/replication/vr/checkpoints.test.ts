import { expect, it } from 'vitest';
import type { Effects, EngineEvent } from '../contract.ts';
import { Core } from './core.ts';
import { VrEngine } from './engine.ts';
import { vrParameters } from './parameters.ts';
import { vrRules } from './rules.ts';
import { CountingService, countOperation } from './test-service.ts';
import { Violation } from './test-violation.ts';

it('a checkpoint that the disk was too busy for is taken when it is not, though nothing more is written', () => {
  const instance = new Uint8Array(32);
  const client = new Uint8Array(32).fill(1);
  const service = new CountingService(() => {
    throw new Violation('executed twice');
  });
  const engine = new VrEngine(
    new Core({
      group: { instance, members: [new Uint8Array(32).fill(2)], faults: 0 },
      index: 0,
      service,
      parameters: vrParameters({ checkpointInterval: 2, batchRequestsMax: 1 }),
      rules: vrRules,
      nonce: () => new Uint8Array(16),
    }),
  );
  const saves: number[] = [];
  const handle = (event: EngineEvent): void => {
    const { save, mark }: Effects = engine.handle(event, 1);
    if (save !== undefined) saves.push(save.sequence);
    if (mark !== undefined) handle({ kind: 'durable', mark });
  };
  handle({ kind: 'start', restored: undefined });
  const proof = { signature: new Uint8Array(64), count: 1, index: 0, path: [] };
  for (let number = 1; number <= 7; number++) {
    const request = { client, number, kind: 0, operation: countOperation(0, number) };
    const value = { instance, request: { request, proof }, fullReplier: 0 };
    const message = { name: 'submitRequest', value } as const;
    handle({ kind: 'message', from: { kind: 'client', key: client }, message });
  }
  expect([service.count, saves]).toEqual([7, [2]]);
  handle({ kind: 'saved', sequence: 2 });
  expect(saves).toEqual([2, 7]);
  handle({ kind: 'saved', sequence: 7 });
  expect([engine.status().checkpoint, saves]).toEqual([7, [2, 7]]);
});
