// Every bound that a peer could push against, on one page. docs/WIRE.md repeats the wire limits; a test compares them.

const kiB = 1024;
const miB = 1024 * kiB;

export const limits = {
  /** One immutable block. Larger files are trees of blocks. */
  blockSizeBytesMax: 1 * miB,
  /** Content up to this length lies in its root: one block instead of two. */
  contentInlineSizeBytesMax: 32 * kiB,
  /** Children of one node of a content's tree. */
  contentFanOut: 1024,
  /** Blocks that one upload or download keeps in memory at a time. */
  transferBlocksInFlight: 8,
  /** The data of one version of a mutable object; larger values are kept as blocks under the object. */
  objectSizeBytesMax: 1 * miB,
  /** Data that a version reply carries inline when asked to. */
  inlineSizeBytesMax: 64 * kiB,
  /** A message's payload of a type that has no smaller bound of its own. */
  messageSizeBytesMax: 1 * miB + 4 * kiB,
  /** A configuration in one message. */
  configurationSizeBytesMax: 4 * miB,
  configurationMembersMax: 8192,
  hostNameBytesMax: 253,
  clientNameBytesMax: 64,
  textBytesMax: 512,
  /** Entries of one page of a listing. */
  listEntriesMax: 512,
  /** Tolerated faults per group. */
  faultsMax: 16,

  /** Bytes waiting to leave on one connection before messages are dropped. */
  sendQueueBytesMax: 16 * miB,
  /** Bytes waiting to leave on all incoming connections together; above it those that do not read are dropped. */
  sendQueuesBytesMax: 192 * miB,
  /** A connection with less waiting output than this is not dropped for what others do not read. */
  sendQueueBytesMin: 2 * miB,
  /** Waiting output above which a stranger gets no further answer. */
  strangerSendQueueBytesMax: 64 * kiB,
  /** Above this much waiting output a connection is not read from until the output drains. */
  sendQueueBytesPause: 4 * miB,
  /** Bytes of one connection that have arrived but were not yet handled. */
  receiveBufferBytesMax: 8 * miB,
  /** Incoming connections of one server, all peers together. */
  connectionsMax: 1024,
  /** Incoming connections under one peer key. */
  connectionsPerPeerMax: 64,
  /** Incoming connections that have not proved a key yet; above it the oldest gives way. */
  handshakesMax: 256,
  /** Incoming connections of one address at once; above it no more than the next number are taken. */
  handshakesAtOnceMax: 256,
  /** Incoming connections of one address in each second, in the long run. */
  handshakesPerSecondMax: 50,
  /** Addresses whose connections are counted; of more, those that have been silent longest are forgotten. */
  handshakeAddressesMax: 4096,
  /** A connection that has not finished its handshake and greeting by then is dropped. */
  handshakeTimeoutMs: 10_000,
  /** An incoming connection that stays silent for so long is dropped. */
  idleTimeoutMs: 300_000,
  /** An outgoing connection on which nothing came back for so long after something was sent is dialled anew; a third of it after something came, the accepting end says at least that. */
  silenceTimeoutMs: 15_000,
  /** A frame that has begun to arrive must be complete after so long. */
  frameTimeoutMs: 60_000,
  /** Requests of one connection that wait for durability at a storage replica. */
  pendingRequestsPerChannelMax: 1024,
  /** Bytes of not yet durable writes of all channels at a storage replica. */
  pendingBytesMax: 256 * miB,
  /** Malformed or refused messages after which a connection is closed. */
  badMessagesPerChannelMax: 100,
  /** Clients known to be certified; more are forgotten and must greet again. */
  certifiedClientsMax: 10_000,
  /** A message from a peer that is neither a member nor a certified client. */
  strangerMessageSizeBytesMax: 4 * kiB,
  /** Objects being repaired at a time. */
  repairsInFlightMax: 32,
  /** Objects waiting for repair; more are found again by the next scrub. */
  repairsQueuedMax: 4096,
  // ---- Replicated state machines ----
  /** A message between replicas, or a client's. */
  replicationMessageSizeBytesMax: 2 * miB,
  /** One operation of a client. */
  operationSizeBytesMax: 64 * kiB,
  /** One result. */
  resultSizeBytesMax: 64 * kiB,
  /** A primary's non-deterministic input for one batch. */
  agreedSizeBytesMax: 16 * kiB,
  /** Requests of one client under one signature, and the depth of the tree over them. */
  bundleRequestsMax: 1024,
  bundlePathMax: 10,
  /** One page of a service's state. */
  pageSizeBytesMax: 16 * kiB,
  /** Pages of one region: three levels of inner nodes. */
  pagesMax: 2 ** 24,
  pageTreeFanOut: 256,
  /** Nodes or pages asked for, or answered, in one message. */
  fetchIndexesMax: 64,
  /** Results above 256 bytes that the table keeps of one client together; the oldest go. At least the largest result. */
  clientResultsSizeBytesMax: 128 * kiB,
  /** Operations of one client in flight; the table remembers as many results. */
  clientWindow: 32,
  /** Clients that the replicated table remembers; the longest silent one gives way. */
  replicatedClientsMax: 4096,
  /** Clients whose channel a replica remembers for its replies; the longest silent one gives way. */
  clientChannelsMax: 8192,
  /** Answers to one client that wait for the disk; more are dropped. */
  waitingSendsPerClientMax: 128,
  /** Messages to one member alone that wait for the disk; more are dropped. */
  waitingSendsPerReplicaMax: 4096,
  /** Operations that wait at a client for a place in its window. */
  queuedOperationsMax: 65_536,

  /** Requests that PBFT orders as one batch. */
  batchRequestsMax: 512,
  /**
   * Bytes of one batch with proofs: room for four of the largest requests and a little more. Times the window it bounds
   * what a primary can make others hold, and how long what is small waits for a batch of large ones.
   */
  batchSizeBytesMax: 288 * kiB,
  /** Members of a PBFT group: sets of them are bits of a number that a double holds exactly. */
  pbftMembersMax: 49,
  /** Batches between the water marks. */
  pbftWindowMax: 512,
  /** Digests that one member claims to have accepted for one sequence. */
  acceptedDigestsMax: 64,
  /** Batches that one status message tells of. */
  statusSlotsMax: 64,
  /** Changes of keys by one member. What a recovery asks to be ordered is numbered from the counter, 65536 each. */
  newKeyCounterMax: 2 ** 36,
  /** A statement that the module with a member's key is asked to sign. */
  signedStatementSizeBytesMax: 256,
  /** Why it does not sign. */
  signingRefusalSizeBytesMax: 256,
  /** Connections to it at a time, and questions on one that wait. */
  signingConnectionsMax: 16,
  signingQuestionsMax: 16,
  /**
   * Changes of keys that it signs at once, also right after its start, and the time after which it signs one more. Others believe
   * so many more that no restarts use that up.
   */
  signingKeyChangesMax: 16,
  signingKeyChangeIntervalMs: 60_000,
  /** Requests that a replica holds unexecuted, and their bytes. */
  queuedRequestsMax: 16_384,
  queuedRequestsSizeBytesMax: 64 * miB,
  /** With so many of one client a PBFT replica takes nothing more of it but what members hand on. */
  queuedRequestsPerClientMax: 2048,
  /** Of clients' requests that wait for a place in a batch: bytes of all, and of one client. */
  waitingRequestsSizeBytesMax: 8 * miB,
  queuedRequestsClientSizeBytesMax: 1 * miB,
  /** Of clients' requests that wait at a backup to be handed to the primary. */
  backupRequestsSizeBytesMax: 2 * miB,
  /** What all backups together may have handed to a primary that is not done, and each at least. */
  handedOnSizeBytesMax: 512 * kiB,
  handedOnSizeBytesMin: 128 * kiB,
  /** Requests that one backup may have handed on so. */
  handedOnRequestsMax: 64,
  /** Clients whose wrong proofs a PBFT replica counts. */
  throttledClientsMax: 1024,
  /** Clients that a PBFT replica remembers to have contradicted themselves. */
  caughtClientsMax: 1024,
  /** Reads that wait for batches, all clients together and of one. */
  heldQueriesMax: 4096,
  heldQueriesPerClientMax: 64,

  /** Members of a Viewstamped Replication group. */
  vrMembersMax: 33,
  /** One encoded batch of it, and batches or their bytes in one message. */
  vrEntrySizeBytesMax: 1 * miB + 64 * kiB,
  vrEntriesPerMessageMax: 1024,
  vrEntriesSizeBytesMax: 1 * miB + 512 * kiB,
  /** Bytes of the log that a member keeps below its newest checkpoint, and that a witness keeps instead of a state. */
  vrLogSizeBytesMax: 64 * miB,

  /** One record of the journal on disk. */
  journalRecordSizeBytesMax: 4 * miB,
} as const;
