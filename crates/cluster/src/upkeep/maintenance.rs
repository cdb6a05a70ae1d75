use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use sessile_core::Command;
use sessile_store::{Retention, off_the_runtime};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::disk::Disk;
use crate::group::Group;
use crate::reads::Reads;
use crate::transport::Sending;

/// How often the upkeep looks around.
const ROUND: Duration = Duration::from_millis(500);
/// How far the replicated clock may fall behind the wall before an idle leader ticks through the log. It bounds how late
/// an expiry shows.
const TICK_AFTER: Duration = Duration::from_secs(1);
/// How much log may gather before the state is made durable and the log behind it goes.
const PERSIST_AFTER_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Each wait for that is between so many hundredths of it, by chance: were all members to write their tables at the same
/// moment, there would be no quorum of disks that have nothing else to do.
const SCATTER: RangeInclusive<u32> = 75..=125;
/// How often it looks whether old entries may go, if neither the state became durable nor the disk is nearly full.
const PURGE_ROUND: Duration = Duration::from_secs(5);
/// The log may take one part in so many of the room that there is for it: what is free above the reserve and what it has.
/// The rest is for the state, whose merges need as much again as they merge.
const LOG_SHARE: u64 = 4;
/// The log may take so much on the smallest disk: what a busy node writes in two minutes, so that a member that is
/// restarted finds it.
const MIN_KEEP_LOG_BYTES: u64 = 256 * 1024 * 1024;
/// The log may take so much while the disk is nearly full: about what gathers before the state is made durable, which
/// stays anyway.
const NEARLY_FULL_LOG_BYTES: u64 = PERSIST_AFTER_LOG_BYTES;
/// A member catches up from so many bytes on that its log is ahead of its state, until it is down to so many.
const CATCHES_UP_LOG_BYTES: (u64, u64) = (64 * 1024 * 1024, 4 * 1024 * 1024);
/// How many records one round looks at for expired ones: writes wait for the removal of at most this many.
const REAP_RECORDS: usize = 500;

/// When the state becomes durable, how long the log stays behind it, and when what has expired goes.
#[derive(Debug, Clone)]
pub(crate) struct Keep {
    /// How long what is applied may stay undurable in the state.
    pub(crate) persist_after: Duration,
    /// How long after its end the scan for the bytes of what has expired begins again.
    pub(crate) reap_pause: Duration,
    /// What stays in the log behind what is durable; its bytes are less where the disk has little room.
    pub(crate) log: Retention,
}

/// What a member does besides requests: keeps the clock going, makes the state durable and the log short, removes what
/// has expired.
pub(crate) struct Maintenance {
    group: Arc<Group>,
    reads: Arc<Reads>,
    disk: Arc<Disk>,
    sending: Sending,
    keep: Keep,
    persisted_at: Instant,
    /// The last entry when the state was last asked to be durable.
    persisted_upto: u64,
    /// Up to where the state was durable when it last looked what may go.
    purged_for: Option<u64>,
    purged_at: Instant,
    /// In hundredths, how long and for how much log it waits before it makes the state durable again.
    patience: u32,
    catches_up: bool,
    reap_from: Option<Bytes>,
    reap_again_at: Instant,
}

impl Maintenance {
    pub(crate) fn new(group: Arc<Group>, reads: Arc<Reads>, disk: Arc<Disk>, sending: Sending, keep: Keep) -> Self {
        let now = Instant::now();
        Self {
            group,
            reads,
            disk,
            sending,
            persisted_at: now,
            persisted_upto: 0,
            purged_for: None,
            purged_at: now,
            patience: rand::random_range(SCATTER),
            catches_up: false,
            reap_from: None,
            reap_again_at: now + keep.reap_pause,
            keep,
        }
    }

