// `import { … } from 'holdfast/replication'`: replicated state machines on real machines.

export type { Log, LogFields } from '../../env/log.ts';
export type { Address } from '../../env/network.ts';
export type {
  Engine,
  Evidence,
  OperationContext,
  Outcome,
  PageChange,
  PageStore,
  ReplicaGroup,
  ReplicaStatus,
  ReplicatedClient,
  StateMachine,
  SubmitOptions,
} from '../../replication/contract.ts';
export type { PbftParameters } from '../../replication/pbft/index.ts';
export { serviceLimits } from '../../replication/service-limits.ts';
export type { VrParameters } from '../../replication/vr/parameters.ts';
export {
  type ConnectedGroup,
  type ConnectGroupOptions,
  connectGroup,
  type FollowOptions,
} from './client.ts';
export { checkEnding, type Ending } from './ending.ts';
export {
  type CheckedEvidence,
  type CheckedEvidenceFile,
  checkEvidenceFile,
} from './evidence-file.ts';
export { createReplicaFolder, readEnding, recoverReplicaFolder } from './folder.ts';
export { describeGroup, type GroupMember, memberKey, type PlacedGroup } from './group.ts';
export {
  type EngineChoice,
  type ReplicaOptions,
  type RunningReplica,
  startReplica,
} from './replica.ts';
export { createSigningFolder } from './signing/folder.ts';
export {
  type SigningModule,
  type SigningModuleOptions,
  startSigningModule,
} from './signing/module.ts';
