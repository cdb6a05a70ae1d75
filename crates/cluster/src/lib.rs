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
mod batches;
mod byte_room;
mod config;
mod disk;
mod error;
mod fault;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod group;
mod health;
mod late;
mod membership;
mod node;
mod raft;
mod reads;
mod timing;
mod tokens;
mod transport;
mod upkeep;
mod wall_clock;
mod wire;
mod writes;

pub use config::{NodeConfig, PeersConfig, QueueBytes};
pub use error::{ClusterError, StartError};
pub use health::{Alert, AlertKind};
pub use membership::MAX_MEMBERS;
pub use node::{Cluster, Figures, MemberFigures, MemberReach, Node, QueueFigures, Status, who_answers};
pub use sessile_store::engine::EngineFigures;
pub use sessile_store::{DurationCounts, LiveRecord};
pub use timing::Timing;
pub use tokens::{OperatorToken, Operators, Right, Secret};
pub use transport::{Dial, Incoming, Reach, RefusalCount, Wire};
pub use wall_clock::{Uptime, WallClock};
