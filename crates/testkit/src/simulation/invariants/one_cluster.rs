use sessile_store::ClusterId;

use super::{Always, Seen};

/// There is one cluster from the first moment to the last: a node with an empty disk never begins a second one (Reimage is
/// routine).
/// It is made when every seed has answered, with all of them as its first members.
pub(in super::super) struct OneCluster {
    cluster: Option<ClusterId>,
    seeds: usize,
}

impl OneCluster {
    pub(in super::super) fn of(seeds: usize) -> Self {
        Self { cluster: None, seeds }
    }
}

impl Always for OneCluster {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, status, .. } in seen {
            let voters = status.voters.len();
            if self.cluster.is_none() && voters > 0 && voters != self.seeds {
                return Err(format!("{name} is of a cluster that {voters} of {} seeds have made", self.seeds));
            }
            if voters == 0 {
                continue;
            }
            let cluster = *self.cluster.get_or_insert(status.cluster);
            if cluster != status.cluster {
                return Err(format!("{name} is of cluster {}, and there was cluster {cluster}", status.cluster));
            }
        }
        Ok(())
    }
}
