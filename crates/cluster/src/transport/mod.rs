//! gRPC between nodes, which knows neither who leads nor who is a member, nor the configuration: it is told addresses,
//! and hands on what comes.
//!
//! Who may say what to whom is in `envelope`, how the others are reached in `links` and `reach`, what this node is to
//! those who do not know it in `this_node`. Raft's messages go out by `network` and come in by `receiver`; `snapshot`
//! is a state in transit.

mod appends;
mod calls;
mod connections;
mod conversation;
mod convert;
mod elections;
mod envelope;
mod heartbeats;
mod links;
mod network;
mod reach;
mod receiver;
mod snapshot;
mod this_node;
mod told;

pub(crate) use calls::CountsCalls;
pub(crate) use connections::{Connections, OpenConnection};
pub(crate) use conversation::{Answers, Conversation, FromQueue, one_by_one};
pub(crate) use convert::{cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
pub(crate) use elections::Elections;
pub use envelope::RefusalCount;
pub(crate) use envelope::{Door, refusal_of};
pub(crate) use links::{
    CONNECTION_WINDOW, Directory, Link, MAX_MESSAGE_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW, peer,
};
pub(crate) use network::Network;
pub use reach::{Dial, Incoming, Reach, Wire};
pub(crate) use receiver::RaftReceiver;
pub(crate) use snapshot::{Fetching, Receiving, Sending, fetch};
pub(crate) use this_node::{AmongPeers, ThisNode, are_copies, why_silent};
pub(crate) use told::Told;
