//! The faults and their names.

use std::fmt;

/// What may happen to a node. What it needs to be undone is done by a later one, or at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGTERM, and its clean end.
    Stop,
    /// SIGSTOP, for longer than an election takes or shorter.
    Freeze,
    /// Its disk is emptied while it is still a voter, and it starts again.
    Reimage,
    /// The same, and the leader is killed while it comes back.
    ReimageThenKillLeader,
    /// Its wall clock goes wrong, by up to a year.
    WrongClock,
    /// Nothing passes between it and the other nodes.
    Cut,
    /// What it sends to one other node is lost, and what comes from there arrives.
    OneWayCut,
    /// It sees both others, which do not see each other.
    Bridge,
    /// The way to it, or every way, is slow.
    SlowNetwork,
    /// On the way to it, or on every way, pieces are lost and sent again, and connections break.
    LossyNetwork,
    /// Its disk is full, until it is freed.
    DiskFull,
    /// An operator moves leadership.
    TransferLeader,
    /// An operator makes the state durable, and the log behind it goes.
    Snapshot,
    /// An operator ends all sessions of the second namespace, or of one of its groups.
    Truncate,
}

impl Fault {
    pub(super) const ALL: [Self; 15] = [
        Self::Kill,
        Self::Stop,
        Self::Freeze,
        Self::Reimage,
        Self::ReimageThenKillLeader,
        Self::WrongClock,
        Self::Cut,
        Self::OneWayCut,
        Self::Bridge,
        Self::SlowNetwork,
        Self::LossyNetwork,
        Self::DiskFull,
        Self::TransferLeader,
        Self::Snapshot,
        Self::Truncate,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Reimage => "reimage",
            Self::ReimageThenKillLeader => "reimage, then the leader killed",
            Self::WrongClock => "wrong clock",
            Self::Cut => "cut off",
            Self::OneWayCut => "cut off one way",
            Self::Bridge => "bridge between two that are cut off",
            Self::SlowNetwork => "slow network",
            Self::LossyNetwork => "lossy network",
            Self::DiskFull => "disk full",
            Self::TransferLeader => "leadership moved",
            Self::Snapshot => "state made durable",
            Self::Truncate => "namespace truncated",
        })
    }
}
