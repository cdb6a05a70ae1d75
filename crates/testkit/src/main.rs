//! The long tests, as commands.

#![allow(clippy::print_stdout, reason = "it tells what it does")]
#![allow(clippy::print_stderr, reason = "and what it found")]

mod commands;

use std::process::ExitCode;

/// Half of a simulation is small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run()
}
