//! What a group needs besides requests (its clock goes on, its state becomes durable, its log stays short, what has
//! expired goes, a state of an unclean stop is checked), without knowing how other members are, or the configuration.

mod maintenance;
mod state_check;

pub(crate) use maintenance::{Keep, Maintenance};
pub(crate) use state_check::run as check_state;
