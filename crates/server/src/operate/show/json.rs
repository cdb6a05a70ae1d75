use serde_json::{Value, json};
use sessile_cluster::admin::{ClockJump, MemberStatus, StatusResponse};

use crate::status::health::{judge, lags};
use crate::status::row::role;

/// A cluster for scripts: everything the node told, and what [`judge`] makes of it.
pub(crate) fn render(status: &StatusResponse) -> Value {
    let (health, sentence) = judge(status);
    json!({
        "cluster_id": status.cluster_id,
        "node_id": status.node_id,
        "node_name": status.node_name,
        "leader": status.leader,
        "leader_id": status.leader_id,
        "term": status.term,
        "membership_index": status.membership_index,
        "joint": status.joint,
        "pending_change": status.pending_change,
        "ready": status.ready,
        "health": health.name(),
        "summary": sentence,
        "members": status.members.iter().map(member).collect::<Vec<_>>(),
        "waiting_for": status.waiting_for,
        "alerts": status.alerts,
        "removed": status.removed,
        "version": status.version,
        "rules": status.rules,
        "clock_ms": status.clock_ms,
        "clock_wants_ms": status.clock_wants_ms,
        "clock_jump": status.clock_jump.as_ref().map(clock_jump),
    })
}

fn clock_jump(jump: &ClockJump) -> Value {
    json!({ "from_ms": jump.from_ms, "to_ms": jump.to_ms, "ago_ms": jump.ago_ms, "ordered": jump.ordered })
}

fn member(member: &MemberStatus) -> Value {
    json!({
        "id": member.id,
        "name": member.name,
        "address": member.address,
        "role": role(member.role()),
        "voter": member.voter,
        "term": member.term,
        "applied": member.applied,
        "lag": member.lag,
        "last_contact_ms": member.last_contact_ms,
        "version": member.version,
        "since_ms": member.since_ms,
        "reachable": member.reachable,
        // A number beyond 2^53 is not the same number in every language.
        "checksum": format!("{:016x}", member.checksum),
        "checksum_index": member.checksum_index,
        "disk_free_bytes": member.disk_free_bytes,
        "rules_supported": member.rules_supported,
        "sessions": member.sessions,
        "behind_ms": member.behind_ms,
        "lagging": lags(member),
        "receiving_bytes": member.receiving_bytes,
        "disk_nearly_full": member.disk_nearly_full,
        "disk_low": member.disk_low,
        "disk_limit_bytes": member.disk_limit_bytes,
        "disk_seconds_left": member.disk_seconds_left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::status::examples::{cluster, pristine, without};

    #[test]
    fn the_document_is_what_stands_in_the_golden_files() {
        let text = |status| serde_json::to_string_pretty(&render(&status)).unwrap() + "\n";
        let mut status = without(cluster(3), &[3]);
        status.members[2].last_contact_ms = None;
        status.alerts = vec!["n3 was rolled back".to_owned()];
        status.clock_wants_ms = Some(status.clock_ms + 7_200_000);
        let (from_ms, to_ms) = (status.clock_ms - 61_000, status.clock_ms);
        status.clock_jump = Some(ClockJump { from_ms, to_ms, ago_ms: 12_000, ordered: false });
        golden::check("status/degraded.json", &text(status));
        golden::check("status/pristine.json", &text(pristine()));
    }

    #[test]
    fn a_checksum_keeps_its_zeros_and_its_last_digit() {
        let mut status = cluster(1);
        for (checksum, shown) in [(0, "0000000000000000"), (u64::MAX - 1, "fffffffffffffffe")] {
            status.members[0].checksum = checksum;
            assert_eq!(render(&status)["members"][0]["checksum"], shown);
        }
    }
}
