//! The long tests, as commands.

#![allow(clippy::print_stdout, reason = "it tells what it does")]
#![allow(clippy::print_stderr, reason = "and what it found")]

mod power_cuts_command;
mod simulate_command;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sessile_testkit::chaos::{ChaosOptions, FAULTS, Fault, round};

/// Half of a simulation is small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: sessile-testkit chaos [--minutes N | --rounds N] [--seed N] [--engine fjall|sled] [--network own|loopback]
                             [--program PATH]

Runs clusters of three real processes, one after the other, for so long (1 minute), does to them what
happens on bad days, and checks that the history of every client is linearizable and that all states
agree at the end. Each node has a network of its own, which is cut now and then and needs root; on
loopback nothing is cut. A round that fails prints its story and the line that repeats it, and ends the run.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((command, words)) if command == "simulate" => return simulate_command::run(words),
        Some((command, words)) if command == "power-cuts" => return power_cuts_command::run(words),
        _ => {}
    }
    match Wanted::parse(&words) {
        Ok(wanted) => wanted.run(),
        Err(error) => {
            eprint!("sessile-testkit: {error}\n\n{USAGE}\n{}\n{}", power_cuts_command::USAGE, simulate_command::USAGE);
            ExitCode::from(64)
        }
    }
}

struct Wanted {
    options: ChaosOptions,
    time: Duration,
    rounds: u64,
}

impl Wanted {
    fn parse(words: &[String]) -> Result<Self, String> {
        let [command, words @ ..] = words else { return Err("say what to run".into()) };
        if command != "chaos" {
            return Err(format!("{command:?} is no command"));
        }
        let program = PathBuf::from("target/release/sessile");
        let options = ChaosOptions { program, engine: "fjall", cuts: true, faults: FAULTS, seed: 1 };
        let mut wanted = Self { options, time: Duration::from_secs(60), rounds: u64::MAX };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
            let number = || value.parse::<u64>().map_err(|_| format!("{name} {value:?} is no number"));
            match &**name {
                "--minutes" => wanted.time = Duration::from_secs(number()? * 60),
                "--rounds" => (wanted.rounds, wanted.time) = (number()?, Duration::MAX),
                "--seed" => wanted.options.seed = number()?,
                "--network" => {
                    wanted.options.cuts = match &**value {
                        "own" => true,
                        "loopback" => false,
                        _ => return Err(format!("{value:?} is no network: own or loopback")),
                    }
                }
                "--program" => wanted.options.program = value.into(),
                "--engine" => {
                    wanted.options.engine = match &**value {
                        "fjall" => "fjall",
                        "sled" => "sled",
                        _ => return Err(format!("{value:?} is no engine: fjall or sled")),
                    }
                }
                _ => return Err(format!("{name:?} is no option")),
            }
        }
        if !wanted.options.program.exists() {
            return Err(format!(
                "{} is not there: build it with `cargo build --release -p sessile`, or name another with --program",
                wanted.options.program.display()
            ));
        }
        Ok(wanted)
    }

    fn run(mut self) -> ExitCode {
        // A round tells its panic itself, with the story before it.
        std::panic::set_hook(Box::new(|_| {}));
        let begin = Instant::now();
        let (mut operations, mut unanswered, mut stopped, mut rounds) = (0, 0, 0, 0);
        let mut faults: BTreeMap<Fault, usize> = BTreeMap::new();
        while rounds < self.rounds && begin.elapsed() < self.time {
            let seed = self.options.seed;
            match round(&self.options) {
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
                    done.faults.into_iter().for_each(|fault| *faults.entry(fault).or_default() += 1);
                }
                Err(story) => {
                    let ChaosOptions { program, engine, cuts, .. } = &self.options;
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
            self.options.seed += 1;
        }
        println!("{rounds} rounds, {operations} operations, {unanswered} without an answer, no violation");
        for (fault, times) in faults {
            println!("{times:>6}  {fault}");
        }
        println!("{stopped} nodes stopped themselves on a full disk");
        ExitCode::SUCCESS
    }
}
