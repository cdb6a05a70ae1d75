use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::RwLock;
use sessile_core::injected::rules_supported;
use sessile_core::{LogTime, NamespaceId};
use sessile_store::NodeId;
use tokio::time::Instant;
use tracing::{info, warn};

use super::alert::Alert;
use super::clocks::{self, ClockAlert};
use super::commit_times::CommitTimes;
use super::distances::Distances;
use super::members::{Members, Verdict};
use super::noticed::Noticed;
use super::shedding;
use crate::disk::{Disk, Refuses};
use crate::error::ClusterError;
use crate::group::{ClockJump, Group, voters};
use crate::transport::{Receiving, ThisNode};
use crate::wire::{self, MemberReport, StateChecksum};

/// How the members of one group are, this one among them.
pub(crate) struct ClusterHealth {
    pub(super) group: Arc<Group>,
    pub(super) this: Arc<ThisNode>,
    pub(crate) members: Arc<Members>,
    pub(super) disk: Arc<Disk>,
    pub(super) receiving: Arc<Receiving>,
    pub(super) commit_times: CommitTimes,
    pub(super) noticed: Noticed,
    pub(super) distances: Distances,
    /// When this node started, by its own clock.
    pub(crate) started_at: LogTime,
    /// Random: a new one tells the others that this node has started anew.
    /// What is refused for want of room; looked at now and then.
    refused: RwLock<Refused>,
}

/// What disks make the members refuse.
#[derive(Default)]
struct Refused {
    what: Refuses,
    /// The namespaces that take no writes for the sake of others, while disks fill up.
    gave_way: Arc<BTreeSet<NamespaceId>>,
}

impl ClusterHealth {
    pub(crate) fn new(
        group: Arc<Group>,
        this: Arc<ThisNode>,
        members: Arc<Members>,
        disk: Arc<Disk>,
        receiving: Arc<Receiving>,
    ) -> Self {
        Self {
            this,
            members,
            disk,
            receiving,
            commit_times: CommitTimes::default(),
            noticed: Noticed::default(),
            distances: Distances::default(),
            started_at: group.clock.wall(),
            refused: RwLock::default(),
            group,
        }
    }

    /// Why a write to that namespace has no room now, if it has none. One that `frees` room has it for longer.
    pub(crate) fn refusal(&self, namespace: NamespaceId, frees: bool) -> Option<ClusterError> {
        let refused = self.refused.read();
        match refused.what {
            Refuses::Deletes => Some(ClusterError::StorageExhausted),
            _ if frees => None,
            Refuses::Puts => Some(ClusterError::StorageFull),
            Refuses::Nothing => refused.gave_way.contains(&namespace).then_some(ClusterError::GivesWay),
        }
    }

    /// What is refused now, because a voter has no room.
    pub(crate) fn refuses(&self) -> Refuses {
        self.refused.read().what
    }

    /// The namespaces that take no writes for the sake of others.
    pub(crate) fn gave_way(&self) -> Arc<BTreeSet<NamespaceId>> {
        self.refused.read().gave_way.clone()
    }

    /// Looks what must be refused, because a voter has no room: by this node's own disk if it has a vote, by the
    /// leader's word, and without that by what the voters reported lately. A learner's disk is its own business: nobody
    /// waits for it.
    pub(crate) fn look_at_disks(&self) {
        let membership = self.group.membership();
        let voters: BTreeSet<NodeId> = membership.membership().voter_ids().collect();
        let own = if voters.contains(&self.group.node) { self.disk.refuses() } else { Refuses::Nothing };
        let others = self.members.disks_refuse(self.group.leader(), |member| voters.contains(&member));
        self.refused.write().what = own.max(others);
        let own = if voters.contains(&self.group.node) { self.disk.pressure() } else { 0 };
        self.look_who_gives_way(own.max(self.members.disk_pressure(|member| voters.contains(&member))));
    }

