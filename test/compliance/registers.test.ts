// What every register promises, for each rule over each way to find a quorum.

import { describe, expect, it } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { QuorumUnavailable } from '../../src/quorum/calls/contract.ts';
import type { Outcome, Versioned } from '../../src/registers/contract.ts';
import { compareTimestamps } from '../../src/registers/timestamp.ts';
import { History } from '../../testing/checkers/history.ts';
import { checkRegisterHistory, explain } from '../../testing/checkers/linearizability.ts';
import { cutBothWays, delayUniform, duplicate, lose } from '../../testing/simulator/faults.ts';
import {
  type CallsName,
  type RegisterSystem,
  type RuleName,
  registerSystem,
} from './register-system.ts';

const pairings: [RuleName, CallsName][] = [
  ['crash', 'static'],
  ['crash', 'epochs'],
  ['dissemination', 'static'],
  ['dissemination', 'epochs'],
];

const never = new AbortController().signal;

function abortAfter(system: RegisterSystem, delayMs: number): AbortSignal {
  const controller = new AbortController();
  system.simulation.after(delayMs, () => controller.abort());
  return controller.signal;
}

function textIn(outcome: Outcome<Versioned | undefined>): string | undefined {
  if (!('value' in outcome)) return Object.keys(outcome)[0];
  return outcome.value === undefined ? undefined : textOf(outcome.value.data);
}

for (const [rule, calls] of pairings) {
  describe(`the ${rule} register over ${calls} calls`, () => {
    const build = (seed = 1) => registerSystem(rule, calls, seed);

    it('reads the initial value of what was never written', async () => {
      const system = await build();
      const read = system.register(0).read(never);
      expect(textIn(await system.simulation.complete(read, 5_000))).toBeUndefined();
    });

    it('reads what was written, by whomever, and later writes have later timestamps', async () => {
      const system = await build();
      const stamps = [];
      for (const [client, text] of [
        [0, 'one'],
        [1, 'two'],
        [0, 'three'],
      ] as const) {
        const written = await system.simulation.complete(
          system.register(client).write(utf8(text), never),
          5_000,
        );
        if ('value' in written) stamps.push(written.value);
        const read = system.register(2).read(never);
        expect(textIn(await system.simulation.complete(read, 5_000))).toBe(text);
      }
      expect(stamps).toHaveLength(3);
      for (let i = 1; i < stamps.length; i++) {
        const [earlier, later] = [stamps[i - 1], stamps[i]];
        expect(
          earlier !== undefined && later !== undefined && compareTimestamps(earlier, later) < 0,
        ).toBe(true);
      }
    });

    it('goes on without the servers that may fail', async () => {
      const system = await build();
      for (const server of system.servers.slice(0, system.faults)) server.crash();
      await system.simulation.complete(system.register(0).write(utf8('still here'), never), 20_000);
      const read = system.register(1).read(never);
      expect(textIn(await system.simulation.complete(read, 20_000))).toBe('still here');
    });

    it('ends at its deadline and names who is missing when too many have failed', async () => {
      const system = await build();
      // Over epochs the crash rule's group is one larger than it needs to be.
      const dead = system.servers.slice(0, Math.ceil(system.servers.length / 2));
      for (const server of dead) server.crash();
      const write = system.register(0).write(utf8('lost'), abortAfter(system, 10_000));
      const error = await system.simulation.complete(
        write.catch((reason: unknown) => reason),
        11_000,
      );
      expect(error).toBeInstanceOf(QuorumUnavailable);
      if (!(error instanceof QuorumUnavailable)) return;
      expect(error.kind).toBe('timeout');
      expect(error.unanswered.map(({ from }) => from.peer).sort()).toEqual(
        dead.map(({ peer }) => peer).sort(),
      );
    });

    it('finishes an unfinished write that it has shown to a reader', async () => {
      for (let seed = 1; seed <= 10; seed++) {
        const system = await build(seed);
        await system.simulation.complete(system.register(0).write(utf8('old'), never), 5_000);
        // The writer reaches one server only, then is gone.
        const [reached, ...rest] = system.servers;
        const heal = system.fabric.add(
          cutBothWays(
            ['client1'],
            rest.map(({ name }) => name),
          ),
        );
        const write = system.register(0).writeAt(7, utf8('new'), abortAfter(system, 400));
        await system.simulation.complete(
          write.catch(() => undefined),
          5_000,
        );
        heal();
        // A reader that cannot reach one of the others has to hear the server that was reached.
        const cut = system.fabric.add(cutBothWays(['client2'], [rest[0]?.name ?? '']));
        const first = textIn(
          await system.simulation.complete(system.register(1).read(never), 20_000),
        );
        cut();
        reached?.crash();
        const second = textIn(
          await system.simulation.complete(system.register(2).read(never), 20_000),
        );
        expect(['old', 'new']).toContain(first);
        if (first === 'new') expect(second).toBe('new');
      }
    });

    it('is linearizable under loss, duplicates, delay and reordering', async () => {
      for (let seed = 1; seed <= 15; seed++) {
        const system = await build(seed);
        system.fabric.add(lose({ of: 1, in: 20 }));
        system.fabric.add(duplicate({ of: 1, in: 10 }, 2));
        system.fabric.add(delayUniform(0, 40_000));
        const history = new History();
        let running = 0;
        for (const client of [0, 1, 2]) {
          running += 1;
          workload(system, client, history).finally(() => {
            running -= 1;
          });
        }
        expect(await system.simulation.runUntil(() => running === 0, 600_000)).toBe(true);
        const verdict = checkRegisterHistory(history);
        expect(verdict.result, `seed ${seed}: ${explain(verdict)}`).toBe('linearizable');
      }
    });

    if (calls === 'epochs') {
      it('halts when its knowledge of the configuration has expired, and writes nothing', async () => {
        const system = await build();
        system.expire(0);
        const outcome = await system.simulation.complete(
          system.register(0).write(utf8('late'), never),
          5_000,
        );
        expect(outcome).toEqual({ halted: 'freshness-expired' });
        expect(
          textIn(await system.simulation.complete(system.register(1).read(never), 5_000)),
        ).toBeUndefined();
      });
    }
  });
}

async function workload(system: RegisterSystem, client: number, history: History): Promise<void> {
  const now = (): number => system.simulation.nowUs;
  for (let i = 0; i < 12; i++) {
    const register = system.register(client);
    if (system.simulation.prng.chance(1, 2)) {
      const value = `${client}.${i}`;
      const id = history.invoke({
        client: String(client),
        object: 'x',
        kind: 'write',
        value,
        time: now(),
      });
      await register.write(utf8(value), never);
      history.completeWrite(id, now());
    } else {
      const id = history.invoke({ client: String(client), object: 'x', kind: 'read', time: now() });
      const text = textIn(await register.read(never));
      history.completeRead(id, now(), text ?? null);
    }
  }
}
