//! A cluster's status in words and rows, which `sessile status` and the status page share: pure functions of a
//! [`StatusResponse`]. And that page, with what only it shows: what the node has measured in the last hour, and the runbook.
//!
//! [`StatusResponse`]: sessile_cluster::admin::StatusResponse

mod amounts;
pub(crate) mod duration;
#[cfg(test)]
pub(crate) mod examples;
pub(crate) mod health;
pub(crate) mod last_hour;
pub(crate) mod markup;
pub(crate) mod page;
mod quorum;
pub(crate) mod row;
pub(crate) mod runbook;
pub(crate) mod seen;
