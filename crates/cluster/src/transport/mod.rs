//! gRPC between nodes, which knows neither who leads nor who is a member, nor the configuration: it is told addresses,
//! and hands on what comes.
//!
//! Who may say what to whom is in `envelope`, by which keys they are recognised in `keys`, what proves that they have them
//! in `tls`. How the others are reached is in `links`, `dialler` and `reach`, how operators on this machine reach it in `local`, what this node is to those who do not know it
//! in `this_node`. Raft's messages go out by `network` and come in by `receiver`; `snapshot`
//! is a state in transit.

mod appends;
mod calls;
mod connections;
mod conversation;
mod convert;
mod dialler;
mod elections;
mod envelope;
mod heartbeats;
mod keys;
mod links;
mod local;
mod network;
mod reach;
mod receiver;
mod refusals;
mod snapshot;
mod stream;
mod this_node;
mod tls;
mod told;

pub(crate) use calls::CountsCalls;
pub(crate) use connections::{Connections, OpenConnection, Operator};
pub(crate) use conversation::{Answers, Conversation, FromQueue, one_by_one};
pub(crate) use convert::{cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
pub(crate) use elections::Elections;
pub(crate) use envelope::Door;
pub(crate) use keys::KnownKeys;
pub(crate) use links::{
    CONNECTION_WINDOW, Directory, Link, MAX_MESSAGE_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW, connect_over,
    connect_without_a_key, peer,
};
pub(crate) use local::{LocalSocket, connect as connect_to_socket, path_in as socket_in};
pub(crate) use network::Network;
pub use reach::{Dial, Incoming, Reach};
pub(crate) use receiver::RaftReceiver;
pub use refusals::RefusalCount;
pub(crate) use refusals::refusal_of;
pub(crate) use snapshot::{Fetching, Pace, Receiving, Sending, fetch};
pub use stream::Wire;
pub(crate) use this_node::{AmongPeers, Found, ThisNode, are_copies, why_silent};
#[cfg(test)]
pub(crate) use tls::intercepted;
pub(crate) use tls::{Handshake, NodeKey, Tls};
pub(crate) use told::Told;
