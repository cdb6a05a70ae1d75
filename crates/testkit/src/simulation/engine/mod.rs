//! The engines of simulated nodes: one in memory with a journal, or the default engine as it ships, in steps. Which of them a
//! directory gets is the simulation's choice, and the same at every opening.

mod memory;

use std::cell::{Cell, RefCell};
use std::path::Path;

use sessile_store::engine::{Engine, EngineError, EngineKind, EngineOptions, OtherEngine, Stepping, open_stepped};

use super::planted::{Defect, open_planted};

/// For `StoreOptions::engine`.
pub(super) const KIND: EngineKind = EngineKind::Other(OtherEngine { name: "simulated", open });

/// How the store in a directory is opened in steps; `None` for one in memory.
type Choice = Box<dyn Fn(&Path) -> Option<Stepping>>;

thread_local! {
    static CHOICE: RefCell<Option<Choice>> = const { RefCell::new(None) };
    static PLANTED: Cell<Option<Defect>> = const { Cell::new(None) };
}

/// From now on this thread opens engines by this.
pub(super) fn choose_by(choice: Choice) {
    CHOICE.with_borrow_mut(|place| *place = Some(choice));
}

/// From now on this thread's engines are in memory.
pub(super) fn choose_memory() {
    CHOICE.with_borrow_mut(|place| *place = None);
}

/// From now on this thread's engines have that defect, if it is one of engines.
pub(super) fn plant(defect: Option<Defect>) {
    PLANTED.set(defect);
}

fn open(dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    match PLANTED.get() {
        Some(defect) => open_planted(defect, dir, options, open_chosen),
        None => open_chosen(dir, options),
    }
}

fn open_chosen(dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    match CHOICE.with_borrow(|choice| choice.as_ref()?(dir)) {
        Some(stepping) => open_stepped(dir, options, stepping),
        None => memory::open(dir, options),
    }
}
