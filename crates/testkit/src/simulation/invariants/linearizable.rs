use crate::{History, Operation};

/// A read, on any node, returns the newest acknowledged write; nothing that was acknowledged is lost, and nothing that was
/// deleted or has expired comes back (Durable; Linearizable; No ghost).
pub(in super::super) fn linearizable(operations: Vec<Operation>) -> Result<(), String> {
    let mut history = History::begin();
    operations.into_iter().for_each(|operation| history.push(operation));
    history.check().map_err(|violation| violation.to_string())
}
