//! Defects to plant on purpose: what looks for broken promises is itself tried on broken ones. And pauses where a simulated
//! node would take no time otherwise.
//!
//! Without the feature `planted-defects`, which only the test kit asks for, none is ever there, and nothing of this is in the
//! program. With it there is one on a thread that asked for it, and on no other.

#[cfg(not(feature = "planted-defects"))]
use std::time::Duration;

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
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 19] = [
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
    ];
}

#[cfg(feature = "planted-defects")]
mod switch {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use super::Defect;

    type Pauses = Box<dyn FnMut() -> Option<Duration>>;

    thread_local! {
        static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
        static PAUSES: RefCell<Option<Pauses>> = const { RefCell::new(None) };
    }

    /// From now on entries wait on this thread for that long before they are applied.
    pub fn pause_before_applying(pauses: impl FnMut() -> Option<Duration> + 'static) {
        PAUSES.set(Some(Box::new(pauses)));
    }

    /// How long the next entries wait before they are applied.
    pub fn next_pause() -> Option<Duration> {
        PAUSES.with_borrow_mut(|pauses| pauses.as_mut().and_then(|pauses| pauses()))
    }

    /// From now on it is there on this thread, and no other is.
    pub fn plant(defect: Option<Defect>) {
        PLANTED.set(defect);
    }

    /// Whether it is there.
    pub fn is_planted(defect: Defect) -> bool {
        PLANTED.get() == Some(defect)
    }
}

#[cfg(feature = "planted-defects")]
pub use switch::{is_planted, next_pause, pause_before_applying, plant};

/// Whether it is there: never.
#[cfg(not(feature = "planted-defects"))]
pub const fn is_planted(_: Defect) -> bool {
    false
}

/// How long the next entries wait before they are applied: not at all.
#[cfg(not(feature = "planted-defects"))]
pub const fn next_pause() -> Option<Duration> {
    None
}
