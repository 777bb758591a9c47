// Scenarios about clients that do not follow the protocol.

import { toHex } from '../../../src/base/bytes.ts';
import { HeaderVerifier, headerScheme } from '../../../src/dbqs/headers.ts';
import { DisseminationRule } from '../../../src/registers/rules/dissemination.ts';
import type { Session } from '../client-machine.ts';
import { playOn, type Stage } from '../stage.ts';
import type { SharedObject } from '../workload.ts';
import type { Scenario } from './scenario.ts';

/** Sends a version of the object to these servers, as a write that nobody waits for. */
function sendVersion(
  stage: Stage,
  session: Session,
  object: SharedObject,
  tag: string,
  servers: readonly number[],
): void {
  const { genesis, values, objects } = stage.system;
  const { system } = genesis.trust;
  const verifier = new HeaderVerifier(system, genesis.scheme);
  const scheme = headerScheme(verifier, system, new Uint8Array(20), object.signer);
  const rule = new DisseminationRule(object.id, scheme);
  const tuple = rule.make(1, values.make(tag, 20));
  const time = stage.simulation.nowUs;
  const id = objects.invoke({
    time,
    client: session.name,
    object: toHex(object.id),
    kind: 'write',
    value: tag,
  });
  objects.abandon(id);
  const request = rule.writeRequest(tuple);
  for (const index of servers) {
    const member = stage.server(index).member;
    const conversation = session.exchange.begin(() => conversation.end());
    const { nonce } = conversation;
    const context = { instance: session.exchange.instance, epoch: 0, nonce };
    session.exchange.send(member, request.encode(context));
  }
}

/** Two values under one counter and one writer, each to some of the servers, while others read. */
const twoValuesOneVersion: Scenario = {
  about: 'a client signs two values for one version and shares them out',
  tight: false,
  play: (settings, { faults }) =>
    playOn(settings, { faults }, async (stage) => {
      const size = 3 * faults + 1;
      const everyone = Array.from({ length: size }, (_, index) => index);
      for (let round = 0; round < 6; round++) {
        const object = stage.object();
        const liar = stage.client(`liar-${round}`);
        const half = stage.prng.shuffled(everyone);
        const split = stage.prng.between(1, size - 1);
        sendVersion(stage, liar.session, object, `${round}-one`, half.slice(0, split));
        sendVersion(stage, liar.session, object, `${round}-other`, half.slice(split));
        const readers = [0, 1].map((index) => stage.client(`reader-${round}-${index}`));
        for (let turn = 0; turn < 3; turn++) {
          for (const reader of readers) {
            const away = stage.prng.shuffled(stage.names(0, size)).slice(0, faults);
            const heal = stage.cut(reader.machine, away);
            await stage.must(reader.session, { kind: 'read', object: object.id });
            heal();
          }
        }
      }
    }),
};

/** Many writers of one object at the same time: counters collide, and the rest of the version must decide. */
const collidingWriters: Scenario = {
  about: 'writers choose the same counter at the same time',
  tight: false,
  play: (settings, { faults }) =>
    playOn(settings, { faults }, async (stage) => {
      const size = 3 * faults + 1;
      const writers = [0, 1, 2].map((index) => stage.client(`writer-${index}`));
      for (let round = 0; round < 8; round++) {
        const object = stage.object();
        const write = { kind: 'write', signer: object.signer, sizeBytes: 10 } as const;
        const underWay = writers.map(({ session, machine }) => {
          const heal = stage.cut(
            machine,
            stage.prng.shuffled(stage.names(0, size)).slice(0, faults),
          );
          return session.perform(write, 30_000).finally(heal);
        });
        await stage.simulation.complete(Promise.all(underWay), 60_000);
        for (let turn = 0; turn < 4; turn++) {
          const reader = stage.client(`reader-${round}-${turn}`);
          const heal = stage.cut(
            reader.machine,
            stage.prng.shuffled(stage.names(0, size)).slice(0, faults),
          );
          await stage.must(reader.session, { kind: 'read', object: object.id });
          heal();
        }
      }
    }),
};

/** An only writer dies again and again, and goes on where it was, in one round. */
const onlyWriterRestarts: Scenario = {
  about: 'an only writer restarts between its writes',
  tight: false,
  play: (settings, { faults }) =>
    playOn(settings, { faults }, async (stage) => {
      const object = stage.object();
      const { machine } = stage.client('writer');
      const reader = stage.client('reader');
      const write = { kind: 'write-alone', signer: object.signer, sizeBytes: 10 } as const;
      for (let life = 0; life < 4; life++) {
        for (let i = 0; i < 3 && machine.session !== undefined; i++)
          await stage.must(machine.session, write);
        await stage.must(reader.session, { kind: 'read', object: object.id });
        machine.crash();
        machine.start();
      }
    }),
};

export const clientScenarios: Readonly<Record<string, Scenario>> = {
  'two-values': twoValuesOneVersion,
  'colliding-writers': collidingWriters,
  'only-writer-restarts': onlyWriterRestarts,
};
