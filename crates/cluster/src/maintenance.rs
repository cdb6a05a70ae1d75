use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sessile_core::Command;
use sessile_store::off_the_runtime;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cluster::Inner;

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
/// How much log may stay behind the durable state, whatever the number of entries.
const KEEP_LOG_BYTES: u64 = 256 * 1024 * 1024;
/// How many records one round looks at for expired ones: writes wait for the removal of at most this many.
const REAP_RECORDS: usize = 500;

/// What a node does besides requests: keeps the clock going, makes the state durable and the log short, removes what
/// has expired.
pub(crate) struct Maintenance {
    inner: Arc<Inner>,
    persist_after: Duration,
    persisted_at: Instant,
    persisted_log_bytes: u64,
    /// In hundredths, how long and for how much log it waits before it makes the state durable again.
    patience: u32,
    reap_from: Option<Bytes>,
    reap_again_at: Instant,
}

impl Maintenance {
    pub(crate) fn new(inner: Arc<Inner>, persist_after: Duration) -> Self {
        let now = Instant::now();
        let reap_again_at = now + inner.local.config.reap_pause;
        Self {
            inner,
            persist_after,
            persisted_at: now,
            persisted_log_bytes: 0,
            patience: rand::random_range(SCATTER),
            reap_from: None,
            reap_again_at,
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
            self.persist().await;
            self.reap().await;
        }
    }

    async fn tick(&self) {
        let inner = &*self.inner;
        if !inner.leads() {
            return;
        }
        let Some(stamp) = inner.stamp() else { return };
        if stamp.since(inner.state.clock()) >= TICK_AFTER {
            let proposal = sessile_store::Proposal { stamp, command: Command::Tick.encode() };
            // Without an answer: should it be lost, the next round ticks again.
            let _ = inner.raft.client_write_ff(proposal, None).await;
        }
    }

    /// Keeps fresh what is known of how old the state is at most, for reads that are content with that.
    async fn prove(&self) {
        let _ = self.inner.rounds.join(Instant::now() + ROUND).await;
    }

    /// Makes the state durable; Raft then purges the log up to there. A snapshot here is a view: nothing is copied.
    async fn persist(&mut self) {
        let log_bytes = self.inner.log.bytes();
        self.persisted_log_bytes = self.persisted_log_bytes.min(log_bytes);
        let enough = PERSIST_AFTER_LOG_BYTES * u64::from(self.patience) / 100;
        let grown = log_bytes.saturating_sub(self.persisted_log_bytes) >= enough;
        // What a member receives now must find the log behind it, however long that takes; only a full disk ends it.
        if self.inner.sending.any() && !self.inner.disk.is_nearly_full() {
            return;
        }
        if !grown && self.persisted_at.elapsed() < self.persist_after * self.patience / 100 {
            return;
        }
        // A fault ends Raft, and the node's own watch tells why.
        let _ = self.inner.raft.trigger().snapshot().await;
        if log_bytes >= KEEP_LOG_BYTES
            && let Some(durable) = self.inner.state.persisted_index()
        {
            // Few and large entries: what is kept for members that lag is bounded by bytes, too.
            let _ = self.inner.raft.trigger().purge_log(durable).await;
        }
        self.persisted_at = Instant::now();
        self.persisted_log_bytes = log_bytes;
        self.patience = rand::random_range(SCATTER);
    }

    async fn reap(&mut self) {
        if Instant::now() < self.reap_again_at || self.inner.state.removes_lapsed() {
            return;
        }
        let (state, from) = (self.inner.state.clone(), self.reap_from.take());
        let Ok(reaped) = off_the_runtime(move || state.reap(from.as_ref(), REAP_RECORDS)).await else { return };
        match reaped {
            Ok(reaped) => {
                if reaped.next.is_none() {
                    self.reap_again_at = Instant::now() + self.inner.local.config.reap_pause;
                }
                self.reap_from = reaped.next;
            }
            Err(fault) => drop(self.inner.stop_for(&fault)),
        }
    }
}
