//! The program from outside: the real binary, real processes, a real disk that may fail.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]
#![allow(clippy::print_stderr, reason = "a test tells its seed and its figures")]

mod bench;
mod containers;
mod contract;
mod crash;
mod deployed;
mod descriptors;
mod envoy;
mod failing_disk;
mod hanging_disk;
mod house;
mod import;
mod ledger;
mod listening;
mod memory;
mod metrics;
mod operators;
mod privacy;
mod program;
mod reloading;
mod secrets;
mod stopping;
mod systemd;
mod tokens;
mod upgrade;
mod world;
