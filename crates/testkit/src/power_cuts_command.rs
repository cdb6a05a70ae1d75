//! `sessile-testkit power-cuts`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use sessile_testkit::Honesty;
use sessile_testkit::power_cuts::{Cut, Loss, MOMENTS, PowerCutOptions, SLED, round};

pub(crate) const USAGE: &str = "\
usage: sessile-testkit power-cuts [--cuts N | --kills N] [--seed N] [--engine fjall|sled] [--program PATH]

Runs clusters of one or three real processes, one after the other, on disks of its own whose power goes at
a bad moment, until there were so many cuts (30). What was not synced may be lost then, and everything that
was acknowledged must be there when the nodes are back. With --kills the processes are killed at the same
moments and their disks lose nothing. It needs root and /dev/fuse.
";

struct Wanted {
    options: PowerCutOptions,
    cuts: usize,
}

pub(crate) fn run(words: &[String]) -> ExitCode {
    match Wanted::parse(words) {
        Ok(wanted) => wanted.run(),
        Err(error) => {
            eprint!("sessile-testkit: {error}\n\n{USAGE}");
            ExitCode::from(64)
        }
    }
}

impl Wanted {
    fn parse(words: &[String]) -> Result<Self, String> {
        let program = PathBuf::from("target/release/sessile");
        let options = PowerCutOptions {
            program,
            engine: "fjall",
            loss: Loss::Power,
            nodes: None,
            moments: MOMENTS,
            seed: 1,
            honesty: Honesty::Honest,
        };
        let mut wanted = Self { options, cuts: 30 };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
            let number = || value.parse::<u64>().map_err(|_| format!("{name} {value:?} is no number"));
            let count = || usize::try_from(number()?).map_err(|_| format!("{name} {value:?} is too large"));
            match &**name {
                "--cuts" => (wanted.options.loss, wanted.cuts) = (Loss::Power, count()?),
                "--kills" => (wanted.options.loss, wanted.cuts) = (Loss::Process, count()?),
                "--seed" => wanted.options.seed = number()?,
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
        if (wanted.options.loss, wanted.options.engine) == (Loss::Power, "sled") {
            return Err(SLED.into());
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
        let mut survived: BTreeMap<Cut, usize> = BTreeMap::new();
        let (mut cuts, mut operations, mut unanswered, mut set_aside, mut rounds) = (0, 0, 0, 0, 0);
        while cuts < self.cuts {
            let seed = self.options.seed;
            match round(&self.options) {
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
                    let PowerCutOptions { program, engine, loss, .. } = &self.options;
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
            self.options.seed += 1;
        }
        println!("{rounds} rounds, {cuts} cuts, {operations} operations, {unanswered} without an answer, no violation");
        for (cut, times) in survived {
            println!("{times:>6}  {cut}");
        }
        println!("{set_aside} states were damaged, set aside and made anew");
        ExitCode::SUCCESS
    }
}
