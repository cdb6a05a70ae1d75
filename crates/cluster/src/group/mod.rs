//! One Raft group: who leads, who is a member, its log, its state and its clock. It knows no node, no listener and no
//! configuration: what a process has once (disk, transport, the fault that ends it) is given to it, and a process may hold
//! several groups.

mod clock;
mod leader;
mod raft_group;

pub(crate) use clock::{LeaderClock, OtherClocks};
pub(crate) use leader::another_leads;
pub(crate) use raft_group::{Group, voters};
