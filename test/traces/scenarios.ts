// The runs whose messages the papers draw. Each is one group, one or two writes, and at most one fault.

import { neverMs, ObservedGroup } from './observed-group.ts';
import { Trace } from './trace.ts';

const pbft = {
  statusIntervalMs: neverMs,
  idleStatusIntervalMs: neverMs,
  timeoutMs: 40,
  checkpointInterval: 2,
  window: 16,
};
/** A heartbeat's period divides the time at which groups are ready, so that runs begin right behind one. */
const heartbeatMs = 20;
const vr = { heartbeatMs, primaryTimeoutMs: heartbeatMs + 2 };
const faults = 1;

async function quiet(shape: Parameters<typeof ObservedGroup.start>[0]): Promise<ObservedGroup> {
  const group = await ObservedGroup.start(shape);
  const { simulation, nowMs } = group;
  await simulation.runFor(100 - (nowMs % 100) + 2);
  return group;
}

async function pbftNormalCase(): Promise<string> {
  const group = await quiet({ engine: 'pbft', faults, pbft });
  const trace = new Trace(group, 'PBFT, normal case (OSDI 1999, section 4.2).');
  const result = group.write('a');
  await group.simulation.complete(result, 100);
  trace.note('c0 has f+1 equal replies');
  await trace.after(2);
  return trace.text;
}

async function pbftViewChange(): Promise<string> {
  const group = await quiet({ engine: 'pbft', faults, pbft });
  const trace = new Trace(
    group,
    'PBFT, view change (section 4.4): a prepared batch, which may be committed for all that is known, is carried over.',
  );
  group.loses = ({ name }) => name === 'pbftCommit';
  const result = group.write('a');
  await trace.after(5, 'all have prepared; every COMMIT is lost, and the primary dies');
  group.kill(0);
  group.loses = () => false;
  await trace.after(36, 'the time of the request is over');
  await group.simulation.complete(result, 100);
  trace.note('c0 has f+1 equal replies');
  await trace.after(2);
  return trace.text;
}

async function vrNormalCase(): Promise<string> {
  const group = await quiet({ engine: 'vr', faults, vr });
  const trace = new Trace(group, 'Viewstamped Replication, normal case (Revisited, section 4.1).');
  const result = group.write('a');
  await group.simulation.complete(result, 100);
  trace.note('c0 has its result; the backups learn with the next heartbeat what is committed');
  await trace.after(heartbeatMs);
  return trace.text;
}

async function vrViewChange(): Promise<string> {
  const group = await quiet({ engine: 'vr', faults, vr });
  const trace = new Trace(
    group,
    'Viewstamped Replication, view change (section 4.2): what was acknowledged is in the log that the new view begins with.',
  );
  const result = group.write('a');
  await trace.after(1.5, 'the primary dies behind its PREPARE');
  group.kill(0);
  await trace.after(30, 'the backups miss the heartbeats');
  await group.simulation.complete(result, 100);
  trace.note('c0 has its result');
  await trace.after(heartbeatMs);
  return trace.text;
}

async function vrDoubleBooking(): Promise<string> {
  const group = await quiet({ engine: 'vr', faults, vr, clients: 2 });
  const trace = new Trace(
    group,
    'Viewstamped Replication, double booking: one number, two operations, told apart by their viewstamps ⟨view,number⟩.',
  );
  trace.note('r0 and c0 are cut off from r1, r2 and c1');
  const side = (name: string): boolean => name === 'r0' || name === 'c0';
  group.loses = (_, from, to) => side(from) !== side(to);
  const a = group.write('a', 0);
  await trace.after(
    30,
    'r0 has a in its log under a number that it cannot commit; the others miss its heartbeats',
  );
  await trace.after(20, 'c1, who knows of no view but the first one, asks r0, then all');
  const b = group.write('b', 1);
  await group.simulation.complete(b, 200);
  trace.note('c1 has its result: b has the number of a, in a later view');
  group.loses = () => false;
  trace.note('all hear each other again');
  await trace.after(heartbeatMs, 'r0 has given up its entry of view 0; c0 still waits');
  await group.simulation.complete(a, 1000);
  trace.note('c0 has its result: a was executed once, behind b');
  await trace.after(heartbeatMs);
  return trace.text;
}

export const scenarios: Readonly<Record<string, () => Promise<string>>> = {
  'pbft-normal-case': pbftNormalCase,
  'pbft-view-change': pbftViewChange,
  'vr-normal-case': vrNormalCase,
  'vr-view-change': vrViewChange,
  'vr-double-booking': vrDoubleBooking,
};
