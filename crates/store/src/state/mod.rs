//! The state machine in Raft's sense: the sessions and their counts on an engine, as the log makes them.
//!
//! From the bottom up:
//!
//! ```text
//! stored                    which key holds what, and how its bytes are read
//! state_root, engine_dir    the directory of all states, and an open engine with one of them
//! prepared, overlay         entries about to be applied, and the records as they see them
//! writer                    the replicated state in memory, to which entries are applied
//! status                    what requests and reports ask of it, behind a lock of its own
//! builder                   another state that is being filled, until it is put in use
//! offer, snapshot*          a state on its way to another member, and from one
//! session_state             the handle; `apply`, `snapshots`, `reap`, `check` and `key_list` are what it does
//! machine                   the handle as openraft wants it
//! ```

mod apply;
mod builder;
mod check;
mod checksums;
mod cold_reads;
mod engine_dir;
#[cfg(test)]
mod examples;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod key_list;
mod machine;
mod offer;
mod overlay;
mod prepared;
mod reap;
mod record_retention;
mod session_state;
mod snapshot;
mod snapshot_reader;
mod snapshot_receiver;
mod snapshot_sender;
mod snapshot_wire;
mod snapshots;
mod state_root;
mod status;
mod stored;
mod writer;

pub(crate) use builder::BuiltState;
pub use check::CheckReport;
pub(crate) use engine_dir::EngineDir;
pub use key_list::{KeyList, ListedKey, PAGE_RECORDS};
pub use machine::StateMachine;
pub use reap::Reaped;
pub use session_state::{LiveRecord, SessionState, StateSummary};
pub use snapshot::Snapshot;
pub(crate) use snapshot_reader::SnapshotReader;
pub use snapshot_receiver::SnapshotReceiver;
pub use snapshot_sender::SnapshotChunks;
pub(crate) use state_root::StateRoot;
pub(crate) use stored::Owner;
