use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The steps of work that one thread at a time does and that waits for the disk, for a watchdog: a step that is under way
/// for too long has met a disk that does not answer, or a lock whose owner has. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Steps that began and steps that ended: odd while one is under way.
    moves: Arc<AtomicU64>,
}

/// A step that is under way until this is dropped.
#[derive(Debug)]
#[must_use = "the step ends at once"]
pub struct Step<'a>(&'a Progress);

impl Progress {
    /// Begins a step.
    pub fn begin(&self) -> Step<'_> {
        self.moves.fetch_add(1, Ordering::Relaxed);
        Step(self)
    }

    /// Which step is under way, if one is. The same number twice is the same step.
    pub fn under_way(&self) -> Option<u64> {
        Some(self.moves.load(Ordering::Relaxed)).filter(|moves| moves % 2 == 1)
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.moves.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_the_next_one_and_from_none() {
        let progress = Progress::default();
        assert_eq!(progress.under_way(), None);
        let step = progress.begin();
        let first = progress.clone().under_way();
        assert!(first.is_some());
        assert_eq!(progress.under_way(), first);
        drop(step);
        assert_eq!(progress.under_way(), None);
        let _step = progress.begin();
        assert!(progress.under_way().is_some_and(|second| Some(second) != first));
    }
}
