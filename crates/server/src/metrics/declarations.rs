//! Every metric of a node, beside those of the HTTP side.

use sessile_cluster::{MAX_MEMBERS, QueueFigures, RefusalCount};
use sessile_core::{MAX_GROUPS, MAX_NAMESPACES};
use sessile_http::Operation;
use sessile_http::declared::{Label, Metric, Shown, Unit, Values};

/// One process is one program.
const ONE: Values = Values::AtMost(1);
const NAMESPACE: Label = Label { name: "namespace", values: Values::AtMost(MAX_NAMESPACES) };
/// Those that are counted by name, and all others together.
const GROUP: Label = Label { name: "group", values: Values::AtMost(MAX_GROUPS + 1) };
const OTHERS: Shown = Shown::When("for each other member");
const GROUPS: Shown = Shown::When("for each group that counts sessions");
const BACKUPS: Shown = Shown::When("with `backup` in the configuration, once it is a member");
const TABLES: Shown = Shown::When("with the engine fjall");
/// By name and id: a member that is dead and the one that has taken its name are two.
const MEMBER: &[Label] =
    &[Label { name: "member", values: Values::AtMost(MAX_MEMBERS) }, Label { name: "id", values: Values::AsBefore }];

const fn count(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, Unit::Count, help).shown(Shown::Member)
}

const fn whether(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, Unit::Truth, help).shown(Shown::Member)
}

const fn bytes(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, Unit::Bytes, help).shown(Shown::Member)
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, Unit::Seconds, help).shown(Shown::Member)
}

const fn times(name: &'static str, help: &'static str) -> Metric {
    Metric::times(name, help).shown(Shown::Member)
}

/// Declares constants, and the list of all of them.
macro_rules! declare {
    ($($name:ident = $metric:expr;)*) => {
        $(pub(super) const $name: Metric = $metric;)*
        /// All of them.
        pub(super) const ALL: &[Metric] = &[$($name),*];
    };
}

