//! How a command gets into the log and its outcome back: rounds that many commands share, the window of numbered commands,
//! its registration, and the way to the leader. It knows one group, and nothing of reads, of other members' health or of the
//! configuration.

mod forward;
mod proposals;
mod proposer;
mod registration;
mod rounds;
mod tried;
mod writer;

pub(crate) use proposals::propose_all;
pub(crate) use registration::run as register;
pub(crate) use writer::{WriteRoom, Writes};
