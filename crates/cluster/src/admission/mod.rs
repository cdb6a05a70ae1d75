//! How a node without a cluster comes to one: it listens, asks its seeds, and joins what it hears of; only when every
//! seed answers and none knows of a cluster, they make one. `decide` holds the rule, `lobby` what is heard meanwhile,
//! `enter` does what the rule says, `begin` makes the cluster once Raft is there, `service` answers the others.

mod begin;
mod decide;
mod enter;
mod join;
mod lobby;
mod service;

pub(crate) use begin::begin;
pub(crate) use enter::{Entered, enter};
pub(crate) use join::announce;
pub(crate) use lobby::Lobby;
pub(crate) use service::{AdmissionService, admit_at, probe, why_silent};
