//! A node in somebody else's process: start, a handle, stop. What `sessile serve` starts, too, so there is one way to start a
//! node.
//!
//! It deliberately knows nothing of the command line, the configuration file, signals, log formats and HTTP: it runs on the
//! caller's runtime, and speaks to the caller's `tracing` subscriber. A runtime of several threads serves it best; it takes
//! a few threads of its own for its disk.
//!
//! - [`Node::dev`] is a single node that keeps nothing, for a first try and for tests.
//! - [`Node::from_config`] is the node that a [`Config`] describes: single, or, with a [`Member`], one of a cluster.
//! - [`Sessions`] is the handle: get, put with a lifetime and on a condition, renew, take, delete.
//! - [`Node::ready`] and [`Node::failed`] tell how it is; [`Node::shutdown`] ends it.
//! - With the feature `tower-sessions`, `TowerStore` keeps the sessions of the crate of that name.
//!
//! `examples/logins.rs` is an axum application whose copies share their logins.

mod config;
mod driver;
mod error;
mod member;
mod memory;
mod namespaces;
mod node;
mod opening;
mod session;
mod sessions;
mod sessions_error;
mod stage;
mod survivor;
#[cfg(feature = "tower-sessions")]
mod tower_store;
mod watchdog;

pub use config::Config;
pub use error::Error;
pub use member::Member;
pub use memory::Memory;
pub use node::{Node, NotReady, Setting};
pub use opening::OldData;
pub use session::{Session, WriteOptions};
pub use sessions::Sessions;
pub use sessions_error::SessionsError;
pub use survivor::Survivor;
#[cfg(feature = "tower-sessions")]
pub use tower_store::TowerStore;
pub use watchdog::{OnHang, Watch, Work};

// What stands in the types above.
pub use sessile_cluster::{Cluster, OperatorToken, Operators, Right, Secret, StartError, Timing};
pub use sessile_core::{
    BaseUri, Condition, KeyError, Limit, NamespaceName, NamespaceSettings, ReadConsistency, Ttl, TtlPolicy, Version,
};
pub use sessile_store::engine::EngineKind;
pub use sessile_store::{ClusterId, NodeId, Progress, RescuePlan, StoreError, Unfinished};
pub use sessile_trace::Tracer;
