//! What members tell each other and what follows from it: reports, clocks, checksums, free disks, alerts, whether this node
//! could serve. It knows one group with its reads and writes, and neither how the membership is changed nor the
//! configuration.

mod cluster_health;
mod commit_times;
mod disk_watch;
mod exchange;
mod members;
mod noticed;
mod readiness;

pub(crate) use cluster_health::ClusterHealth;
pub(crate) use disk_watch::run as watch_disk;
pub(crate) use exchange::run as exchange_reports;
pub(crate) use members::Members;
pub(crate) use readiness::Readiness;
