use std::collections::BTreeMap;

use openraft::ChangeMembers;
use sessile_core::{Command, NamespaceCommand, NamespaceSettings, Renewal, RulesVersion};
use sessile_store::Member;
use tokio::sync::Mutex;
use tracing::info;

use crate::group::Group;
use crate::writes::Writes;

/// What a configuration says of namespaces.
#[derive(Debug)]
pub(crate) struct OwnNamespaces {
    /// Which there are in a new cluster; one of them is `sessions`.
    pub(crate) namespaces: Vec<NamespaceSettings>,
    /// Whether this node is a cluster by itself. Then its configuration is an operator's word at each start, and nobody else
    /// raises the rules.
    pub(crate) is_alone: bool,
    /// One at a time: Raft takes one change of the membership at a time.
    raising: Mutex<()>,
}

impl OwnNamespaces {
    pub(crate) fn new(namespaces: Vec<NamespaceSettings>, is_alone: bool) -> Self {
        Self { namespaces, is_alone, raising: Mutex::default() }
    }

    /// Has them in the replicated state, if they are not there yet and the rules in force know namespaces. A node that is a
    /// cluster by itself raises the rules for that.
    pub(crate) async fn make(&self, group: &Group, writes: &Writes) {
        let state = &group.state;
        let seed = NamespaceCommand::Seed(self.namespaces.clone());
        let needed = seed.rules_needed();
        self.raise_rules(needed, group, writes).await;
        if state.rules() >= needed && !state.namespaces().is_seeded() {
            info!(namespaces = self.namespaces.len(), "the namespaces of this node's configuration are made");
            writes.propose_here(Command::Namespace(seed).encode()).await;
        }
    }

    /// Has at least these rules in force on a node that is a cluster by itself. In others the autopilot raises them.
    pub(crate) async fn raise_rules(&self, to: RulesVersion, group: &Group, writes: &Writes) {
        if !self.is_alone || !group.is_alone() {
            return;
        }
        let _one = self.raising.lock().await;
        if group.state.rules() < to {
            raise_rules(group, writes).await;
        }
    }
}

/// Whether they say no more than a configuration of before could: one namespace without limits. A node that is a cluster by
/// itself serves that without a word in its log, so that a program of before goes on with its data.
pub(crate) fn are_plain(own: &[NamespaceSettings]) -> bool {
    let never = Renewal::Never;
    matches!(own, [NamespaceSettings { max_keys: 0, max_bytes: 0, max_value: 0, priority: 0, renewal, .. }] if *renewal == never)
}

/// Raises the rules of a cluster of one, whose membership may still say what a program of before could follow.
async fn raise_rules(group: &Group, writes: &Writes) {
    let membership = group.membership();
    let mut members = membership.membership().nodes();
    let (Some((&node, known)), None) = (members.next(), members.next()) else { return };
    if known.rules_supported < RulesVersion::SUPPORTED {
        let newer = Member { rules_supported: RulesVersion::SUPPORTED, ..known.clone() };
        let change = ChangeMembers::SetNodes(BTreeMap::from([(node, newer)]));
        if group.raft.change_membership(change, false).await.is_err() {
            // Whoever wants it looks whether it came about, and asks again.
            return;
        }
    }
    info!(version = RulesVersion::SUPPORTED.number(), "newer rules are in force");
    writes.propose_here(Command::RaiseRules(RulesVersion::SUPPORTED).encode()).await;
}
