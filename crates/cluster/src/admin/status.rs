use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use sessile_core::LogTime;
use sessile_store::{Member, NodeId};
use tokio::time::Instant;

use super::managed::ManagedMember;
use crate::admission::Lobby;
use crate::group::{Group, voters};
use crate::health::{ClusterHealth, jump_to_wire};
use crate::late::Late;
use crate::membership::{arithmetic, pending};
use crate::transport::ThisNode;
use crate::wire::{HistoryEntry, MemberStatus, Role, StatusResponse};

/// How many of the newest changes stand in the status.
const RECENT_CHANGES: usize = 10;

/// What a node knows of its cluster, or of its way to one.
#[derive(Clone)]
pub(crate) struct StatusSource {
    pub(super) this: Arc<ThisNode>,
    pub(super) lobby: Arc<Lobby>,
    pub(super) member: Late<ManagedMember>,
}

impl StatusSource {
    pub(crate) fn new(this: Arc<ThisNode>, lobby: Arc<Lobby>, member: Late<ManagedMember>) -> Self {
        Self { this, lobby, member }
    }

    /// What there is to know now.
    pub(crate) async fn status(&self) -> StatusResponse {
        let status = StatusResponse {
            node_id: self.this.node().to_string(),
            node_name: self.this.name().to_owned(),
            version: self.this.version().to_owned(),
            ..StatusResponse::default()
        };
        match self.member.get() {
            Some(member) => status_of(&member, status).await,
            None => StatusResponse {
                waiting_for: self.lobby.waiting_for(),
                cluster_id: self.this.door().cluster().map(|cluster| cluster.to_string()).unwrap_or_default(),
                ..status
            },
        }
    }

    /// Ends when the membership, a role or a member's reachability changes after this call.
    pub(super) fn changes(&self) -> impl Future<Output = ()> + Send + use<> {
        let watched = self.member.get().map(|member| {
            let (mut server, members) = (member.group.server.clone(), member.health.members.changes());
            drop(server.borrow_and_update());
            (server, members)
        });
        let member = self.member.clone();
        async move {
            let Some((mut server, mut members)) = watched else {
                member.wait().await;
                return;
            };
            tokio::select! {
                _ = server.changed() => {}
                _ = members.changed() => {}
            }
        }
    }
}

/// The same of a member.
async fn status_of(managed: &ManagedMember, mut status: StatusResponse) -> StatusResponse {
    let (group, health) = (&*managed.group, &*managed.health);
    let leader = group.leader();
    let membership = group.membership();
    let voters: Vec<NodeId> = membership.membership().voter_ids().collect();
    let (term, committed) = {
        let metrics = group.raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.current_term, metrics.cluster_committed.map_or(0, |log_id| log_id.index))
    };
    status.cluster_id = group.cluster.to_string();
    status.leader = leader.map(|leader| group.name_of(leader)).unwrap_or_default();
    status.leader_id = leader.map(|leader| leader.to_string()).unwrap_or_default();
    status.term = term;
    status.membership_index = membership.log_id().map_or(0, |log_id| log_id.index);
    let is_committed = {
        let server = group.server.borrow_watched();
        server.membership_config.log_id() == server.committed_membership_config.log_id()
    };
    let is_well = |node| health.is_well(node);
    status.pending_change = pending(&membership, is_committed, |node| group.name_of(node), is_well).unwrap_or_default();
    status.joint = membership.membership().get_joint_config().len() > 1;
    status.ready = managed.readiness.prove(Instant::now() + group.timing.read_round()).await.is_ok();
    status.alerts = health.alert_texts();
    status.removed = group.state.removed().len() as u64;
    status.rules = group.state.rules().number();
    status.clock_ms = group.state.clock().as_millis();
    status.recent_changes = history(group, RECENT_CHANGES);
    status.clock_wants_ms = health.clock_wants().map(LogTime::as_millis);
    status.clock_jump = health.clock_jump().map(jump_to_wire);
    let member = |(node, member): (&NodeId, &Member)| {
        let voter = voters.contains(node);
        let role = match (Some(*node) == leader, voter) {
            (true, _) => Role::Leader,
            (false, true) => Role::Follower,
            (false, false) => Role::Learner,
        };
        let known = health.members.get(*node);
        let is_self = *node == group.node;
        let report =
            if is_self { Some(health.report()) } else { known.as_ref().and_then(|known| known.report.clone()) };
        let last_contact = known.as_ref().and_then(|known| known.last_contact());
        let report_or_none = report.unwrap_or_default();
        MemberStatus {
            id: node.to_string(),
            name: member.name.clone(),
            address: member.address.clone(),
            role: role.into(),
            voter,
            term: report_or_none.term,
            applied: report_or_none.applied,
            lag: committed.saturating_sub(report_or_none.applied),
            last_contact_ms: if is_self {
                Some(0)
            } else {
                last_contact.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
            },
            version: report_or_none.version,
            since_ms: if is_self {
                health.started_at.as_millis()
            } else {
                known.as_ref().map_or(0, |known| known.since_wall.as_millis())
            },
            reachable: health.is_well(*node),
            checksum: report_or_none.checksum,
            checksum_index: report_or_none.applied,
            disk_free_bytes: report_or_none.disk_free_bytes,
            rules_supported: member.rules_supported.number(),
            sessions: report_or_none.sessions,
            behind_ms: u64::try_from(health.behind(report_or_none.applied).as_millis()).unwrap_or(u64::MAX),
            receiving_bytes: report_or_none.receiving_bytes,
            disk_nearly_full: report_or_none.disk_nearly_full,
            disk_limit_bytes: report_or_none.disk_limit_bytes,
            disk_low: report_or_none.disk_low,
            disk_seconds_left: report_or_none.disk_seconds_left,
        }
    };
    status.members = membership.membership().nodes().map(member).collect();
    status.members.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    status
}

/// The newest changes, at most so many, the oldest first.
pub(super) fn history(group: &Group, newest: usize) -> Vec<HistoryEntry> {
    let entry = |(index, entry): (u64, sessile_core::HistoryEntry)| HistoryEntry {
        index,
        at_ms: entry.at().as_millis(),
        who: entry.change().who().to_owned(),
        from: entry.change().from().to_owned(),
        what: entry.change().what().to_owned(),
        result: entry.result().map(str::to_owned),
    };
    group.state.history(newest).into_iter().map(entry).collect()
}

/// Why nobody leads, and what to do.
pub(super) fn no_leader(group: &Group, health: &ClusterHealth) -> String {
    let voters = voters(&group.membership());
    let arithmetic = arithmetic(health, &voters);
    let silent: Vec<String> =
        voters.iter().filter(|voter| !health.is_well(**voter)).map(|voter| group.name_of(*voter)).collect();
    if silent.is_empty() {
        return "no member leads now; nothing was changed; try again in a moment".into();
    }
    format!(
        "no member leads: {} of {} voters answer, and a quorum needs {}; nothing was changed; bring back {}",
        arithmetic.healthy,
        arithmetic.voters,
        arithmetic.quorum(),
        silent.join(" or ")
    )
}
