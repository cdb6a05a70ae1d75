//! How a node without a cluster, or without a state, comes to be a member, without knowing the listener, and of
//! operators only that one may ask for a cluster.
//!
//! It listens, asks its seeds, and joins what it hears of; only when every seed answers and none knows of a cluster,
//! they make one. `decide` holds the rule, `lobby` what is heard meanwhile, `enter` does what the rule says, `recover`
//! fetches a state, `begin` makes the cluster once Raft is there, `service` answers the others.

mod begin;
mod decide;
mod enter;
mod identity;
mod join;
mod lobby;
mod newcomer;
mod recover;
mod service;
#[cfg(test)]
mod stories;
mod wrong_tokens;

pub(crate) use begin::begin;
pub(crate) use enter::{Entered, enter};
pub(crate) use lobby::Lobby;
pub(crate) use newcomer::Newcomer;
pub(crate) use recover::recover;
pub(crate) use service::AdmissionService;
pub(crate) use wrong_tokens::WrongTokens;
