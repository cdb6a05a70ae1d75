//! What a group needs besides requests (its clock goes on, its state becomes durable, its log stays short, what has
//! expired goes, a state of an unclean stop is checked, the log tells which tokens are used), without knowing how other members are, or the configuration.

mod maintenance;
mod state_check;
mod token_uses;

pub(crate) use maintenance::{Keep, Maintenance};
pub(crate) use state_check::run as check_state;
pub(crate) use token_uses::TokenUses;
