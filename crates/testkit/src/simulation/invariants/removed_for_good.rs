use super::{Always, Seen};

/// An id that was removed is never counted again: whoever comes back under it may have lost the votes it gave (Reimage is
/// routine).
pub(in super::super) struct RemovedForGood;

impl Always for RemovedForGood {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, status, .. } in seen {
            // By what this node knows itself: another one may not have heard of it yet.
            if let Some(node) = status.removed.iter().find(|node| status.voters.contains(node)) {
                return Err(format!("{name} counts node {node} as a voter, and knows that it was removed"));
            }
        }
        Ok(())
    }
}
