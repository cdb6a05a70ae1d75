//! One Raft group (who leads, who is a member, its log, state and clock), which knows no node, no listener and no
//! configuration.
//!
//! A process may hold several. What it has once (disk, transport, the fault that ends it) is given to each.

mod campaign;
mod clock;
mod clock_jump;
mod departures;
mod heartbeats;
mod leader;
mod raft_group;

pub(crate) use campaign::run as campaign;
pub(crate) use clock::{LeaderClock, OtherClocks};
pub(crate) use clock_jump::ClockJump;
pub(crate) use departures::{AUTOPILOT, DONE, takes_place, was_dead, was_removed};
pub(crate) use heartbeats::run as heartbeats;
pub(crate) use leader::another_leads;
pub(crate) use raft_group::{Group, voters};
