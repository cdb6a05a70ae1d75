//! What a member of a cluster tells of itself. Neither the disk, the state's writer nor another node is asked for it.

use std::time::Duration;

use sessile_cluster::{Cluster, Figures, MemberFigures, Status};
use sessile_http::{HttpMetrics, Operation};

use super::declarations as declared;
use super::number;
use super::samples::Samples;

/// Adds what there is to tell.
pub(super) fn measure(samples: &mut Samples, cluster: &Cluster, http: &HttpMetrics) {
    let (status, figures) = (cluster.status(), cluster.figures());
    consensus(samples, &status, &figures);
    members(samples, &status, &figures);
    time(samples, &status);
    work(samples, &figures);
    disk(samples, &status, &figures);
    for (id, namespace) in status.namespaces.iter() {
        let gives_way = truth(status.gave_way.contains(&id));
        let name = namespace.settings.name.as_str();
        samples.set_by(&declared::GIVES_WAY, &[name], gives_way);
        for (operation, count) in Operation::LABELS.iter().zip(http.namespace_requests(id)) {
            samples.set_by(&declared::NAMESPACE_REQUESTS, &[name, operation], number(count));
        }
    }
    for (namespace, group, tally) in &status.counts {
        let labels = [&status.namespaces.name_of(*namespace), group.as_str()];
        samples.set_by(&declared::KEYS, &labels, number(tally.keys));
        samples.set_by(&declared::BYTES, &labels, number(tally.bytes));
    }
}

fn consensus(samples: &mut Samples, status: &Status, figures: &Figures) {
    samples.set(&declared::READY, truth(figures.ready));
    samples.set(&declared::ALERTS, number(status.alerts.len() as u64));
    samples.set(&declared::IS_LEADER, truth(status.is_leader));
    samples.set(&declared::HAS_LEADER, truth(status.has_leader));
    samples.set(&declared::LEADER_CHANGES, number(status.leader_changes));
    samples.set(&declared::TERM, number(status.term));
    samples.set(&declared::APPLIED, number(status.applied.unwrap_or(0)));
    samples.set(&declared::COMMITTED, number(status.committed.unwrap_or(0)));
    samples.set(&declared::QUORUM_CONTACT, or_infinite(figures.quorum_contact));
    #[allow(clippy::cast_precision_loss, reason = "there are few members")]
    samples.set(&declared::SPARE_VOTERS, figures.spare_voters as f64);
    samples.set(&declared::VOTERS, number(figures.voters));
    samples.set(&declared::VOTERS_ANSWERING, number(figures.voters_answering));
    samples.set(&declared::LEARNERS, number(figures.learners));
    samples.set(&declared::MEMBERSHIP_INDEX, number(figures.membership_index.unwrap_or(0)));
    samples.set(&declared::MEMBERSHIP_AGE, figures.membership_age.as_secs_f64());
}

fn members(samples: &mut Samples, status: &Status, figures: &Figures) {
    for member in &figures.members {
        let MemberFigures { node, name, reachable, heard_of, lag_entries, lag, state_differs, rolled_back } = member;
        let id = node.to_string();
        let labels: [&str; 2] = [name, &id];
        samples.set_by(&declared::REACHABLE, &labels, truth(*reachable));
        samples.set_by(&declared::HEARD_OF, &labels, or_infinite(*heard_of));
        if let Some(entries) = lag_entries {
            samples.set_by(&declared::LAG_ENTRIES, &labels, number(*entries));
        }
        if let Some(lag) = lag {
            samples.set_by(&declared::LAG, &labels, lag.as_secs_f64());
        }
        samples.set_by(&declared::STATE_DIFFERS, &labels, truth(*state_differs));
        samples.set_by(&declared::ROLLED_BACK, &labels, truth(*rolled_back));
    }
    for count in &status.refusals {
        for (by, total) in [("this node", count.here), ("another node", count.there)] {
            samples.set_by(&declared::REFUSALS, &[count.reason, by], number(total));
        }
    }
}

fn time(samples: &mut Samples, status: &Status) {
    samples.set(&declared::CLOCK, Duration::from_millis(status.clock.as_millis()).as_secs_f64());
    samples.set(&declared::CLOCK_WAITS, truth(status.clock_waits));
    samples.set(&declared::CLOCK_JUMP, status.clock_jump.unwrap_or_default().as_secs_f64());
}

fn work(samples: &mut Samples, figures: &Figures) {
    samples.set(&declared::WRITES_WAITING, number(figures.writes_waiting));
    for queue in &figures.queues {
        samples.set_by(&declared::QUEUE_BYTES, &[queue.queue], number(queue.bytes));
        samples.set_by(&declared::QUEUE_MAX, &[queue.queue], number(queue.max_bytes));
    }
    samples.times(&declared::LOG_SYNCS, &figures.log_syncs);
    samples.times(&declared::APPLIES, &figures.applies);
    samples.times(&declared::READ_ROUNDS, &figures.read_rounds);
    samples.times(&declared::FORWARDED, &figures.forwarded_writes);
}

fn disk(samples: &mut Samples, status: &Status, figures: &Figures) {
    samples.set(&declared::RECEIVING, number(status.receiving_bytes.unwrap_or(0)));
    samples.set(&declared::DISK_FREE, number(status.disk_free_bytes));
    samples.set(&declared::DISK_LIMIT, number(status.disk_limit_bytes));
    samples.set(&declared::DISK_LOW, truth(status.disk_low));
    samples.set(&declared::DISK_NEARLY_FULL, truth(status.disk_nearly_full));
    samples.set(&declared::DISK_SECONDS_LEFT, or_infinite(status.disk_time_left));
    samples.set_by(&declared::DISK_REFUSES, &["write"], truth(figures.refuses_writes));
    samples.set_by(&declared::DISK_REFUSES, &["delete"], truth(figures.refuses_deletes));
    samples.set(&declared::LOG_BYTES, number(status.log_bytes));
    samples.set(&declared::STATE_BYTES, number(status.state_bytes));
    if let Some(engine) = &figures.engine {
        samples.set(&declared::STATE_TABLES, number(engine.tables));
        samples.set(&declared::UNMERGED_RUNS, number(engine.unmerged_runs));
        samples.set(&declared::UNMERGED_BYTES, number(engine.unmerged_bytes));
        samples.set(&declared::BUFFERED_BYTES, number(engine.buffered_bytes));
    }
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn or_infinite(time: Option<Duration>) -> f64 {
    time.map_or(f64::INFINITY, |time| time.as_secs_f64())
}
