//! What starts, supervises and stops a node, listens for others and hands out [`Cluster`], without knowing HTTP or the
//! command line. It is the only part that knows all the others.

mod cluster;
mod figures;
mod listener;
mod member;
mod namespaces;
#[cfg(test)]
mod operators;
mod own_key;
mod peer_service;
mod start;
mod starting;
mod status;
#[cfg(test)]
mod strangers;
mod survivor;
mod watches;

pub use cluster::Cluster;
pub use figures::{Figures, MemberFigures, QueueFigures};
pub use start::Node;
pub use status::{MemberReach, Status};
pub use survivor::who_answers;
