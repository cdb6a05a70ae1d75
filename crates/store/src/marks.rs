//! The small files by which a data directory is recognised again. Each is replaced whole, durably.

use std::path::PathBuf;
use std::time::Duration;

use sessile_core::LogTime;

use crate::codec::{seal, unseal};
use crate::data_dir::{DataDir, read, write_durably};
use crate::log::LogPosition;
use crate::types::{log_id, position};
use crate::{ClusterId, LogId, NodeId, StoreError, Unfinished};

/// The cluster that the directory belongs to.
pub(crate) const CLUSTER: &str = "CLUSTER";
/// There after a clean stop only: how far the state was applied.
const CLEAN: &str = "CLEAN";
/// The cluster that the directory once held, before its data was discarded.
pub(crate) const FORMER: &str = "FORMER";
/// There once the cluster has said that it removed this node.
const REMOVED: &str = "REMOVED";
/// There once the cluster has said that another node has this one's place: when it said so.
pub(crate) const REPLACED: &str = "REPLACED";
/// When it last said so of a node whose data was set aside for that.
pub(crate) const REJOINED: &str = "REJOINED";
/// There once the members have found that this node's state is not what the log made of theirs.
const CONDEMNED: &str = "CONDEMNED";
/// When the member last noted that it ran.
const MOMENT: &str = "MOMENT";
/// The cluster that a node without one has promised itself to.
const RESERVED: &str = "RESERVED";
/// There while a backup is being made a node's data.
pub(crate) const RESTORING: &str = "RESTORING";
/// There while a node is being made the only member of a new cluster: that cluster.
const RESCUING: &str = "RESCUING";

/// How long after it came back as a new node by itself a directory does so again. Whoever is replaced twice in so short a time
/// comes and goes, or somebody undoes what it does: that is a matter for an operator. Longer than it takes until a voter is
/// replaced, which is ten minutes by default.
const REJOINS_AGAIN_AFTER: Duration = Duration::from_secs(30 * 60);

/// The cluster that a directory once held: it may join one, and must never begin one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// This one.
    Cluster(ClusterId),
    /// One that could not be told any more.
    Unknown,
}

/// A promise of a node that belongs to no cluster: it takes part in the making of this one, and of no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reservation {
    /// The cluster that is being made.
    pub cluster: ClusterId,
    /// Who makes it.
    pub initiator: NodeId,
}

pub(crate) fn cluster(dir: &DataDir) -> Result<Option<ClusterId>, StoreError> {
    let Some(bytes) = dir.read(CLUSTER)? else { return Ok(None) };
    let unreadable = |error| dir.disagreement(format!("{CLUSTER} cannot be read: {error}"));
    unseal(&bytes).map(Some).map_err(unreadable)
}

pub(crate) fn set_cluster(dir: &DataDir, cluster: ClusterId) -> Result<(), StoreError> {
    dir.write_durably(CLUSTER, &seal(&cluster))
}

/// Without a mark `None`. One that cannot be read is a mark all the same: it takes a right away, and gives none.
pub(crate) fn former(dir: &DataDir) -> Result<Option<Former>, StoreError> {
    let Some(bytes) = dir.read(FORMER)? else { return Ok(None) };
    let known = unseal::<Option<ClusterId>>(&bytes).ok().flatten();
    Ok(Some(known.map_or(Former::Unknown, Former::Cluster)))
}

pub(crate) fn set_former(dir: &DataDir, former: Former) -> Result<(), StoreError> {
    let known = match former {
        Former::Cluster(cluster) => Some(cluster),
        Former::Unknown => None,
    };
    dir.write_durably(FORMER, &seal(&known))
}

/// A reservation that cannot be read is an error: to forget it could make two clusters.
pub(crate) fn reservation(dir: &DataDir) -> Result<Option<Reservation>, StoreError> {
    let Some(bytes) = dir.read(RESERVED)? else { return Ok(None) };
    let unreadable = |error| dir.disagreement(format!("{RESERVED} cannot be read: {error}"));
    unseal(&bytes).map(Some).map_err(unreadable)
}

pub(crate) fn set_reservation(dir: &DataDir, reservation: Reservation) -> Result<(), StoreError> {
    dir.write_durably(RESERVED, &seal(&reservation))
}

pub(crate) fn remove_reservation(dir: &DataDir) -> Result<(), StoreError> {
    dir.remove_durably(RESERVED)
}

/// What speaks of the time before the directory belonged to its cluster.
pub(crate) fn remove_what_membership_settled(dir: &DataDir) -> Result<(), StoreError> {
    remove_reservation(dir)?;
    dir.remove_durably(FORMER)
}

pub(crate) fn is_removed(dir: &DataDir) -> Result<bool, StoreError> {
    Ok(dir.read(REMOVED)?.is_some())
}

pub(crate) fn is_replaced(dir: &DataDir) -> Result<bool, StoreError> {
    Ok(dir.read(REPLACED)?.is_some())
}

/// Remembers, beyond what is set aside, that it came to that.
pub(crate) fn keep_when_replaced(dir: &DataDir) -> Result<(), StoreError> {
    match dir.read(REPLACED)? {
        Some(when) => dir.write_durably(REJOINED, &when),
        None => Ok(()),
    }
}

pub(crate) fn is_condemned(dir: &DataDir) -> Result<bool, StoreError> {
    Ok(dir.read(CONDEMNED)?.is_some())
}

