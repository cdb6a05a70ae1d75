use std::collections::BTreeMap;

use sessile_store::NodeId;

use super::{Always, Seen};

/// At most one node leads in a term, and from one start of its program only: of two, each would take entries that the other
/// one overwrites, and one that was started again does not know what it had promised (Linearizable).
#[derive(Default)]
pub(in super::super) struct OneLeaderATerm {
    leaders: BTreeMap<u64, (NodeId, u64)>,
}

impl Always for OneLeaderATerm {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, start, status, .. } in seen {
            let Some(term) = status.leads_in else { continue };
            let leads = (status.node, *start);
            let leader = *self.leaders.entry(term).or_insert(leads);
            if leader != leads {
                return Err(format!(
                    "{name}, node {} in its start {start}, leads in term {term}, and so did node {} in its start {}",
                    status.node, leader.0, leader.1
                ));
            }
        }
        Ok(())
    }
}
