//! Decisions that a simulation may take in the program's place, where no clock, disk, engine or network of its own could: what
//! looks for broken promises is itself tried on a program that breaks one. And pauses where a simulated node would take no
//! time otherwise. And programs of before, which follow no newer rules than theirs.
//!
//! Without the feature `planted-defects`, which only the test kit asks for, every decision is the program's own and a
//! constant. With it, a thread has the decisions that it asked for, and no other thread has them. Each is read at one place.

use std::time::Duration;

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decisions {
    /// Whether a leader that was restarted goes on in its old term. If not, it serves only when it has won a new one.
    pub leader_resumes_its_term: bool,
    /// Whether a leader ends a joint change of the membership that another leader began.
    pub leader_ends_changes_of_others: bool,
    /// Whether a learner is given a vote only once it has been healthy for long enough and has caught up.
    pub learners_wait_for_a_vote: bool,
    /// Whether a log of another history goes when a fetched state is put in use.
    pub state_replaces_another_history: bool,
    /// Whether a leader waits for the answer to a heartbeat for as long as members may be far. If not, only until the next one.
    pub heartbeats_await_answers: bool,
    /// Whether it is told when two processes have one id, by the number that each draws at its start.
    pub copies_are_told: bool,
    /// Whether newer rules are raised only once every member can follow them. If not, as soon as one can.
    pub rules_await_all: bool,
}

impl Decisions {
    /// The program's own.
    pub const OWN: Self = Self {
        leader_resumes_its_term: false,
        leader_ends_changes_of_others: true,
        learners_wait_for_a_vote: true,
        state_replaces_another_history: true,
        heartbeats_await_answers: true,
        copies_are_told: true,
        rules_await_all: true,
    };
}

/// How a state is sent, where one of a simulation would be a single chunk that takes no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// The most bytes of one.
    pub most_bytes: usize,
    /// How long a sender waits before each.
    pub pause: Duration,
}

#[cfg(feature = "planted-defects")]
mod switch {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use super::{Chunks, Decisions};
    use crate::RulesVersion;

    type Pauses = Box<dyn FnMut() -> Option<Duration>>;
    type Programs = Box<dyn Fn() -> Option<RulesVersion>>;

    thread_local! {
        static DECISIONS: Cell<Decisions> = const { Cell::new(Decisions::OWN) };
        static PAUSES: RefCell<Option<Pauses>> = const { RefCell::new(None) };
        static CHUNKS: Cell<Option<Chunks>> = const { Cell::new(None) };
        static PROGRAMS: RefCell<Option<Programs>> = const { RefCell::new(None) };
    }

    /// From now on that says, on this thread, which rules the program can follow that runs at the moment; all that there are,
    /// if it says none.
    pub fn follow_rules_by(programs: impl Fn() -> Option<RulesVersion> + 'static) {
        PROGRAMS.set(Some(Box::new(programs)));
    }

    /// The newest rules that the program can follow that runs now.
    pub fn rules_supported() -> RulesVersion {
        let known = PROGRAMS.with_borrow(|programs| programs.as_ref().and_then(|programs| programs()));
        known.unwrap_or(RulesVersion::SUPPORTED)
    }

    /// From now on entries wait on this thread for that long before they are applied.
    pub fn pause_before_applying(pauses: impl FnMut() -> Option<Duration> + 'static) {
        PAUSES.set(Some(Box::new(pauses)));
    }

    /// How long the next entries wait before they are applied.
    pub fn next_pause() -> Option<Duration> {
        PAUSES.with_borrow_mut(|pauses| pauses.as_mut().and_then(|pauses| pauses()))
    }

    /// From now on states are sent on this thread in that way.
    pub fn send_in(chunks: Option<Chunks>) {
        CHUNKS.set(chunks);
    }

    /// How a state is sent, if not as the program does it.
    pub fn chunks() -> Option<Chunks> {
        CHUNKS.get()
    }

    /// From now on this thread's decisions are these.
    pub fn inject(decisions: Decisions) {
        DECISIONS.set(decisions);
    }

    /// The decisions of this thread.
    pub fn decisions() -> Decisions {
        DECISIONS.get()
    }
}

#[cfg(feature = "planted-defects")]
pub use switch::{
    chunks, decisions, follow_rules_by, inject, next_pause, pause_before_applying, rules_supported, send_in,
};

/// The program's own.
#[cfg(not(feature = "planted-defects"))]
pub const fn decisions() -> Decisions {
    Decisions::OWN
}

/// The newest rules that this program can follow.
#[cfg(not(feature = "planted-defects"))]
pub const fn rules_supported() -> crate::RulesVersion {
    crate::RulesVersion::SUPPORTED
}

/// How long the next entries wait before they are applied: not at all.
#[cfg(not(feature = "planted-defects"))]
pub const fn next_pause() -> Option<Duration> {
    None
}

/// How a state is sent: as the program does it.
#[cfg(not(feature = "planted-defects"))]
pub const fn chunks() -> Option<Chunks> {
    None
}
