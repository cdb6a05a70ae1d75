//! gRPC between nodes: who may say what to whom (`envelope`), how the others are reached (`links`, `reach`), Raft's messages
//! (`network` sends, `service` receives), and the state in transit (`snapshot`).

mod appends;
mod calls;
mod connections;
mod conversation;
mod convert;
mod envelope;
mod links;
mod network;
mod reach;
mod service;
mod snapshot;

pub(crate) use calls::CountsCalls;
pub(crate) use connections::Connections;
pub(crate) use conversation::{Conversation, FromQueue};
pub(crate) use convert::{cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
pub use envelope::RefusalCount;
pub(crate) use envelope::{Door, refusal_of};
pub(crate) use links::{
    CONNECTION_WINDOW, Directory, Link, MAX_MESSAGE_BYTES, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW,
};
pub(crate) use network::Network;
pub use reach::{Dial, Incoming, Reach, Wire};
pub(crate) use service::PeerService;
pub(crate) use snapshot::{Fetching, Receiving, Sending, fetch};
