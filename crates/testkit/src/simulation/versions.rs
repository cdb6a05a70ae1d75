//! Programs of before, which follow no newer rules than theirs: what of a node depends on its version, where all nodes are of
//! one build. Each host has a runtime of its own for each start, and by that it is known whose code runs.

use std::cell::RefCell;
use std::collections::HashMap;

use sessile_core::RulesVersion;
use sessile_core::injected::follow_rules_by;
use tokio::runtime::{Handle, Id};

thread_local! {
    static RUNTIMES: RefCell<HashMap<Id, RulesVersion>> = RefCell::default();
}

/// From now on each program of this thread follows the rules that it said it does.
pub(super) fn begin() {
    RUNTIMES.with_borrow_mut(HashMap::clear);
    follow_rules_by(|| {
        let runtime = Handle::try_current().ok()?.id();
        RUNTIMES.with_borrow(|runtimes| runtimes.get(&runtime).copied())
    });
}

/// The program whose runtime this is follows no newer rules than these.
pub(super) fn this_program_follows(newest: RulesVersion) {
    RUNTIMES.with_borrow_mut(|runtimes| runtimes.insert(Handle::current().id(), newest));
}
