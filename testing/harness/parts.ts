// The places where a system under simulation takes its parts from, so that a mutant can put a broken one in without
// touching the code under test.

import type { PeerId } from '../../src/base/brand.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Configuration } from '../../src/configuration/configuration.ts';
import type { SignatureScheme } from '../../src/crypto/signature.ts';
import type { Disk } from '../../src/env/disk.ts';
import type { Env } from '../../src/env/env.ts';
import type { QuorumCalls } from '../../src/quorum/calls/contract.ts';
import { Exchange } from '../../src/quorum/exchange.ts';
import type { DisseminationRule, HeaderScheme } from '../../src/registers/rules/dissemination.ts';

export interface Machinery {
  readonly env: Env;
  readonly disk: Disk;
}

/** Each takes what a correct node would be made with and gives what it is made with instead. */
export interface Parts {
  /** What a server's code runs on. */
  server(machinery: Machinery): Machinery;
  serverConfiguration(configuration: Configuration): Configuration;
  clientEnv(env: Env, configuration: Configuration): Env;
  clientScheme(scheme: SignatureScheme): SignatureScheme;
  exchange(env: Env, instance: Bytes): Exchange;
  /** @param reading true for the calls that read objects and blocks. */
  calls(calls: QuorumCalls, context: CallsContext, reading: boolean): QuorumCalls;
  rule(rule: DisseminationRule, object: Bytes, scheme: HeaderScheme): DisseminationRule;
  /** True: a crash takes the whole disk, and nobody notices. */
  readonly forgetsAtRestart: boolean;
  /** True: a server whose disk was lost is started as if it had not been. */
  readonly skipsRecovery: boolean;
  /** True: counters of an only writer do not outlive its process. */
  readonly forgetsCounters: boolean;
}

export interface CallsContext {
  readonly exchange: Exchange;
  readonly configuration: Configuration;
}

export const correctParts: Parts = {
  server: (machinery) => machinery,
  serverConfiguration: (configuration) => configuration,
  clientEnv: (env) => env,
  clientScheme: (scheme) => scheme,
  exchange: (env, instance) => new Exchange(env, instance),
  calls: (calls) => calls,
  rule: (rule) => rule,
  forgetsAtRestart: false,
  skipsRecovery: false,
  forgetsCounters: false,
};

/** Short name of a peer in messages to people. */
export function shortName(peer: PeerId): string {
  return peer.slice(0, 8);
}