pub(crate) fn remove_condemned(dir: &DataDir) -> Result<(), StoreError> {
    dir.remove_durably(CONDEMNED)
}

/// An error if a restore or a rescue was cut short here.
pub(crate) fn assert_finished(dir: &DataDir) -> Result<(), StoreError> {
    for (mark, act) in [(RESTORING, Unfinished::Restore), (RESCUING, Unfinished::Rescue)] {
        if dir.read(mark)?.is_some() {
            return Err(StoreError::CutShort { dir: dir.path().into(), act });
        }
    }
    Ok(())
}

pub(crate) fn is_restoring(dir: &DataDir) -> Result<bool, StoreError> {
    Ok(dir.read(RESTORING)?.is_some())
}

pub(crate) fn begin_restoring(dir: &DataDir) -> Result<(), StoreError> {
    dir.write_durably(RESTORING, b"a backup is being restored here\n")
}

pub(crate) fn end_restoring(dir: &DataDir) -> Result<(), StoreError> {
    dir.remove_durably(RESTORING)
}

/// The new cluster of a rescue that was begun; `None` without one.
pub(crate) fn rescuing(dir: &DataDir) -> Result<Option<ClusterId>, StoreError> {
    let Some(bytes) = dir.read(RESCUING)? else { return Ok(None) };
    let unreadable = |error| dir.disagreement(format!("{RESCUING} cannot be read: {error}"));
    unseal(&bytes).map(Some).map_err(unreadable)
}

pub(crate) fn begin_rescuing(dir: &DataDir, cluster: ClusterId) -> Result<(), StoreError> {
    dir.write_durably(RESCUING, &seal(&cluster))
}

pub(crate) fn end_rescuing(dir: &DataDir) -> Result<(), StoreError> {
    dir.remove_durably(RESCUING)
}

/// When a member last noted that it ran, by what no clock that is set can change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moment {
    /// Which start of the machine it was.
    pub boot: String,
    /// How long the machine had run, in milliseconds.
    pub uptime_ms: u64,
    /// What the replicated clock showed, in milliseconds since the Unix epoch.
    pub reached_ms: u64,
}

/// What a running member may note in its directory, for its next start.
#[derive(Debug, Clone)]
pub struct Notes {
    dir: PathBuf,
}

impl Notes {
    pub(crate) fn new(dir: &DataDir) -> Self {
        Self { dir: dir.path().into() }
    }

    /// The cluster has removed this node: it does not start again before its data was discarded.
    ///
    /// # Errors
    /// The disk.
    pub fn removed(&self) -> Result<(), StoreError> {
        write_durably(&self.dir.join(REMOVED), b"this node was removed from its cluster\n")
    }

    /// The cluster has given this node's place to another one while it was away: its next start sets its data aside and is
    /// that of a new node. `false`, and nothing noted, if that has happened here a short while ago.
    ///
    /// # Errors
    /// The disk.
    pub fn replaced(&self, now: LogTime) -> Result<bool, StoreError> {
        // One that cannot be read might be of a moment ago.
        let noted = read(&self.dir.join(REJOINED))?;
        let last = noted.map(|bytes| unseal::<u64>(&bytes).unwrap_or(now.as_millis()));
        let again = REJOINS_AGAIN_AFTER.as_millis();
        if last.is_some_and(|last| u128::from(last.abs_diff(now.as_millis())) < again) {
            return Ok(false);
        }
        write_durably(&self.dir.join(REPLACED), &seal(&now.as_millis()))?;
        Ok(true)
    }

    /// This member runs at that moment.
    ///
    /// # Errors
    /// The disk.
    pub fn runs(&self, moment: &Moment) -> Result<(), StoreError> {
        write_durably(&self.dir.join(MOMENT), &seal(moment))
    }

    /// When it last noted that it ran; `None` if it never did, or what it noted cannot be read.
    pub fn last_ran(&self) -> Option<Moment> {
        unseal(&read(&self.dir.join(MOMENT)).ok()??).ok()
    }

    /// This node's state is damaged, as two members that agree have found: the next start sets it aside and gets another
    /// one, however whole it looks.
    ///
    /// # Errors
    /// The disk.
    pub fn condemned(&self) -> Result<(), StoreError> {
        write_durably(&self.dir.join(CONDEMNED), b"the state differs from that of two other members\n")
    }
}

/// What the last clean stop left: how far the state was applied. A mark that cannot be read is no mark: then the state
/// is checked.
pub(crate) fn clean(dir: &DataDir) -> Result<Option<Option<LogId>>, StoreError> {
    let Some(bytes) = dir.read(CLEAN)? else { return Ok(None) };
    let applied = unseal::<Option<(u64, u64)>>(&bytes).ok();
    Ok(applied.map(|applied| applied.map(|(term, index)| log_id(term, index))))
}

pub(crate) fn set_clean(dir: &DataDir, applied: Option<LogId>) -> Result<(), StoreError> {
    let place = |id: LogId| {
        let LogPosition { term, index } = position(&id);
        (term, index)
    };
    dir.write_durably(CLEAN, &seal(&applied.map(place)))
}

pub(crate) fn remove_clean(dir: &DataDir) -> Result<(), StoreError> {
    dir.remove_durably(CLEAN)
}
