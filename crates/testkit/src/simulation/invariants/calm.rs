use crate::{Operation, Outcome};

/// Where nothing is done to anybody, nobody is elected after the first leader, and every request is answered, however far the
/// nodes are from each other (No error while a majority lives).
pub(in super::super) fn calm(before: u64, after: u64, operations: &[Operation]) -> Result<(), String> {
    if before != after {
        return Err(format!("nothing was wrong, and there was an election: term {before} became term {after}"));
    }
    match operations.iter().find(|operation| operation.outcome != Outcome::Ok) {
        Some(unanswered) => Err(format!("nothing was wrong, and this was not answered:\n{unanswered}")),
        None => Ok(()),
    }
}