declare! {
    // The process.
    BUILD_INFO = Metric::gauge("sessile_build_info", Unit::Count, "1, with what was built")
        .by(&[Label { name: "version", values: ONE }, Label { name: "rust_version", values: ONE }]);
    BACKUP_EVERY = Metric::gauge(
        "sessile_backup_every_seconds", Unit::Seconds, "How often the node is to make a backup").shown(BACKUPS);
    BACKUP_LAST_SUCCESS = Metric::gauge(
        "sessile_backup_last_success_timestamp_seconds", Unit::Seconds,
        "When the newest backup was made, since the Unix epoch; 0 if there is none").shown(BACKUPS);
    BACKUP_FAILURES = Metric::counter(
        "sessile_backup_failures_total", Unit::Count, "Backups that could not be made").shown(BACKUPS);
    TRACE_SPANS_LOST = Metric::counter(
        "sessile_trace_spans_lost_total", Unit::Count, "Spans of traces that no collector took in time")
        .shown(Shown::When("with `traces` in the configuration"));
    LOG_LINES_LOST = Metric::counter(
        "sessile_log_lines_lost_total", Unit::Count, "Log lines that were lost because nobody read them in time");
    CPU_SECONDS = Metric::counter(
        "process_cpu_seconds_total", Unit::Seconds, "Processor time of the process, in user and system mode");
    RESIDENT_BYTES = Metric::gauge("process_resident_memory_bytes", Unit::Bytes, "Resident memory of the process")
        .shown(Shown::When("on Linux"));
    VIRTUAL_BYTES = Metric::gauge("process_virtual_memory_bytes", Unit::Bytes, "Virtual memory of the process")
        .shown(Shown::When("on Linux"));
    THREADS = Metric::gauge("process_threads", Unit::Count, "Threads of the process").shown(Shown::When("on Linux"));
    START_TIME = Metric::gauge("process_start_time_seconds", Unit::Timestamp, "When the process started");
    OPEN_FDS = Metric::gauge("process_open_fds", Unit::Count, "Open file descriptors of the process")
        .shown(Shown::When("on Linux 6.2 and later"));
    MAX_FDS = Metric::gauge("process_max_fds", Unit::Count, "The most file descriptors that the process may open")
        .shown(Shown::When("where there is a limit"));

    // What the node is to its clients and its cluster.
    READY = Metric::gauge(
        "sessile_ready", Unit::Truth,
        "Whether this node was found to be able to read and write within the last five seconds, as /readyz says it");
    ALERTS = count("sessile_alerts", "How many things an operator should look at; sessile status names them");
    IS_LEADER = whether("sessile_raft_is_leader", "Whether this node leads");
    HAS_LEADER = whether("sessile_raft_has_leader", "Whether this node knows who leads");
    LEADER_CHANGES = Metric::counter(
        "sessile_raft_leader_changes_total", Unit::Count, "How often another leader became known").shown(Shown::Member);
    TERM = count("sessile_raft_term", "The Raft term that this node knows of");
    APPLIED = count("sessile_raft_applied_index", "The last log index that is applied");
    COMMITTED = count("sessile_raft_committed_index", "The last log index that is known to be committed");
    QUORUM_CONTACT = seconds(
        "sessile_quorum_contact_age_seconds",
        "How long ago a quorum last confirmed that this node's state is current; +Inf if none did since it started");
    SPARE_VOTERS = count(
        "sessile_quorum_spare_voters", "How many more voters may be lost before writes stop; below 0 they have");
    VOTERS = count("sessile_voters", "How many members vote");
    VOTERS_ANSWERING = count("sessile_voters_answering", "How many members vote and answer this node");
    LEARNERS = count("sessile_learners", "How many members receive the log and do not vote");
    MEMBERSHIP_INDEX = count("sessile_membership_index", "The log index of the membership that this node goes by");
    MEMBERSHIP_AGE = seconds(
        "sessile_membership_age_seconds",
        "How long this node has gone by its membership without a change; since its start at the longest");
    REACHABLE = whether("sessile_member_reachable", "Whether another member answers this node").by(MEMBER).shown(OTHERS);
    HEARD_OF = seconds("sessile_member_heard_age_seconds", "How long ago another member was heard of")
        .by(MEMBER).shown(OTHERS);
    LAG_ENTRIES = count("sessile_member_lag_entries", "Committed entries that another member has not applied")
        .by(MEMBER).shown(OTHERS);
    LAG = seconds("sessile_member_lag_seconds", "How long another member has been behind, at the least")
        .by(MEMBER).shown(OTHERS);
    STATE_DIFFERS = whether(
        "sessile_member_state_differs", "Whether the state of another member differs from this node's: one is damaged")
        .by(MEMBER).shown(OTHERS);
    ROLLED_BACK = whether(
        "sessile_member_rolled_back", "Whether another member's disk shows an older image than what it acknowledged")
        .by(MEMBER).shown(OTHERS);
    REFUSALS = Metric::counter(
        "sessile_peer_refusals_total", Unit::Count,
        "Messages between nodes that were refused, here or by another one: a mismatch, not a timeout")
        .by(&[
            Label { name: "reason", values: Values::AtMost(RefusalCount::REASONS) },
            Label { name: "by", values: Values::Of(&["this node", "another node"]) },
        ])
        .shown(Shown::Member);

    // Time.
    CLOCK = Metric::gauge("sessile_clock_timestamp_seconds", Unit::Timestamp, "What the replicated clock shows")
        .shown(Shown::Member);
    CLOCK_WAITS = whether(
        "sessile_clock_waits",
        "Whether the replicated clock waits for an operator or a majority of clocks, and writes with it");
    CLOCK_JUMP = seconds(
        "sessile_clock_jump_seconds",
        "How far the replicated clock went forward at once, the last time within the last hour; 0 if it did not");

    // Work, and what waits.
    WRITES_WAITING = count("sessile_writes_waiting", "Writes that came to this node and have no outcome yet");
    QUEUE_BYTES = bytes("sessile_queue_bytes", "Bytes of commands that wait for the log, or for the leader's answer")
        .by(&[Label { name: "queue", values: Values::Of(&QueueFigures::NAMES) }]);
    QUEUE_MAX = bytes("sessile_queue_bytes_max", "The most bytes of commands that may wait there")
        .by(&[Label { name: "queue", values: Values::Of(&QueueFigures::NAMES) }]);
    LOG_SYNCS = times("sessile_log_fsync_duration_seconds", "How long it took to make batches of the Raft log durable");
    APPLIES = times("sessile_apply_duration_seconds", "How long it took to apply batches of entries to the state");
    READ_ROUNDS = times("sessile_read_round_duration_seconds", "How long it took to confirm rounds of reads");
    FORWARDED = times(
        "sessile_forwarded_write_duration_seconds", "How long writes took from here to the leader and back");
    RECEIVING = bytes(
        "sessile_snapshot_receiving_bytes",
        "Bytes of a snapshot that this node has received so far; 0 if it receives none");

    // The disk.
    DISK_FREE = bytes("sessile_disk_free_bytes", "Bytes free under the data directory");
    DISK_LIMIT = bytes("sessile_disk_limit_bytes", "Below so many free bytes writes are refused");
    DISK_LOW = whether("sessile_disk_low", "Whether little disk is left, or will be within a day");
    DISK_NEARLY_FULL = whether("sessile_disk_nearly_full", "Whether writes are refused for want of this node's disk");
    DISK_SECONDS_LEFT = seconds(
        "sessile_disk_seconds_left",
        "Seconds until writes are refused for want of disk, by the trend of the last hour; +Inf if it does not fill up");
    DISK_REFUSES = whether(
        "sessile_disk_refuses", "Whether this node refuses writes, or deletes too, for want of its own or another's disk")
        .by(&[Label { name: "operation", values: Values::Of(&["write", "delete"]) }]);
    LOG_BYTES = bytes("sessile_log_bytes", "Bytes of the Raft log's entries");
    STATE_BYTES = bytes("sessile_state_disk_bytes", "Bytes of the session state on disk");
    STATE_TABLES = count("sessile_state_tables", "Tables of the session state").shown(TABLES);
    UNMERGED_RUNS = count(
        "sessile_state_unmerged_runs", "Runs of tables that wait to be merged; from 24 on writes become slower")
        .shown(TABLES);
    UNMERGED_BYTES = bytes("sessile_state_unmerged_bytes", "Bytes of these runs").shown(TABLES);
    BUFFERED_BYTES = bytes("sessile_state_buffered_bytes", "Bytes of the session state that are in no table yet")
        .shown(TABLES);

    // The sessions.
    NAMESPACE_REQUESTS = Metric::counter(
        "sessile_namespace_requests_total", Unit::Count,
        "Requests that a namespace has let in at this node, by what they ask of a session")
        .by(&[NAMESPACE, Label { name: "operation", values: Values::Of(&Operation::LABELS) }])
        .shown(Shown::Member);
    GIVES_WAY = whether(
        "sessile_namespace_gives_way",
        "Whether writes to a namespace are refused for the sake of those of a higher priority, because disks fill up")
        .by(&[NAMESPACE]);
    KEYS = count("sessile_keys", "Sessions that are counted: live, or expired for less than a minute or hour")
        .by(&[NAMESPACE, GROUP]).shown(GROUPS);
    BYTES = bytes("sessile_bytes", "Bytes of keys and values of these sessions").by(&[NAMESPACE, GROUP]).shown(GROUPS);
}
