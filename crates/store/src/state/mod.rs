//! The session state: records and their counts on an engine, as the log makes them.

mod check;
mod checksums;
mod cold_reads;
mod current;
#[cfg(test)]
mod examples;
mod facts;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod machine;
mod overlay;
mod prepared;
mod reap;
mod session_state;
mod snapshot;
mod snapshot_receiver;
mod snapshot_sender;
mod snapshot_wire;
mod staged;
mod stored;

pub use check::CheckReport;
pub(crate) use current::{CurrentState, StateHome};
pub use machine::StateMachine;
pub use reap::Reaped;
pub use session_state::{Found, SessionState, StateSummary};
pub use snapshot::{Snapshot, SnapshotMeta};
pub use snapshot_receiver::SnapshotReceiver;
pub use snapshot_sender::SnapshotChunks;
pub(crate) use stored::Owner;
