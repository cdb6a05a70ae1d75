use sessile_store::ClusterId;

use super::{Always, Seen};

/// There is one cluster from the first moment to the last: a node with an empty disk never begins a second one (Reimage is
/// routine).
#[derive(Default)]
pub(in super::super) struct OneCluster {
    cluster: Option<ClusterId>,
}

impl Always for OneCluster {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, status, .. } in seen {
            let cluster = *self.cluster.get_or_insert(status.cluster);
            if cluster != status.cluster {
                return Err(format!("{name} is of cluster {}, and there was cluster {cluster}", status.cluster));
            }
        }
        Ok(())
    }
}
