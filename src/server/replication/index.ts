// `import { … } from 'holdfast/replication'`: replicated state machines on real machines.

export type { Log, LogFields } from '../../env/log.ts';
export type {
  Engine,
  Evidence,
  OperationContext,
  Outcome,
  PageStore,
  ReplicaGroup,
  ReplicaStatus,
  ReplicatedClient,
  StateMachine,
  SubmitOptions,
} from '../../replication/contract.ts';
export { type ConnectedGroup, type ConnectGroupOptions, connectGroup } from './client.ts';
export {
  type CheckedEvidence,
  type CheckedEvidenceFile,
  checkEvidenceFile,
} from './evidence-file.ts';
export { describeGroup, type GroupMember, memberKey, type PlacedGroup } from './group.ts';
export {
  createReplicaFolder,
  type EngineChoice,
  type ReplicaOptions,
  type RunningReplica,
  recoverReplicaFolder,
  startReplica,
} from './replica.ts';
