//! Who is a member, as the leader changes it by command and by itself, without knowing the configuration, operators, or
//! how a node comes to its first cluster. `decide` and `quorum` hold the rules, the rest carries them out.

mod announce;
mod autopilot;
mod change;
mod changed;
mod changes;
mod decide;
mod find;
mod history;
mod leadership;
mod named_keys;
mod only_one;
mod own_key;
mod pending;
mod quorum;
mod rotation;
#[cfg(test)]
mod stories;
mod tell;

pub(crate) use announce::run as announce;
pub(crate) use autopilot::{Autopilot, Waits};
pub(crate) use changed::{Asked, Changed};
pub use changes::MAX_MEMBERS;
pub(crate) use changes::{HAND_OVER_TIMEOUT, MembershipChanges};
pub(crate) use find::find;
pub(crate) use history::{Author, ChangeHistory};
pub(crate) use leadership::hand_over;
pub(crate) use only_one::{assert_only_one, runs_at};
pub(crate) use own_key::OwnKey;
pub(crate) use pending::pending;
pub(crate) use quorum::arithmetic;
pub(crate) use rotation::rotate as rotate_key;
