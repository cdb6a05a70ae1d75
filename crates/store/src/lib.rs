//! What a node keeps on its disk: the Raft log with vote and identity, the session state on an engine, and the marks
//! by which a directory is recognised again.
//!
//! The only crate that names a storage library. It deliberately knows nothing of the network, of HTTP, and of who
//! the members are: it applies what the log says, and gives back what was stored or says that it is damaged.
//!
//! ```text
//! data directory
//! ├── FORMAT     what this directory is, and its format version
//! ├── LOCK       held by the one process that uses it
//! ├── CLUSTER    the cluster it belongs to
//! ├── RESERVED   before that: the cluster that is being made and that it promised itself to
//! ├── FORMER     the cluster it once held: it may join one, and never begin one
//! ├── CLEAN      there after a clean stop only
//! ├── RESTORING, RESCUING   there while a backup, or a survivor, is being made a cluster of one
//! ├── log/       the Raft log: entries, vote, committed index, node id
//! ├── state/     CURRENT names the directory of the engine that is in use
//! └── state.damaged-N/, discarded-N/   what was set aside, never deleted
//! ```

pub mod engine;
pub mod log;

mod access;
mod alone;
mod backup;
mod codec;
mod data_dir;
mod discard;
mod durations;
mod error;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod give_way;
mod identity;
mod key_file;
mod log_store;
mod log_tail;
mod marks;
mod off_the_runtime;
mod opening;
mod pristine;
mod progress;
mod recovering;
mod rescue;
mod retention;
mod state;
mod store;
mod types;

mod wire {
    //! Generated from proto/sessile/v1/{log,snapshot,backup}.proto, and kept in proto/generated.
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    include!("../../../proto/generated/store.rs");
}

pub use backup::{BackupHead, BackupSummary, BackupWriter, NamespaceSummary, Restored, restore, verify};
pub use codec::{CodecError, decode_entry, decode_membership, encode_entry, encode_membership};
pub use data_dir::{ADMIN_SOCKET, DataDir};
pub use durations::{DurationCounts, Durations};
pub use error::{StoreError, Unfinished};
pub use identity::{ClusterId, KeyHash, NodeId};
pub use key_file::KeyFile;
pub use log_store::LogStore;
pub use marks::{Former, Moment, Notes, Reservation};
pub use off_the_runtime::{GaveUp, off_the_runtime};
pub use opening::Opening;
pub use pristine::PristineStore;
pub use progress::{Progress, Step};
pub use recovering::RecoveringStore;
pub use rescue::{Rescue, RescuePlan};
pub use retention::{LogSegment, Retention};
pub use state::{
    CheckReport, KeyList, ListedKey, LiveRecord, PAGE_RECORDS, Reaped, SessionState, Snapshot, SnapshotChunks,
    SnapshotReceiver, StateMachine, StateSummary,
};
pub use store::{Opened, Store, StoreOptions};
pub use types::{
    Entry, LogId, Member, Membership, Proposal, SnapshotMeta, StoredMembership, TypeConfig, Vote, log_id, rules_of_all,
    term_of,
};

#[cfg(test)]
mod tests;
