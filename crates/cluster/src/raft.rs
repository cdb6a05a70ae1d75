//! Names for what is openraft's, with this program's types in it.

use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf, WatchReceiverOf};
use sessile_store::{Snapshot, StateMachine, TypeConfig};

/// Raft over the store.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// Who leads and who is a member, as Raft on this node knows it.
pub(crate) type ServerMetrics = WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>;

/// What a state is of.
pub(crate) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

/// A state, and what it is of.
pub(crate) type FullSnapshot = SnapshotOf<TypeConfig, Snapshot>;
