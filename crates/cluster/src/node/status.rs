use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::{GroupName, LogTime, NamespaceId, NamespaceTable, RulesVersion, Tally};
use sessile_store::{ClusterId, NodeId};

use crate::transport::RefusalCount;

/// What a node can tell of itself, for metrics and people.
#[derive(Debug, Clone)]
pub struct Status {
    /// Which node it is.
    pub node: NodeId,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Whether it leads.
    pub is_leader: bool,
    /// Whether it knows who leads.
    pub has_leader: bool,
    /// How often another leader became known since the start.
    pub leader_changes: u64,
    /// The term in which it takes itself for the leader, if it does.
    pub leads_in: Option<u64>,
    /// The term it knows of.
    pub term: u64,
    /// The last entry that is applied; `None` while there is none.
    pub applied: Option<u64>,
    /// The last entry that is known to be committed; `None` while there is none.
    pub committed: Option<u64>,
    /// The replicated clock.
    pub clock: LogTime,
    /// The rules in force.
    pub rules: RulesVersion,
    /// Bytes of the log's entries.
    pub log_bytes: u64,
    /// Bytes of the session state on disk.
    pub state_bytes: u64,
    /// Bytes that are free on the data directory's file system.
    pub disk_free_bytes: u64,
    /// Below so many free bytes writes are refused: what was configured, and what the engine's largest merge needs.
    pub disk_limit_bytes: u64,
    /// Whether writes are refused because the disk is nearly full, by bytes, by files, or by a quota.
    pub disk_nearly_full: bool,
    /// Whether little room is left, or will be within a day.
    pub disk_low: bool,
    /// The namespaces that take no writes for the sake of those of a higher priority.
    pub gave_way: Arc<BTreeSet<NamespaceId>>,
    /// Until writes are refused, by the trend of the last hour; `None` if the disk does not fill up.
    pub disk_time_left: Option<Duration>,
    /// Bytes of a snapshot that it has received so far; `None` if it receives none.
    pub receiving_bytes: Option<u64>,
    /// The namespaces there are.
    pub namespaces: Arc<NamespaceTable>,
    /// What each group of each namespace counts.
    pub counts: Vec<(NamespaceId, GroupName, Tally)>,
    /// Messages between nodes that were refused, by reason.
    pub refusals: Vec<RefusalCount>,
    /// The other members.
    pub members: Vec<MemberReach>,
    /// The members whose votes count, by what Raft goes by here.
    pub voters: BTreeSet<NodeId>,
    /// Whether that membership is a joint one, on its way from one to another.
    pub is_joint: bool,
    /// The members that were removed for good.
    pub removed: Vec<NodeId>,
    /// Checksums of the state at entries of the log, lately.
    pub checksums: Vec<(u64, u64)>,
    /// What an operator should look at, as sentences.
    pub alerts: Vec<String>,
    /// Whether the replicated clock waits for an operator or a majority, and writes with it.
    pub clock_waits: bool,
    /// How far the replicated clock went forward at once, the last time within the last hour that it did.
    pub clock_jump: Option<Duration>,
}

/// Another member, as far as it can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReach {
    /// Which node it is.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub reachable: bool,
    /// How many committed entries it has not applied; `None` for one that does not answer.
    pub lag: Option<u64>,
}