    fn look_who_gives_way(&self, pressure: u32) {
        let (before, namespaces) = (self.gave_way(), self.group.state.namespaces());
        let now = shedding::give_way(&namespaces, pressure, &before);
        if now == *before {
            return;
        }
        for id in now.difference(&before) {
            warn!(
                namespace = namespaces.name_of(*id),
                pressure,
                "disks fill up: writes to the namespace are refused, for the sake of those of a higher priority"
            );
        }
        for id in before.difference(&now) {
            info!(namespace = namespaces.name_of(*id), pressure, "writes to the namespace are accepted again");
        }
        self.refused.write().gave_way = Arc::new(now);
    }

    /// Whether a member answers: it reported lately, or took a heartbeat of this node, as the leader.
    pub(crate) fn is_well(&self, member: NodeId) -> bool {
        if member == self.group.node || self.members.get(member).is_some_and(|known| known.reachable) {
            return true;
        }
        let metrics = self.group.raft.metrics();
        let metrics = metrics.borrow_watched();
        let acknowledged = metrics.heartbeat.as_ref().and_then(|heartbeats| heartbeats.get(&member).copied().flatten());
        acknowledged.is_some_and(|acknowledged| acknowledged.elapsed() < self.group.timing.answers())
    }

    /// How many committed entries a member that answers has not applied; `None` for one that does not answer.
    pub(crate) fn entries_behind(&self, node: NodeId) -> Option<u64> {
        let known = self.members.get(node)?;
        let applied = known.report.as_ref().filter(|_| known.reachable)?.applied;
        Some(self.group.cluster_committed().map_or(0, |committed| committed.index).saturating_sub(applied))
    }

    /// How long a member that has applied so many entries has been behind, at the least.
    pub(crate) fn behind(&self, applied: u64) -> Duration {
        self.commit_times.behind(Instant::now(), applied)
    }

    /// From now on the autopilot waits for an operator to look at that. Says what of it is news.
    pub(crate) fn concerns_are(&self, concerns: BTreeSet<String>) -> Vec<String> {
        self.noticed.concerns_are(concerns)
    }

    /// How this member is, for the others.
    pub(crate) fn report(&self) -> MemberReport {
        let group = &*self.group;
        let (term, committed) = {
            // Given back at once: Raft waits for it.
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow_watched();
            let committed = metrics.cluster_committed.map_or(0, |log_id| log_id.index);
            (metrics.current_term, committed)
        };
        let summary = group.state.summary();
        let disk = self.disk.report();
        let checksum = |(index, checksum)| StateChecksum { index, checksum };
        MemberReport {
            name: self.this.name().to_owned(),
            address: self.this.address().to_owned(),
            version: self.this.version().to_owned(),
            term,
            // What Raft has accepted and is not on the disk may be gone after a crash, which is no older image.
            last: group.log.durable_index(),
            committed,
            applied: summary.applied.map_or(0, |log_id| log_id.index),
            wall_ms: group.clock.wall().as_millis(),
            disk_free_bytes: disk.free_bytes,
            disk_nearly_full: disk.shortage.is_some(),
            disk_limit_bytes: disk.limit_bytes,
            disk_low: disk.is_low,
            disk_seconds_left: disk.time_left.map(|left| left.as_secs()),
            disk_exhausted: disk.is_exhausted,
            disk_pressure: self.disk.pressure(),
            refuses_writes: group.leads().then(|| self.refuses() >= Refuses::Puts),
            refuses_deletes: group.leads().then(|| self.refuses() >= Refuses::Deletes),
            receiving_bytes: self.receiving.bytes(),
            rules_supported: rules_supported().number(),
            checksums: group.state.checksums().into_iter().map(checksum).collect(),
            checksum: summary.checksum,
            sessions: group.state.sessions(),
            start_id: self.this.start_id(),
            started_with_last: group.started_with_last,
            max_rtt_ms: u32::try_from(group.timing.max_rtt().as_millis()).unwrap_or(u32::MAX),
            clock_wants_ms: group.leads().then(|| group.clock.held()).flatten().map(LogTime::as_millis),
            clock_jump: self.clock_jump().map(jump_to_wire),
        }
    }

