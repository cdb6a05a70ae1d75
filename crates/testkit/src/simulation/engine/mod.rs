//! The engines of simulated nodes: one in memory with a journal, or the default engine as it ships, in steps. Which of them a
//! directory gets is the simulation's choice, and the same at every opening.

mod memory;

use std::cell::RefCell;
use std::path::Path;

use sessile_store::engine::{Engine, EngineError, EngineKind, EngineOptions, OtherEngine, Stepping, open_stepped};

/// For `StoreOptions::engine`.
pub(super) const KIND: EngineKind = EngineKind::Other(OtherEngine { name: "simulated", open });

/// How the store in a directory is opened in steps; `None` for one in memory.
type Choice = Box<dyn Fn(&Path) -> Option<Stepping>>;

thread_local! {
    static CHOICE: RefCell<Option<Choice>> = const { RefCell::new(None) };
}

/// From now on this thread opens engines by this.
pub(super) fn choose_by(choice: Choice) {
    CHOICE.with_borrow_mut(|place| *place = Some(choice));
}

/// From now on this thread's engines are in memory.
pub(super) fn choose_memory() {
    CHOICE.with_borrow_mut(|place| *place = None);
}

fn open(dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    match CHOICE.with_borrow(|choice| choice.as_ref()?(dir)) {
        Some(stepping) => open_stepped(dir, options, stepping),
        None => memory::open(dir, options),
    }
}
