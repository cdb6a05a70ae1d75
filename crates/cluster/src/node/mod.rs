//! A node: starts, supervises and stops what is below it, listens for other members and operators, and hands out [`Cluster`].
//! It is the only part that knows all the others; it knows nothing of HTTP and of the command line.

mod cluster;
mod listener;
mod peer_service;
mod start;
mod status;
mod watches;

pub use cluster::Cluster;
pub use start::Node;
pub use status::{MemberReach, Status};
