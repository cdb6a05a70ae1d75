use std::collections::BTreeSet;

use super::operation::{Action, Operation, Outcome, Value};

/// What an answered operation proves of the key.
enum Witness {
    Nothing,
    /// It held this.
    Held(Option<Value>),
    /// It held something else than was expected: any write may be the reason.
    NotExpected,
}

/// What it has seen of the key, if it was answered: what must have been there for it.
fn witness(action: Action) -> Witness {
    match action {
        Action::Get(found) | Action::Take(found) | Action::PutIf { expected: found, done: true, .. } => {
            Witness::Held(found)
        }
        Action::DeleteIf { expected, done: true } => Witness::Held(Some(expected)),
        Action::PutIf { done: false, .. } | Action::DeleteIf { done: false, .. } => Witness::NotExpected,
        Action::Put(_) | Action::Delete | Action::Expire(_) => Witness::Nothing,
    }
}

/// The operations that say something: without what had no effect, reads without an answer, and writes of unknown outcome
/// that nothing depends on.
pub(super) fn relevant<'a>(operations: &[&'a Operation]) -> Vec<&'a Operation> {
    let mut seen = BTreeSet::new();
    let mut all_count = false;
    for operation in operations.iter().filter(|operation| operation.outcome == Outcome::Ok) {
        match witness(operation.action) {
            Witness::Held(value) => drop(seen.insert(value)),
            Witness::NotExpected => all_count = true,
            Witness::Nothing => {}
        }
    }
    // What it leaves behind, and what must have been there for it.
    let chain = |action: Action| match action {
        Action::Put(value) => (Some(value), None),
        Action::PutIf { expected, value, .. } => (Some(value), Some(expected)),
        Action::DeleteIf { expected, .. } | Action::Expire(expected) => (None, Some(Some(expected))),
        Action::Delete | Action::Take(_) | Action::Get(_) => (None, None),
    };
    let unknown: Vec<_> = operations.iter().filter(|operation| operation.outcome == Outcome::Ambiguous).collect();
    loop {
        let before = seen.len();
        for (left, needed) in unknown.iter().map(|operation| chain(operation.action)) {
            if seen.contains(&left) {
                seen.extend(needed);
            }
        }
        if seen.len() == before {
            break;
        }
    }
    let says = |operation: &&Operation| match (operation.outcome, operation.action) {
        (Outcome::Ok, _) => true,
        (Outcome::Failed, _) | (Outcome::Ambiguous, Action::Get(_)) => false,
        (Outcome::Ambiguous, write) => all_count || seen.contains(&chain(write).0),
    };
    operations.iter().copied().filter(says).collect()
}
