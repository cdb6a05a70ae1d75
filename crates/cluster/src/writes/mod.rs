//! How a command gets into the log and its outcome back (rounds that many commands share, the proposer's window and its
//! registration, the way to the leader), without knowing reads, the health of other members, or the configuration.

mod claim;
mod forward;
mod proposals;
mod proposer;
mod registration;
mod rounds;
mod tried;
mod writer;

pub(crate) use proposals::propose_all;
pub(crate) use registration::run as register;
pub(crate) use writer::{WriteFigures, WriteRoom, Writes};
