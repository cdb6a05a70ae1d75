use sessile_core::{GroupName, LogTime, Namespace, NamespaceId, NamespaceSettings, RulesVersion, State, Tally};

use super::head::BackupHead;
use crate::state::SnapshotReader;

/// What a backup holds, once all of it was read and found whole.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupSummary {
    /// What it is of.
    pub head: BackupHead,
    /// What the replicated clock showed.
    pub clock: LogTime,
    /// The rules in force.
    pub rules: RulesVersion,
    /// The namespaces, as they were seeded; none in a cluster whose nodes go by their files.
    pub namespaces: Vec<NamespaceSummary>,
    /// Records in it: those that are live, and those that expire so soon that they are still counted.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What a namespace counts.
#[derive(Debug, Clone, PartialEq)]
pub struct NamespaceSummary {
    /// What it may hold.
    pub settings: NamespaceSettings,
    /// Live keys and bytes.
    pub total: Tally,
    /// The groups that are counted by name, the largest first; the one without a name holds the rest.
    pub groups: Vec<(GroupName, Tally)>,
}

impl BackupSummary {
    pub(super) fn of(head: BackupHead, reader: &SnapshotReader, bytes: u64) -> Self {
        let state = reader.state();
        let (clock, rules) = (state.clock(), state.rules());
        Self { head, clock, rules, namespaces: namespaces(state), records: reader.records(), bytes }
    }
}

fn namespaces(state: &State) -> Vec<NamespaceSummary> {
    let of = |(id, namespace): (NamespaceId, &Namespace)| {
        let mut groups: Vec<_> = state.groups(id).map(|(name, tally)| (name.clone(), tally)).collect();
        groups.sort_by(|(a, of_a), (b, of_b)| of_b.keys.cmp(&of_a.keys).then_with(|| a.as_str().cmp(b.as_str())));
        NamespaceSummary { settings: namespace.settings.clone(), total: state.total(id), groups }
    };
    state.namespaces().iter().map(of).collect()
}
