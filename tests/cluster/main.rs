//! Bad days, with the real binary as real processes: nodes that are missing, strange, mixed up, damaged or gone.
//!
//! ```text
//! cargo test -p sessile --test cluster
//! ```
//!
//! A story that fails shows what every node says of itself, and the end of its log.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]

mod backups;
mod becoming;
mod clocks;
mod commands;
mod disks;
mod distance;
mod history;
mod losses;
mod metrics;
mod readiness;
mod secrets;
mod strangers;
mod traces;
mod world;
