//! Clusters as a node could tell of them.

use sessile_cluster::admin::{HistoryEntry, MemberStatus, Role, StatusResponse};
use sessile_http::RequestTotals;

use super::last_hour::{DiskBytes, SAMPLE_EVERY, Stretch};
use super::quorum::Quorum;
use super::seen::{NamespaceNow, Seen};

/// When they were asked, in milliseconds since the Unix epoch.
const NOW: u64 = 1_790_000_000_000;

pub(crate) fn id(number: u32) -> String {
    format!("{:032x}", u128::from(number) << 96 | 0xabc)
}

/// A voter that answers and has applied all there is.
pub(crate) fn voter(number: u32) -> MemberStatus {
    MemberStatus {
        id: id(number),
        name: format!("n{number}"),
        address: format!("10.0.0.{number}:7081"),
        role: Role::Follower.into(),
        voter: true,
        term: 5,
        applied: 12_345,
        lag: 0,
        last_contact_ms: Some(40),
        version: "0.1.0".to_owned(),
        since_ms: NOW - 3_600_000,
        reachable: true,
        checksum: 0x00ab_cdef_0123_4567,
        checksum_index: 12_000,
        disk_free_bytes: 1 << 40,
        rules_supported: 1,
        sessions: 77,
        behind_ms: 0,
        receiving_bytes: None,
        disk_nearly_full: false,
        disk_limit_bytes: 1 << 28,
        disk_low: false,
        disk_seconds_left: None,
    }
}

/// A member that receives the log.
pub(crate) fn learner(number: u32) -> MemberStatus {
    MemberStatus { role: Role::Learner.into(), voter: false, ..voter(number) }
}

/// Voters n1 to that, all well, n2 leading, n1 answering.
pub(crate) fn cluster(voters: u32) -> StatusResponse {
    let mut members: Vec<_> = (1..=voters).map(voter).collect();
    let leader = 2.min(voters);
    members[leader as usize - 1].role = Role::Leader.into();
    members[0].last_contact_ms = Some(0);
    StatusResponse {
        cluster_id: "c".repeat(32),
        node_id: id(1),
        node_name: "n1".to_owned(),
        leader: format!("n{leader}"),
        leader_id: id(leader),
        term: 5,
        membership_index: 9,
        joint: false,
        ready: true,
        members,
        waiting_for: Vec::new(),
        alerts: Vec::new(),
        removed: 1,
        version: "0.1.0".to_owned(),
        rules: 1,
        clock_ms: NOW,
        pending_change: String::new(),
        recent_changes: Vec::new(),
        clock_wants_ms: None,
        clock_jump: None,
    }
}

/// The same, and those have not answered for 12 s.
pub(crate) fn without(mut status: StatusResponse, numbers: &[u32]) -> StatusResponse {
    for member in &mut status.members {
        if numbers.iter().any(|number| member.id == id(*number)) {
            (member.reachable, member.last_contact_ms, member.since_ms) = (false, Some(12_345), NOW - 12_000);
        }
    }
    status
}

/// What the status page of such a cluster shows, a minute after its start.
pub(crate) fn seen(voters: u32) -> Seen {
    let namespace = |name: &str, keys, rates| NamespaceNow {
        name: name.to_owned(),
        keys,
        bytes: keys * 1_800,
        gives_way: false,
        rates,
    };
    let stretch = |number: u32| Stretch {
        ended_ago: SAMPLE_EVERY * (5 - number),
        lasted: SAMPLE_EVERY,
        requests: RequestTotals {
            reads: 900 + 100 * u64::from(number),
            others: 100,
            failed: u64::from(number % 3),
            waits: [900, 50, 20, 10, 5, 5, 5, 3, 1, u64::from(number), 1],
        },
        disk: Some(DiskBytes { used: (100 + u64::from(number)) << 20, free: (1 << 40) - (u64::from(number) << 30) }),
    };
    let spare = i64::from(voters) - i64::from(voters / 2 + 1);
    Seen {
        at_ms: NOW,
        status: cluster(voters),
        quorum: Quorum { voters: u64::from(voters), healthy: u64::from(voters), spare },
        alerts: Vec::new(),
        namespaces: vec![
            namespace("sessions", 48_000, Some([120.0, 12.5, 0.02, 3.0])),
            namespace("echo", 0, Some([0.0; 4])),
        ],
        disk_limit_bytes: 1 << 28,
        // One is missing: the machine was asleep.
        hour: (0..6).filter(|number| *number != 2).map(stretch).collect(),
    }
}

/// Changes of a cluster: by an operator, by the autopilot, and one whose leader went away.
pub(crate) fn changes() -> Vec<HistoryEntry> {
    let change = |index, who: &str, from: &str, what: &str, result: Option<&str>| HistoryEntry {
        index,
        at_ms: NOW + index * 1_000,
        who: who.to_owned(),
        from: from.to_owned(),
        what: what.to_owned(),
        result: result.map(str::to_owned),
    };
    vec![
        change(12, "an operator", "10.0.0.9:40000", "remove n3", Some("refused: n3 would be missed")),
        change(34, "autopilot", "n2", "n4 is a voter now", Some("done")),
        change(56, "an operator", "10.0.0.9:40001", "promote n5", None),
    ]
}

/// A node that looks for its cluster.
pub(crate) fn pristine() -> StatusResponse {
    StatusResponse {
        node_id: id(1),
        node_name: "n1".to_owned(),
        waiting_for: vec!["10.0.0.2:7081 does not answer".to_owned(), "10.0.0.3:7081 does not answer".to_owned()],
        version: "0.1.0".to_owned(),
        ..StatusResponse::default()
    }
}
