//! A node of the cluster: Raft over the store, and the one handle through which sessions are read and written.
//!
//! A write goes through the log (fsync on a majority, apply, answer); a read waits for a ReadIndex round that began after
//! it arrived, and then reads the applied state. This crate deliberately knows nothing of HTTP. So far a cluster has
//! one member; peers, transport and admission belong here and change nothing above [`Cluster`].
//!
//! ```text
//!            ┌─ write ─ proposer window ─ stamp ─ Raft log ─ apply ─┐
//! Cluster ───┤                                                      ├─ session state
//!            └─ read ── confirmation round (ReadIndex) ─────────────┘
//! ```

pub mod admin;

mod clock;
mod cluster;
mod config;
mod disk;
mod error;
mod maintenance;
mod network;
mod node;
mod proposer;
mod read_rounds;
mod status;
mod wall_clock;
mod wire;

pub use cluster::{Cluster, Found};
pub use config::{JoinToken, NodeConfig, PeersConfig};
pub use error::{ClusterError, StartError};
pub use node::Node;
pub use status::Status;
