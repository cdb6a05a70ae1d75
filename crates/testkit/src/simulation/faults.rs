//! What happens to the nodes of a simulation, drawn by its seed.

use std::fmt;

/// One kind of bad day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The process ends at once; what the kernel holds stays.
    Kill,
    /// The machine loses its power: what was not synced is lost, or some of it.
    PowerCut,
    /// All machines lose their power at once.
    PowerCutOfAll,
    /// The program is told to stop, and does so in its own time.
    Stop,
    /// A voter comes back with an empty disk.
    Wipe,
    /// The same, and the leader is killed before it is a voter again.
    WipeThenKillLeader,
    /// One after the other, all of them, each as soon as the one before is a voter.
    WipeAllInTurn,
    /// A node's disk is as it was some time ago, while the others stay up.
    Rollback,
    /// A node's state is damaged while it is down; its log is whole. Half of the time it led, and was cut off before.
    DamagedState,
    /// For longer or shorter than an election takes, nothing a node says arrives, nor does it hear anything; then all does.
    Hold,
    /// What passes between a node and the others is lost.
    Cut,
    /// What a node sends to another is lost, and what comes from there arrives.
    OneWayCut,
    /// One sees two others that do not see each other.
    Bridge,
    /// What passes between two nodes takes long, and longer at times.
    SlowLink,
    /// A clock is wrong, by up to a year.
    WrongClock,
    /// The clocks of a majority are ahead by more than an hour, and no two of these agree.
    ClocksApart,
    /// Writes to a disk take long.
    SlowDisk,
    /// An fsync fails.
    FailedSync,
    /// An operator moves leadership.
    TransferLeader,
    /// An operator makes a state durable.
    Snapshot,
    /// An operator removes a member; it comes back with an empty disk.
    Remove,
    /// A process stands still, as one does that was stopped: nothing reaches it or leaves it, and then all that was sent to
    /// it is there, and all its timers are late at once.
    StandsStill,
    /// One, several or all come back at other addresses.
    Moves,
    /// A machine is gone for good, and another one comes in its place, under a new name.
    Newcomer,
    /// A copy of a running node's disk is started on another machine.
    Copy,
}

impl Fault {
    /// All of them, and how often each is drawn beside the others.
    pub(super) const WEIGHTS: [(Self, u32); 25] = [
        (Self::Kill, 10),
        (Self::PowerCut, 10),
        (Self::PowerCutOfAll, 4),
        (Self::Stop, 5),
        (Self::Wipe, 6),
        (Self::WipeThenKillLeader, 4),
        (Self::WipeAllInTurn, 1),
        (Self::Rollback, 6),
        (Self::DamagedState, 4),
        (Self::Hold, 10),
        (Self::Cut, 8),
        (Self::OneWayCut, 8),
        (Self::Bridge, 6),
        (Self::SlowLink, 6),
        (Self::WrongClock, 8),
        (Self::ClocksApart, 3),
        (Self::SlowDisk, 5),
        (Self::FailedSync, 4),
        (Self::TransferLeader, 8),
        (Self::Snapshot, 8),
        (Self::Remove, 3),
        (Self::StandsStill, 8),
        (Self::Moves, 4),
        (Self::Newcomer, 2),
        (Self::Copy, 3),
    ];

    /// Whether it would be more than a majority has to survive, were anything else broken.
    pub(super) fn needs_all_well(self) -> bool {
        match self {
            Self::Wipe
            | Self::WipeThenKillLeader
            | Self::WipeAllInTurn
            | Self::Rollback
            | Self::DamagedState
            | Self::Remove
            | Self::Moves
            | Self::Newcomer
            | Self::Copy => true,
            Self::Kill
            | Self::PowerCut
            | Self::PowerCutOfAll
            | Self::Stop
            | Self::Hold
            | Self::Cut
            | Self::OneWayCut
            | Self::Bridge
            | Self::SlowLink
            | Self::WrongClock
            | Self::ClocksApart
            | Self::SlowDisk
            | Self::FailedSync
            | Self::TransferLeader
            | Self::Snapshot
            | Self::StandsStill => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::PowerCut => "power cut",
            Self::PowerCutOfAll => "power cut of all at once",
            Self::Stop => "stop",
            Self::Wipe => "wiped while a voter",
            Self::WipeThenKillLeader => "wiped, then the leader killed",
            Self::WipeAllInTurn => "all wiped in turn",
            Self::Rollback => "disk rolled back",
            Self::DamagedState => "state damaged",
            Self::Hold => "held up",
            Self::Cut => "cut off",
            Self::OneWayCut => "cut off one way",
            Self::Bridge => "bridge between two that are cut off",
            Self::SlowLink => "slow link",
            Self::WrongClock => "wrong clock",
            Self::ClocksApart => "clocks that no majority agrees on",
            Self::SlowDisk => "slow disk",
            Self::FailedSync => "failed fsync",
            Self::TransferLeader => "leadership moved",
            Self::Snapshot => "state made durable",
            Self::Remove => "member removed",
            Self::StandsStill => "process that stands still",
            Self::Moves => "other addresses",
            Self::Newcomer => "replaced under a new name",
            Self::Copy => "copy of a disk started",
        })
    }
}
