//! A cluster's status in words and rows, which `sessile status` and the status page share: pure functions of a
//! [`StatusResponse`].
//!
//! [`StatusResponse`]: sessile_cluster::admin::StatusResponse

pub(crate) mod duration;
#[cfg(test)]
pub(crate) mod examples;
pub(crate) mod health;
pub(crate) mod page;
pub(crate) mod row;
