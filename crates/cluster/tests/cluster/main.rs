//! Clusters inside the test's process, on real disks and real sockets.
#![allow(clippy::unwrap_used)]

mod bounds;
mod clocks;
mod copies;
mod cuts;
mod keys;
mod moves;
mod namespaces;
mod one_node;
mod renewals;
mod stalling;
mod stalls;
mod support;
mod three_nodes;
