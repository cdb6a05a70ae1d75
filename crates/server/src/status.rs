//! What a node tells of its cluster, as people and scripts read it: pure functions of a [`StatusResponse`].
//!
//! [`StatusResponse`]: sessile_cluster::admin::StatusResponse

pub(crate) mod changes;
mod duration;
#[cfg(test)]
mod examples;
pub(crate) mod health;
pub(crate) mod json;
pub(crate) mod page;
mod row;
pub(crate) mod table;
