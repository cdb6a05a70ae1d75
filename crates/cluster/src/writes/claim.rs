use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who comes first to a command that waits: whoever takes it on its way to the log, or its deadline. Both hold one of these,
/// and exactly one of them gets it; so a command that its client was told of as not sent is never sent later.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether the caller is the first to ask.
    pub(super) fn get(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_gets_it() {
        let taker = Claim::default();
        let waiter = taker.clone();
        assert!(taker.get());
        assert!(!waiter.get() && !taker.get());
    }
}