    /// What the members' clocks want the replicated clock to show while it waits for an operator or a majority: by this node
    /// if it leads, otherwise by what the leader said lately.
    pub(crate) fn clock_wants(&self) -> Option<LogTime> {
        let group = &*self.group;
        match group.leader() {
            Some(leader) if leader == group.node => group.clock.held(),
            Some(leader) => self.members.clock_wants(leader),
            None => None,
        }
    }

    /// The last time that the replicated clock went forward at once, within the last hour.
    pub(crate) fn clock_jump(&self) -> Option<ClockJump> {
        self.group.clock.jump()
    }

    /// Takes another member's report, and looks whether the states still agree.
    pub(crate) fn heard_of(&self, member: NodeId, report: MemberReport) {
        let group = &*self.group;
        if let Some(jump) = report.clock_jump.as_ref().and_then(jump_from_wire) {
            group.clock.knows_of(jump);
        }
        let committed = group.cluster_committed().map_or(0, |log_id| log_id.index);
        if self.members.heard(member, report, committed, group.clock.wall()) {
            info!(node = %member, "{} answers", group.name_of(member));
        }
        self.look_at_disks();
        if let Verdict::ThisNodeDiffers(index) = self.members.compare(&group.state.checksums()) {
            group.stop_because_damaged(&format!(
                "its state differs at entry {index} from that of two other members, which agree: it is damaged here; \
                 start it again, and it sets this one aside and gets theirs"
            ));
        }
    }

    /// What an operator should look at.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let group = &*self.group;
        let mut alerts = self.members.alerts(|node| group.name_of(node));
        alerts.extend(self.clock_alerts().into_iter().map(|alert| Alert::new(alert.kind, alert.text)));
        alerts.extend(self.noticed.sentences().into_iter().chain(self.distances.sentences()).map(Alert::other));
        let disk = self.disk.report();
        alerts.extend(disk.alert(self.this.name()).map(|text| Alert::of_disk(disk.shortage.is_some(), text)));
        alerts
    }

    /// The same as sentences.
    pub(crate) fn alert_texts(&self) -> Vec<String> {
        self.alerts().into_iter().map(|alert| alert.text).collect()
    }

    /// What an operator should know of the clocks.
    pub(super) fn clock_alerts(&self) -> Vec<ClockAlert> {
        let group = &*self.group;
        let cluster = group.state.clock();
        let others = self.members.fresh_walls(|_| true).into_iter().map(|(node, wall)| (group.name_of(node), wall));
        let walls: Vec<_> = others.chain([(self.this.name().to_owned(), group.clock.wall())]).collect();
        let mut alerts = clocks::impossible(&walls);
        // Before time has begun there is nothing to hold the clocks against.
        if cluster != LogTime::default() {
            alerts.extend(clocks::alerts(cluster, walls, voters(&group.membership()).len()));
        }
        alerts.extend(self.clock_wants().map(|wanted| clocks::waits(cluster, wanted)));
        alerts.extend(self.clock_jump().as_ref().map(clocks::jumped));
        alerts
    }
}

pub(crate) fn jump_to_wire(jump: ClockJump) -> wire::ClockJump {
    let ClockJump { from, to, at, ordered } = jump;
    let ago_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
    wire::ClockJump { from_ms: from.as_millis(), to_ms: to.as_millis(), ago_ms, ordered }
}

/// `None` for one that was before this machine started, which nobody needs to be told of.
fn jump_from_wire(jump: &wire::ClockJump) -> Option<ClockJump> {
    let at = Instant::now().checked_sub(Duration::from_millis(jump.ago_ms))?;
    let (from, to) = (LogTime::from_millis(jump.from_ms), LogTime::from_millis(jump.to_ms));
    Some(ClockJump { from, to, at, ordered: jump.ordered })
}
