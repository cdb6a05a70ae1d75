//! How the members of a group are, as they tell each other, and what follows from that, without knowing the
//! configuration or how the membership is changed.

mod alert;
mod clock_watch;
mod clocks;
mod cluster_health;
mod commit_times;
mod disk_watch;
mod distances;
mod exchange;
mod members;
mod noticed;
mod readiness;
mod search;
mod shedding;

pub use alert::{Alert, AlertKind};
pub(crate) use clock_watch::run as watch_clocks;
pub(crate) use cluster_health::{ClusterHealth, jump_to_wire};
pub(crate) use disk_watch::run as watch_disk;
pub(crate) use exchange::run as exchange_reports;
pub(crate) use members::Members;
pub(crate) use readiness::Readiness;
