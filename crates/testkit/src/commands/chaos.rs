//! `sessile-testkit chaos`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use sessile_testkit::FarmCounts;
use sessile_testkit::chaos::{ChaosOptions, FAULTS, Fault, round};

use super::Engine;

/// Runs clusters of three real processes, one after the other, on their worst day.
///
/// It does to them what happens on bad days, and checks that the history of every client is linearizable and that all
/// states agree at the end. A round that fails prints its story and the line that repeats it, and ends the run.
#[derive(clap::Args)]
pub(crate) struct Chaos {
    /// For how long, in minutes.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "rounds")]
    minutes: u64,
    /// How many clusters, however long that takes.
    #[arg(long, value_name = "N")]
    rounds: Option<u64>,
    /// The first round's; each next one has the next.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value_t = Engine::Fjall)]
    engine: Engine,
    /// On loopback nothing is cut; networks of the nodes' own need root.
    #[arg(long, value_enum, default_value_t = Network::Own)]
    network: Network,
    /// Built by `cargo build --profile dist -p sessile`.
    #[arg(long, value_name = "PATH", default_value = super::PROGRAM)]
    pub(super) program: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Network {
    Own,
    Loopback,
}

impl Chaos {
    pub(crate) fn run(self) -> ExitCode {
        // A round tells its panic itself, with the story before it.
        std::panic::set_hook(Box::new(|_| {}));
        let mut options = ChaosOptions {
            program: self.program,
            engine: self.engine.name(),
            cuts: matches!(self.network, Network::Own),
            faults: FAULTS,
            seed: self.seed,
        };
        let (most, time) = match self.rounds {
            Some(rounds) => (rounds, Duration::MAX),
            None => (u64::MAX, Duration::from_secs(self.minutes.saturating_mul(60))),
        };
        let begin = Instant::now();
        let (mut operations, mut unanswered, mut stopped, mut rounds) = (0, 0, 0, 0);
        let (mut faults, mut farm): (BTreeMap<Fault, usize>, _) = (BTreeMap::new(), FarmCounts::default());
        while rounds < most && begin.elapsed() < time {
            let seed = options.seed;
            match round(&options) {
                Ok(done) => {
                    println!(
                        "seed {seed}: {} faults, {} operations, {} without an answer, longest answer {} ms",
                        done.faults.len(),
                        done.operations,
                        done.unanswered,
                        done.longest_wait.as_millis()
                    );
                    if let Some(error) = &done.no_small_disk {
                        println!("no disk was filled up, which needs loop devices and mkfs.ext4: {error}");
                    }
                    operations += done.operations;
                    unanswered += done.unanswered;
                    stopped += done.stopped_for_room;
                    farm.add(done.farm);
                    done.faults.into_iter().for_each(|fault| *faults.entry(fault).or_default() += 1);
                }
                Err(story) => {
                    let ChaosOptions { program, engine, cuts, .. } = &options;
                    let network = if *cuts { "own" } else { "loopback" };
                    eprintln!(
                        "seed {seed} failed:\n{story}\nagain: sessile-testkit chaos --rounds 1 --seed {seed} --engine \
                         {engine} --network {network} --program {}",
                        program.display()
                    );
                    return ExitCode::FAILURE;
                }
            }
            rounds += 1;
            options.seed += 1;
        }
        println!("{rounds} rounds, {operations} operations, {unanswered} without an answer, no violation");
        for (fault, times) in faults {
            println!("{times:>6}  {fault}");
        }
        println!("{stopped} nodes stopped themselves on a full disk");
        println!("{farm}");
        ExitCode::SUCCESS
    }
}
