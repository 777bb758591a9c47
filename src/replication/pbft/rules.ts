// The predicates on which agreement rests, each of one line, gathered so that tests can replace one by a wrong one and
// show that the difference is found. Thresholds: n = 3f+1, so two sets of 2f+1 share a correct member, and of f+1
// members one is correct.

export interface PbftRules {
  /**
   * A batch is prepared by its PRE-PREPARE and PREPAREs of 2f backups, one's own included. The primary's is never
   * counted: its PRE-PREPARE is its vote.
   */
  isPrepared(backupVotes: number, faults: number): boolean;
  mayPrepare(member: number, primary: number): boolean;
  /** 2f+1 COMMITs, one's own included. */
  isCommitted(votes: number, faults: number): boolean;
  /** f+1 members say that they know a batch to be committed: one of them is correct. */
  isCommittedByClaims(claims: number, faults: number): boolean;
  isStable(votes: number, faults: number): boolean;
  /** A view has one NEW-VIEW for ever: whoever is active in it has had it. */
  mayAcceptNewView(view: number, isActive: boolean, offered: number): boolean;
  /** The low water mark after a NEW-VIEW: raised before anything else, whether or not the state is here. */
  heightAfterNewView(own: number, height: number): number;
  /** Sequences that a primary may assign by PRE-PREPARE: those of its NEW-VIEW are taken. */
  mayPrePrepare(sequence: number, newViewTop: number, height: number, window: number): boolean;
  /** H: the last sequence for which anything is taken. Without it a primary could use up sequences, and memory. */
  windowTop(height: number, window: number): number;
  /** A second, different PRE-PREPARE for a slot of the view is refused. */
  mayReplaceAccepted(): boolean;
  /** A1: members of V that prepared nothing else in a view as late as the claim's. */
  hasNoLaterClaim(members: number, faults: number): boolean;
  /** A2: members of V that accepted the digest in a view as late as the claim's. One is correct. */
  isVouched(members: number, faults: number): boolean;
  /** Null is a digest like any other: what has prepared it may claim that in later views. */
  isClaim(isNull: boolean): boolean;
  /** B: members of V that prepared nothing at the sequence. */
  mayBeNull(members: number, faults: number): boolean;
  /** V may be any 2f+1 or more: fixed at 2f+1, one liar in it blocks for ever. */
  isViewChangeQuorum(members: number, faults: number): boolean;
  /** So many members that want a later view contain a correct one: follow. */
  mustJoin(members: number, faults: number): boolean;
  /** A VIEW-CHANGE whose author has lost its disk since. */
  isVoid(forgotten: number, known: number): boolean;
  /**
   * Others that work in a view which rests on a void VIEW-CHANGE: 2f+1 cannot have entered it wrongly, since at most 2f do
   * not know of the loss.
   */
  mayFollow(members: number, faults: number): boolean;
  /** A disk that was made in the place of a lost one: until the member has recovered it makes no promises. */
  isForgetful(hasForgotten: boolean, hasRecovered: boolean): boolean;
  /** So many members have lost patience with the view that one of them is correct: leave it, be this one of them or not. */
  mustLeave(members: number, faults: number, isOneOfThem: boolean): boolean;
  /** Whether accepting a batch enters Q: also the primary's own, and those of a NEW-VIEW. */
  entersQ(isPrimary: boolean, isFromNewView: boolean): boolean;
  /** A read waits for everything up to here: it might be committed and finished. */
  readFloor(height: number, newViewTop: number, preparedTop: number): number;
  /**
   * Whether the primary has the whole time again when another request waits longest: only once the view has executed
   * something new.
   */
  restartsClock(isOther: boolean, hasProgress: boolean): boolean;
  /** A checkpoint is voted for when it is on disk. */
  mayVoteForCheckpoint(isSaved: boolean): boolean;
}

export const pbftRules: PbftRules = {
  isPrepared: (backupVotes, faults) => backupVotes >= 2 * faults,
  mayPrepare: (member, primary) => member !== primary,
  isCommitted: (votes, faults) => votes >= 2 * faults + 1,
  isCommittedByClaims: (claims, faults) => claims >= faults + 1,
  isStable: (votes, faults) => votes >= 2 * faults + 1,
  mayAcceptNewView: (view, isActive, offered) => offered > view || (offered === view && !isActive),
  heightAfterNewView: (own, height) => Math.max(own, height),
  mayPrePrepare: (sequence, newViewTop, height, window) =>
    sequence > newViewTop && sequence > height && sequence <= height + window,
  windowTop: (height, window) => height + window,
  mayReplaceAccepted: () => false,
  hasNoLaterClaim: (members, faults) => members >= 2 * faults + 1,
  isVouched: (members, faults) => members >= faults + 1,
  isClaim: () => true,
  mayBeNull: (members, faults) => members >= 2 * faults + 1,
  isViewChangeQuorum: (members, faults) => members >= 2 * faults + 1,
  mustJoin: (members, faults) => members >= faults + 1,
  isVoid: (forgotten, known) => forgotten < known,
  mayFollow: (members, faults) => members >= 2 * faults + 1,
  isForgetful: (hasForgotten, hasRecovered) => hasForgotten && !hasRecovered,
  mustLeave: (members, faults) => members >= faults + 1,
  entersQ: () => true,
  readFloor: (height, newViewTop, preparedTop) => Math.max(height, newViewTop, preparedTop),
  restartsClock: (isOther, hasProgress) => isOther && hasProgress,
  mayVoteForCheckpoint: (isSaved) => isSaved,
};
