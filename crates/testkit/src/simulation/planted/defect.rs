use sessile_core::injected::Decisions;

/// A way to break a promise, each one that somebody has made a cluster of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// A read is answered from what this node has, without asking whether it is current.
    ReadWithoutReadIndex,
    /// A leader answers reads without asking whether anybody else has been elected.
    LeaderAsksNobody,
    /// A leader answers for what it has applied, though other members may have applied more.
    LeaderAnswersForItsOwnState,
    /// An append is acknowledged before it is on the disk.
    AckBeforeFsync,
    /// A vote is given and not written down.
    VoteNotPersisted,
    /// A node's id follows from its name, so that it comes back with an empty disk under its old one.
    IdentityReusedAfterWipe,
    /// A cluster is made although a seed has not answered.
    BootstrapWithOneSeedSilent,
    /// A read judges expiry by its node's clock.
    ExpiryByWallClock,
    /// A plain put that is tried again is another command.
    PutForgetsItself,
    /// A conditional write that is tried again is another command.
    ConditionalForgetsItself,
    /// What commands did is not in a snapshot.
    OutcomesLostInSnapshot,
    /// Entries are stamped with the clock of one member.
    FollowersClockStamped,
    /// Bytes are removed by a clock that no crash would leave: one that the state does not hold.
    ReapedByUnpersistedClock,
    /// The log is purged up to what is applied and not durable in the state.
    PurgeAheadOfPersist,
    /// A joint change of the membership that another leader began stays as it is.
    JointChangeLeftUnfinished,
    /// A leader that was restarted goes on in its old term.
    LeaderResumesItsTerm,
    /// A fetched state is put over a log of another history.
    StateOverConflictingLog,
    /// A snapshot is of a moment before the one it says.
    SnapshotMissesTheLastWrite,
    /// A learner is promoted as soon as it is there.
    PromotionBeforeCatchUp,
    /// A leader waits no longer for the answer to a heartbeat than until the next one.
    HeartbeatGivenUpEarly,
    /// A command is proposed after its deadline.
    ProposedAfterItsDeadline,
    /// A second disk under a node's id is let in.
    SecondUserOfAnId,
    /// A dead voter keeps its vote when its machine comes back empty.
    DeadVoterKept,
    /// Who asks again by name is taken for one who asks for the first time.
    AnswersForgotten,
    /// Under a path that a node does not know yet, it says that there is no session.
    UnknownNamespaceIsGone,
    /// Newer rules are raised as soon as one member can follow them.
    RulesRaisedTooEarly,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::ReadWithoutReadIndex,
        Self::LeaderAsksNobody,
        Self::LeaderAnswersForItsOwnState,
        Self::AckBeforeFsync,
        Self::VoteNotPersisted,
        Self::IdentityReusedAfterWipe,
        Self::BootstrapWithOneSeedSilent,
        Self::ExpiryByWallClock,
        Self::PutForgetsItself,
        Self::ConditionalForgetsItself,
        Self::OutcomesLostInSnapshot,
        Self::FollowersClockStamped,
        Self::ReapedByUnpersistedClock,
        Self::PurgeAheadOfPersist,
        Self::JointChangeLeftUnfinished,
        Self::LeaderResumesItsTerm,
        Self::StateOverConflictingLog,
        Self::SnapshotMissesTheLastWrite,
        Self::PromotionBeforeCatchUp,
        Self::HeartbeatGivenUpEarly,
        Self::ProposedAfterItsDeadline,
        Self::SecondUserOfAnId,
        Self::DeadVoterKept,
        Self::AnswersForgotten,
        Self::UnknownNamespaceIsGone,
        Self::RulesRaisedTooEarly,
    ];

    /// What is decided in the program's place.
    pub(in crate::simulation) fn decisions(self) -> Decisions {
        match self {
            Self::LeaderResumesItsTerm => Decisions { leader_resumes_its_term: true, ..Decisions::OWN },
            Self::JointChangeLeftUnfinished => Decisions { leader_ends_changes_of_others: false, ..Decisions::OWN },
            Self::PromotionBeforeCatchUp => Decisions { learners_wait_for_a_vote: false, ..Decisions::OWN },
            Self::StateOverConflictingLog => Decisions { state_replaces_another_history: false, ..Decisions::OWN },
            Self::HeartbeatGivenUpEarly => Decisions { heartbeats_await_answers: false, ..Decisions::OWN },
            Self::RulesRaisedTooEarly => Decisions { rules_await_all: false, ..Decisions::OWN },
            Self::SecondUserOfAnId => Decisions { copies_are_told: false, ..Decisions::OWN },
            _ => Decisions::OWN,
        }
    }
}
