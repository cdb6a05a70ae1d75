//! `sessile-testkit power-cuts`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use sessile_testkit::Honesty;
use sessile_testkit::power_cuts::{Cut, Loss, MOMENTS, PowerCutOptions, SLED, round};

use super::Engine;

/// Takes the power of real processes' disks at a bad moment, again and again.
///
/// Runs clusters of one or three real processes, one after the other, on disks of its own, until there were so many cuts.
/// What was not synced may be lost then, and everything that was acknowledged must be there when the nodes are back. It
/// needs root and /dev/fuse.
#[derive(clap::Args)]
pub(crate) struct PowerCuts {
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 30, conflicts_with = "kills")]
    cuts: usize,
    /// Kill so many processes at the same moments instead; their disks lose nothing.
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// The first round's; each next one has the next.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value_t = Engine::Fjall)]
    engine: Engine,
    /// Built by `cargo build --profile dist -p sessile`.
    #[arg(long, value_name = "PATH", default_value = super::PROGRAM)]
    pub(super) program: PathBuf,
}

impl PowerCuts {
    /// Says what cannot be asked for.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        (self.kills.is_none() && matches!(self.engine, Engine::Sled)).then_some(SLED)
    }

    pub(crate) fn run(self) -> ExitCode {
        // A round tells its panic itself, with the story before it.
        std::panic::set_hook(Box::new(|_| {}));
        let mut options = PowerCutOptions {
            program: self.program,
            engine: self.engine.name(),
            loss: if self.kills.is_some() { Loss::Process } else { Loss::Power },
            nodes: None,
            moments: MOMENTS,
            seed: self.seed,
            honesty: Honesty::Honest,
        };
        let most = self.kills.unwrap_or(self.cuts);
        let mut survived: BTreeMap<Cut, usize> = BTreeMap::new();
        let (mut cuts, mut operations, mut unanswered, mut set_aside, mut rounds) = (0, 0, 0, 0, 0);
        while cuts < most {
            let seed = options.seed;
            match round(&options) {
                Ok(done) => {
                    println!(
                        "seed {seed}: {} cuts, {} operations, {} without an answer",
                        done.cuts.len(),
                        done.operations,
                        done.unanswered
                    );
                    cuts += done.cuts.len();
                    operations += done.operations;
                    unanswered += done.unanswered;
                    set_aside += done.set_aside;
                    done.cuts.into_iter().for_each(|cut| *survived.entry(cut).or_default() += 1);
                }
                Err(story) => {
                    let PowerCutOptions { program, engine, loss, .. } = &options;
                    let option = if *loss == Loss::Power { "--cuts" } else { "--kills" };
                    eprintln!(
                        "seed {seed} failed:\n{story}\nagain: sessile-testkit power-cuts {option} 1 --seed {seed} \
                         --engine {engine} --program {}",
                        program.display()
                    );
                    return ExitCode::FAILURE;
                }
            }
            rounds += 1;
            options.seed += 1;
        }
        println!("{rounds} rounds, {cuts} cuts, {operations} operations, {unanswered} without an answer, no violation");
        for (cut, times) in survived {
            println!("{times:>6}  {cut}");
        }
        println!("{set_aside} states were damaged, set aside and made anew");
        ExitCode::SUCCESS
    }
}
