//! The sessile program.

use std::process::ExitCode;

fn main() -> ExitCode {
    sessile::run(std::env::args_os())
}
