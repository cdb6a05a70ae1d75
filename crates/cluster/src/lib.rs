//! A node of the cluster: Raft over the store, and the one handle through which sessions are read and written.
//!
//! A write goes through the log (fsync on a majority, apply, answer); a read waits for a ReadIndex round that began after
//! it arrived, and then reads the applied state. This crate deliberately knows nothing of HTTP. Peers,
//! transport and admission belong here and change nothing above [`Cluster`].
//!
//! ```text
//!            ┌─ write ─ proposer window ─ stamp ─ Raft log ─ apply ─┐
//! Cluster ───┤                                                      ├─ session state
//!            └─ read ── confirmation round (ReadIndex) ─────────────┘
//! ```

pub mod admin;

mod admission;
mod autopilot;
mod batches;
mod byte_room;
mod clock;
mod cluster;
mod commit_times;
mod config;
mod confirmation;
mod disk;
mod error;
mod forward;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod grpc;
mod leadership;
mod local;
mod maintenance;
mod members;
mod membership;
mod node;
mod proposer;
mod quorum;
mod read_rounds;
mod recovery;
mod registration;
mod reports;
mod standing;
mod state_check;
mod status;
mod transport;
mod wall_clock;
mod watches;
mod wire;
mod write_rounds;

pub use cluster::{Cluster, Found};
pub use config::{JoinToken, NodeConfig, PeersConfig, QueueBytes};
pub use error::{ClusterError, StartError};
pub use node::Node;
pub use status::{MemberReach, Status};
pub use transport::{Dial, Incoming, Reach, RefusalCount, Wire};
pub use wall_clock::WallClock;
