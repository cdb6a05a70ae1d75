use std::collections::BTreeMap;

use sessile_store::NodeId;

use super::{Always, Seen};

/// At most one node leads in a term: of two, each would take entries that the other one overwrites (Linearizable).
#[derive(Default)]
pub(in super::super) struct OneLeaderATerm {
    leaders: BTreeMap<u64, NodeId>,
}

impl Always for OneLeaderATerm {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, status } in seen {
            let Some(term) = status.leads_in else { continue };
            let leader = *self.leaders.entry(term).or_insert(status.node);
            if leader != status.node {
                return Err(format!("{name}, node {}, leads in term {term}, and so did node {leader}", status.node));
            }
        }
        Ok(())
    }
}
