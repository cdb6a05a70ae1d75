//! The long tests, a command each.

mod chaos;
mod outages;
mod performance;
mod power_cuts;
mod simulate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// What runs, unless another is named.
const PROGRAM: &str = "target/dist/sessile";
/// As of the program itself (BSD's sysexits.h, EX_USAGE).
const USAGE: u8 = 64;

/// Long tests of Sessile.
#[derive(Parser)]
#[command(name = "sessile-testkit")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Simulate(simulate::Simulate),
    Chaos(chaos::Chaos),
    PowerCuts(power_cuts::PowerCuts),
    Performance(performance::Performance),
    Outages(outages::Outages),
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Fjall,
    Sled,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(Arguments { command }) => command,
        Err(said) => return tell(&said),
    };
    let refused = match &command {
        Command::Simulate(_) => None,
        Command::Chaos(chaos) => not_there(&chaos.program),
        Command::Performance(performance) => not_there(&performance.program),
        Command::Outages(outages) => not_there(&outages.program),
        Command::PowerCuts(cuts) => cuts.refused().map(str::to_owned).or_else(|| not_there(&cuts.program)),
    };
    if let Some(why) = refused {
        return tell(&Arguments::command().error(clap::error::ErrorKind::ValueValidation, why));
    }
    match command {
        Command::Simulate(simulate) => simulate.run(),
        Command::Chaos(chaos) => chaos.run(),
        Command::PowerCuts(cuts) => cuts.run(),
        Command::Performance(performance) => performance.run(),
        Command::Outages(outages) => outages.run(),
    }
}

fn not_there(program: &std::path::Path) -> Option<String> {
    (!program.exists()).then(|| {
        format!(
            "{} is not there: build it with `cargo build --profile dist -p sessile`, or name another with --program",
            program.display()
        )
    })
}

/// Shows help, or what is wrong with the command line.
fn tell(said: &clap::Error) -> ExitCode {
    // Nobody is left to tell if that fails.
    let _ = said.print();
    if said.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