    /// Goes on until it is cancelled or the node has a fault.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                () = stop.cancelled() => return,
            }
            self.tick().await;
            self.prove().await;
            self.catch_up();
            self.persist().await;
            self.purge().await;
            self.reap().await;
        }
    }

    async fn tick(&self) {
        let group = &*self.group;
        if !group.leads() {
            return;
        }
        let Some(stamp) = group.stamp() else { return };
        if stamp.since(group.state.clock()) >= TICK_AFTER {
            let proposal = sessile_store::Proposal { stamp, command: Command::Tick.encode() };
            // Without an answer: should it be lost, the next round ticks again.
            let _ = group.raft.client_write_ff(proposal, None).await;
        }
    }

    /// Keeps fresh what is known of how old the state is at most, for reads that are content with that.
    async fn prove(&self) {
        let _ = self.reads.prove_again(Instant::now() + self.group.timing.read_round()).await;
    }

    /// Lets the state put off what can wait while it is far behind its log.
    fn catch_up(&mut self) {
        let group = &*self.group;
        let applied = group.state.summary().applied.map_or(0, |applied| applied.index);
        let behind = group.log.bytes_after(applied);
        let (begin, end) = CATCHES_UP_LOG_BYTES;
        self.catches_up = behind > if self.catches_up { end } else { begin };
        // Again and again: a state that was received meanwhile knows nothing of it.
        group.state.set_catches_up(self.catches_up);
    }

    /// Makes the state durable. A snapshot here is a view: nothing is copied.
    async fn persist(&mut self) {
        let enough = PERSIST_AFTER_LOG_BYTES * u64::from(self.patience) / 100;
        let grown = self.group.log.bytes_after(self.persisted_upto) >= enough;
        if !grown && self.persisted_at.elapsed() < self.keep.persist_after * self.patience / 100 {
            return;
        }
        self.persisted_upto = self.group.log.last().map_or(0, |last| last.index);
        // A fault ends Raft, and the node's own watch tells why.
        let _ = self.group.raft.trigger().snapshot().await;
        self.persisted_at = Instant::now();
        self.patience = rand::random_range(SCATTER);
    }

    /// Lets old entries go that are durable in the state.
    async fn purge(&mut self) {
        let group = &*self.group;
        let nearly_full = self.disk.is_nearly_full();
        // What a member receives now must find the log behind it, however long that takes; only a full disk ends it.
        if self.sending.any() && !nearly_full {
            return;
        }
        let snapshot = group.raft.data_metrics().borrow_watched().snapshot;
        let Some(durable) = snapshot.map(|log_id| log_id.index) else { return };
        if self.purged_for == Some(durable) && !nearly_full && self.purged_at.elapsed() < PURGE_ROUND {
            return;
        }
        (self.purged_for, self.purged_at) = (Some(durable), Instant::now());
        let disk = self.disk.report();
        let room = disk.free_bytes.saturating_sub(disk.limit_bytes);
        let bytes = allowed_log_bytes(self.keep.log.bytes, group.log.disk_bytes(), room, nearly_full);
        let retention = Retention { bytes, ..self.keep.log };
        match group.log.purge_upto(retention, durable, group.state.clock()).await {
            // A fault ends Raft here too.
            Ok(Some(upto)) => drop(group.raft.trigger().purge_log(upto).await),
            Ok(None) => {}
            Err(fault) => drop(group.stop_for(&fault)),
        }
    }

    async fn reap(&mut self) {
        if Instant::now() < self.reap_again_at || self.group.state.removes_lapsed() {
            return;
        }
        let (state, from) = (self.group.state.clone(), self.reap_from.take());
        let Ok(reaped) = off_the_runtime(move || state.reap(from.as_ref(), REAP_RECORDS)).await else { return };
        match reaped {
            Ok(reaped) => {
                if reaped.next.is_none() {
                    self.reap_again_at = Instant::now() + self.keep.reap_pause;
                }
                self.reap_from = reaped.next;
            }
            Err(fault) => drop(self.group.stop_for(&fault)),
        }
    }
}

/// How many bytes the log's files may take, which take `log_bytes` now while there are `room` bytes free above the
/// reserve.
fn allowed_log_bytes(configured: u64, log_bytes: u64, room: u64, nearly_full: bool) -> u64 {
    if nearly_full {
        return configured.min(NEARLY_FULL_LOG_BYTES);
    }
    let share = room.saturating_add(log_bytes) / LOG_SHARE;
    configured.min(share.max(MIN_KEEP_LOG_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_log_takes_a_share_of_the_room_and_shrinks_at_once_when_the_disk_is_nearly_full() {
        let configured = 16 * GIB;
        for (log_bytes, room, nearly_full, allowed) in [
            (0, 200 * GIB, false, 16 * GIB),
            (16 * GIB, 48 * GIB, false, 16 * GIB),
            (16 * GIB, 16 * GIB, false, 8 * GIB),
            (4 * GIB, 0, false, GIB),
            (GIB, GIB / 2, false, 3 * GIB / 8),
            (GIB / 4, 0, false, MIN_KEEP_LOG_BYTES),
            (16 * GIB, 0, true, NEARLY_FULL_LOG_BYTES),
            (0, u64::MAX, false, 16 * GIB),
        ] {
            assert_eq!(allowed_log_bytes(configured, log_bytes, room, nearly_full), allowed, "{log_bytes} {room}");
        }
        assert_eq!(allowed_log_bytes(1024, 0, GIB, false), 1024, "less than the least, if that is asked for");
        assert_eq!(allowed_log_bytes(1024, 0, 0, true), 1024);
    }
}
