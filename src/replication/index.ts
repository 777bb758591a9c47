// What users of replicated state machines import.

export {
  type Acceptance,
  byzantineAcceptance,
  type Judgement,
  type Reply,
} from './acceptance.ts';
export { GroupClient, type GroupClientOptions } from './client.ts';
export type * from './contract.ts';
export { ServiceFailed } from './executor.ts';
export { ReplicaHost, type ReplicaHostOptions } from './host.ts';
export { createReplica } from './replica-disk.ts';
