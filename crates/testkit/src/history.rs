use std::collections::BTreeMap;
use std::time::Instant;

use crate::linearizability::{self, Violation};
pub use crate::linearizability::{Action, Operation, Outcome, Value};

/// What clients did and saw, whose order in real time is known. Keys that no operation wrote begin without a value.
///
/// ```text
///   client 1   ├─ put 7 ─┤        ├──── get → 8 ────┤
///   client 2        ├──── put 8 ────┤
///              ─────────────────────────────────────────▶ time
/// ```
///
/// It is linearizable if every operation can be given one moment between its start and its end at which it happened, all
/// at different moments, so that every read found what the last write before it left ([Herlihy and Wing, 1990]). That is
/// what "a read returns the newest acknowledged write" means, and it covers lost writes, stale reads and ghosts alike.
///
/// [Herlihy and Wing, 1990]: https://doi.org/10.1145/78969.78972
#[derive(Debug, Clone)]
pub struct History {
    begin: Instant,
    operations: Vec<Operation>,
}

impl History {
    /// An empty one that begins now.
    pub fn begin() -> Self {
        Self::begun_at(Instant::now())
    }

    /// An empty one with the beginning of another: what is recorded in both can be put together.
    pub fn begun_at(begin: Instant) -> Self {
        Self { begin, operations: Vec::new() }
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.begin
    }

    /// Adds an operation that ends now.
    pub fn record(&mut self, client: usize, key: &str, action: Action, start: Instant, outcome: Outcome) {
        let since = |instant: Instant| instant.saturating_duration_since(self.begin);
        let (start, end) = (since(start), since(Instant::now()));
        self.push(Operation { client, key: key.to_owned(), action, start, end, outcome });
    }

    /// Adds one as it is.
    pub fn push(&mut self, operation: Operation) {
        assert!(operation.start <= operation.end, "an operation ends after its start: {operation:?}");
        self.operations.push(operation);
    }

    /// Adds what was recorded elsewhere. Panics if its times are counted from another beginning.
    pub fn merge(&mut self, other: Self) {
        assert_eq!(self.begin, other.begin, "both count their time from one beginning");
        self.operations.extend(other.operations);
    }

    /// Everything, in the order in which it was added.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Looks for a key whose operations no order explains. In the common case it takes time in proportion to the number
    /// of operations; what it costs is told at [`linearizability::check_key`].
    pub fn check(&self) -> Result<(), Box<Violation>> {
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in &self.operations {
            keys.entry(&operation.key).or_default().push(operation);
        }
        keys.into_values().try_for_each(|operations| linearizability::check_key(&operations))
    }

    /// Panics, with the operation that no order explains and what stood around it, if there is one.
    #[track_caller]
    pub fn assert_linearizable(&self) {
        if let Err(violation) = self.check() {
            panic!("not linearizable: {violation}");
        }
    }
}
