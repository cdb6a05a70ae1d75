//! Who is a member, at the leader: changes by command and by the autopilot, the arithmetic of quorums, handing leadership
//! over. It knows one group and how its members are, and nothing of how a node comes to its first cluster, of operators or of
//! the configuration.

mod announce;
mod autopilot;
mod changes;
mod leadership;
mod quorum;

pub(crate) use announce::run as announce;
pub(crate) use autopilot::Autopilot;
pub(crate) use changes::{Asked, Changed, HAND_OVER_TIMEOUT, MembershipChanges};
pub(crate) use leadership::hand_over;
pub(crate) use quorum::arithmetic;
