import { describe, expect, it } from 'vitest';
import {
  accepts,
  describeMessages,
  describeNumbers,
  type TestedRegistry,
} from '../../testing/wire/registry-suite.ts';
import { limits } from './limits.ts';
import { messageName } from './registry.ts';
import {
  clientPayloadSizeBytesMax,
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessageName,
  replicationMessageName,
  replicationMessageNames,
  replicationMessageNumber,
  replicationPayloadSizeBytesMax,
  replicationRegistry,
} from './replication-registry.ts';

const tested: TestedRegistry = {
  entries: Object.fromEntries(
    replicationMessageNames.map((name) => [name, replicationRegistry[name].type]),
  ),
  encode: (name, value) => encodeReplicationMessage(name as ReplicationMessageName, value as never),
  decode: (name, bytes) =>
    decodeReplicationMessage(replicationMessageNumber(name as ReplicationMessageName), bytes),
  runs: [40, 300, 150],
};

describeMessages(tested);

describe.each(replicationMessageNames)('message %s', (name) => {
  it('refuses a payload above its bound, whatever is in it', () => {
    const bound = replicationPayloadSizeBytesMax(replicationMessageNumber(name)) ?? 0;
    expect(bound).toBeGreaterThan(0);
    expect(bound).toBeLessThanOrEqual(limits.replicationMessageSizeBytesMax);
    expect(accepts(tested, name, new Uint8Array(bound + 1))).toBe(false);
  });
});

it('numbers are given once, apart from those of storage, and others decode to nothing', () => {
  const numbers = replicationMessageNames.map((name) => replicationMessageNumber(name));
  expect(numbers.map((number) => replicationMessageName(number))).toEqual(replicationMessageNames);
  for (let number = 0; number < 300; number++) {
    const isOurs = numbers.includes(number);
    expect(replicationPayloadSizeBytesMax(number) !== undefined).toBe(isOurs);
    if (isOurs) expect(messageName(number)).toBeUndefined();
    else expect(decodeReplicationMessage(number, new Uint8Array(64))).toBeUndefined();
  }
});

it('clients may send requests, reads and their question, and nothing else', () => {
  const allowed = replicationMessageNames.filter(
    (name) => clientPayloadSizeBytesMax(replicationMessageNumber(name)) !== undefined,
  );
  expect(allowed).toEqual(['submitRequest', 'queryRequest', 'lastNumber']);
  expect(clientPayloadSizeBytesMax(59)).toBeUndefined();
});

/** Append only. */
const numbersEverUsed: ReadonlyArray<readonly [number, string]> = [
  [60, 'submitRequest'],
  [61, 'queryRequest'],
  [62, 'requestReply'],
  [63, 'lastNumber'],
  [64, 'lastNumberIs'],
  [65, 'fetchState'],
  [66, 'statePart'],
  [70, 'prePrepare'],
  [71, 'pbftPrepare'],
  [72, 'pbftCommit'],
  [73, 'committed'],
  [74, 'fetchBody'],
  [75, 'body'],
  [76, 'checkpoint'],
  [77, 'stableCheckpoint'],
  [78, 'viewChange'],
  [79, 'newView'],
  [80, 'fetchViewChanges'],
  [81, 'pbftStatus'],
  [82, 'newKey'],
  [83, 'queryStable'],
  [84, 'replyStable'],
  [90, 'vrPrepare'],
  [91, 'vrPrepareOk'],
  [92, 'vrCommit'],
  [93, 'vrStartViewChange'],
  [94, 'vrDoViewChange'],
  [95, 'vrStartView'],
  [96, 'vrGetState'],
  [97, 'vrNewState'],
  [98, 'vrRecovery'],
  [99, 'vrRecoveryResponse'],
  [100, 'vrLeaseRequest'],
  [101, 'vrLeaseGrant'],
  [102, 'vrHello'],
];

describeNumbers('message numbers', replicationRegistry, numbersEverUsed);
