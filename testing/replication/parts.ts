// The places where a replicated group under simulation takes its parts from, so that a mutant can put a broken one in
// without touching the code under test.

import type { SignatureScheme } from '../../src/crypto/signature.ts';
import type { Disk } from '../../src/env/disk.ts';
import type { Acceptance } from '../../src/replication/acceptance.ts';
import type { Engine, StateMachine } from '../../src/replication/contract.ts';
import { type PbftRules, pbftRules } from '../../src/replication/pbft/rules.ts';
import { type VrRules, vrRules } from '../../src/replication/vr/rules.ts';

/** Each takes what a correct node would be made with and gives what it is made with instead. */
export interface Parts {
  readonly pbftRules: PbftRules;
  readonly vrRules: VrRules;
  engine(engine: Engine): Engine;
  service(service: StateMachine): StateMachine;
  disk(disk: Disk): Disk;
  /** With which replicas check what others have signed. */
  scheme(scheme: SignatureScheme): SignatureScheme;
  acceptance(acceptance: Acceptance, faults: number): Acceptance;
  /** True: a replica's disk is as new after each restart. */
  readonly forgetsAtRestart: boolean;
  /** True: a replica that does not have the state with which the instance begins goes on without it. */
  readonly ignoresGenesis: boolean;
  /** True: a client that follows an ended group gives new numbers to what it had under way. */
  readonly renumbersFollowers: boolean;
  /** True: a restarted client begins with number 1 again. */
  readonly reusesNumbers: boolean;
  /** Breaks code that can be had no other way; the result mends it. One run at a time. */
  patch(): () => void;
}

export const correctParts: Parts = {
  pbftRules,
  vrRules,
  engine: (engine) => engine,
  service: (service) => service,
  disk: (disk) => disk,
  scheme: (scheme) => scheme,
  acceptance: (acceptance) => acceptance,
  forgetsAtRestart: false,
  ignoresGenesis: false,
  renumbersFollowers: false,
  reusesNumbers: false,
  patch: () => () => {},
};
