//! The sessile program.

use std::process::ExitCode;

/// Requests allocate and free many small pieces on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sessile::run(std::env::args_os())
}
