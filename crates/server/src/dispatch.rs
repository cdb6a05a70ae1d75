//! Which command line does what.

use std::panic::PanicHookInfo;
use std::process::ExitCode;

use anyhow::Context;
use tracing::error;

use crate::cli::{self, Command, Completions, Man};
use crate::exit::{Failure, Status};
use crate::{backup, bench, import, metrics, namespace, operate, output, serve};

/// Does what the command says, and blocks until it is done.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    std::panic::set_hook(Box::new(tell_of_a_panic));
    match command {
        Command::Dev(dev) => serve::dev(dev),
        Command::Serve(serve) => serve::serve(&serve),
        Command::CheckConfig(check) => serve::check_config(&check),
        Command::Configuration => serve::print_configuration(),
        Command::Status(of) => operate::status(&of),
        Command::Cluster { command } => operate::cluster(&command),
        Command::Namespace { command } => namespace::run(&command),
        Command::Backup(asked) => backup::backup(&asked),
        Command::Verify(asked) => backup::verify_file(&asked),
        Command::Inspect(asked) => backup::inspect(&asked),
        Command::Restore(asked) => backup::restore(&asked),
        Command::Bench(bench) => bench::run(&bench),
        Command::Import(of) => import::run(&of),
        Command::Metrics(of) => metrics::run(&of),
        Command::Ready(of) => operate::ready(&of),
        Command::Man(man) => write_manual(&man),
        Command::Completions(completions) => print_completions(&completions),
    }
}

fn print_completions(completions: &Completions) -> anyhow::Result<ExitCode> {
    output::to_stdout(&cli::completions(completions.shell)).context(output::UNWRITABLE)?;
    Ok(ExitCode::SUCCESS)
}

fn write_manual(man: &Man) -> anyhow::Result<ExitCode> {
    cli::write_manual(&man.directory).map_err(|error| {
        let sentence = format!(
            "the manual pages cannot be written to {} ({error}); name another directory",
            man.directory.display()
        );
        Failure::new(Status::CannotCreate, sentence)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Says where a panic was, and never what it said: its text may hold a key or a value. Whoever owns the task that
/// panicked decides what follows.
fn tell_of_a_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(location, "a panic; this is a defect, or damage that a library does not expect");
}
