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
//! ├── CLEAN      there after a clean stop only
//! ├── log/       the Raft log: entries, vote, committed index, node id
//! └── state/     CURRENT names the directory of the engine that is in use
//! ```

pub mod engine;
pub mod log;

mod codec;
mod data_dir;
mod error;
mod identity;
mod log_store;
mod state;
mod store;
mod types;

mod wire {
    //! Generated from proto/sessile/v1/log.proto.
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/sessile.v1.rs"));
}

pub use data_dir::DataDir;
pub use error::StoreError;
pub use identity::{ClusterId, NodeId};
pub use log_store::LogStore;
pub use state::{CheckReport, Found, Reaped, SessionState, Snapshot, StateMachine};
pub use store::{Opened, Store, StoreOptions};
pub use types::{LogId, Member, Membership, Proposal, StoredMembership, TypeConfig, Vote};

#[cfg(test)]
mod tests;
