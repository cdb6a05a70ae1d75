//! `sessile-testkit simulate`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessile_testkit::simulation::{self, Defect, Failure, Fault, SimulationOptions, simulate};

/// How often it says how far it is.
const SAY_AGAIN: Duration = Duration::from_secs(10);

pub(crate) const USAGE: &str = "\
usage: sessile-testkit simulate [--seeds N] [--from N] [--jobs N] [--only N,N,…] [--planted all|DEFECT]
                                [--trace FILE]

Runs so many seeds (1), each a cluster in one thread and in virtual time on its worst day, and checks every
promise; as many at once as there are processors. A seed that finds something is repeated with fewer faults as
long as it still finds something, and prints its story and the line that repeats it. With a planted defect it
is to find something: of all, it says after how many seeds each was found.
";

/// Does what the words say.
pub(crate) fn run(words: &[String]) -> ExitCode {
    match Wanted::parse(words) {
        Ok(wanted) => wanted.run(),
        Err(error) => {
            eprint!("sessile-testkit: {error}\n\n{USAGE}");
            ExitCode::from(64)
        }
    }
}

struct Wanted {
    seeds: u64,
    from: u64,
    jobs: usize,
    options: SimulationOptions,
    /// Whether every defect is planted in turn.
    defects: bool,
    trace: Option<PathBuf>,
}

#[derive(Default)]
struct Total {
    seeds: u64,
    operations: usize,
    unanswered: usize,
    compared: usize,
    lasted: Duration,
    faults: BTreeMap<Fault, usize>,
}

impl Wanted {
    fn parse(words: &[String]) -> Result<Self, String> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut wanted =
            Self { seeds: 1, from: 0, jobs, options: SimulationOptions::default(), defects: false, trace: None };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
            let number = |value: &str| value.parse::<u64>().map_err(|_| format!("{name} {value:?} is no number"));
            match &**name {
                "--seeds" => wanted.seeds = number(value)?,
                "--from" => wanted.from = number(value)?,
                "--jobs" => wanted.jobs = usize::try_from(number(value)?.max(1)).unwrap_or(usize::MAX),
                "--planted" if value == "all" => wanted.defects = true,
                "--planted" => {
                    let planted = Defect::ALL.into_iter().find(|defect| format!("{defect:?}") == *value);
                    let names = Defect::ALL.map(|defect| format!("{defect:?}")).join(", ");
                    let planted = planted.ok_or_else(|| format!("{value:?} is no defect: all, {names}"))?;
                    wanted.options.planted = Some(planted);
                }
                "--trace" => wanted.trace = Some(value.into()),
                "--only" => {
                    let only: Result<BTreeSet<usize>, String> = value
                        .split(',')
                        .filter(|nth| !nth.is_empty())
                        .map(|nth| number(nth).map(|nth| usize::try_from(nth).unwrap_or(usize::MAX)))
                        .collect();
                    wanted.options.only = Some(only?);
                }
                _ => return Err(format!("{name:?} is no option")),
            }
        }
        Ok(wanted)
    }

    /// Plants every defect in turn, and runs seeds until one finds it.
    fn plant_all(self) -> ExitCode {
        let (next, missed) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(defect) =
                        Defect::ALL.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
                    {
                        let options = SimulationOptions { planted: Some(*defect), ..self.options.clone() };
                        let mut seeds = self.from..self.from.saturating_add(self.seeds);
                        let found = seeds.find_map(|seed| Some((seed, simulate(seed, &options).err()?)));
                        match found {
                            Some((seed, failure)) => {
                                let what = failure.what.lines().take(2).collect::<Vec<_>>().join(" ");
                                println!("{defect:?}: found after {} seeds: {what}", seed - self.from + 1);
                            }
                            None => {
                                missed.store(true, Ordering::Relaxed);
                                println!("{defect:?}: NOT found by {} seeds", self.seeds);
                            }
                        }
                    }
                });
            }
        });
        if missed.load(Ordering::Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn run(self) -> ExitCode {
        // A seed tells its panic itself, with its story.
        if std::env::var_os(simulation::LOG).is_none() {
            std::panic::set_hook(Box::new(|_| {}));
        }
        if self.defects {
            return self.plant_all();
        }
        let (next, failed) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let (total, found) = (Mutex::new(Total::default()), Mutex::new(None));
        let (begin, said) = (Instant::now(), Mutex::new(Instant::now()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.from.saturating_add(self.seeds) {
                            return;
                        }
                        match simulate(seed, &self.options) {
                            Ok(ran) => {
                                if let Some(path) = &self.trace {
                                    write(path, &ran.trace);
                                }
                                let mut total = lock(&total);
                                total.seeds += 1;
                                total.operations += ran.operations;
                                total.unanswered += ran.unanswered;
                                total.compared += ran.compared;
                                total.lasted += ran.lasted;
                                ran.faults
                                    .into_iter()
                                    .for_each(|(fault, times)| *total.faults.entry(fault).or_default() += times);
                                let mut said = lock(&said);
                                if said.elapsed() >= SAY_AGAIN {
                                    *said = Instant::now();
                                    println!("{} seeds, {} operations", total.seeds, total.operations);
                                }
                            }
                            Err(failure) => {
                                failed.store(true, Ordering::Relaxed);
                                let mut found = lock(&found);
                                // The lowest, so that it is the same at every run.
                                if found.as_ref().is_none_or(|(known, _)| seed < *known) {
                                    *found = Some((seed, failure));
                                }
                            }
                        }
                    }
                });
            }
        });
        let total = lock(&total);
        let found = lock(&found).take();
        println!(
            "{} seeds, {} s of virtual time in {:.0} s, {} operations, {} of them without an answer, {} checksums compared",
            total.seeds,
            total.lasted.as_secs(),
            begin.elapsed().as_secs_f64(),
            total.operations,
            total.unanswered,
            total.compared
        );
        for (fault, times) in &total.faults {
            println!("{times:>7}  {fault}");
        }
        let Some((seed, failure)) = found else {
            println!("no violation");
            return ExitCode::SUCCESS;
        };
        let (only, failure) = shrink(seed, &self.options, failure);
        if let Some(path) = &self.trace {
            write(path, &failure.trace);
        }
        let only =
            only.map(|only| format!(" --only {}", only.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
        let planted = self.options.planted.map_or_else(String::new, |defect| format!(" --planted {defect:?}"));
        eprintln!(
            "seed {seed} failed:\n{}\n{}\nagain: cargo run --release -p sessile-testkit -- simulate --from {seed}{}{planted}",
            failure.story.join("\n"),
            failure.what,
            only.unwrap_or_default()
        );
        ExitCode::FAILURE
    }
}

/// The same seed with as few faults as still find something.
fn shrink(seed: u64, options: &SimulationOptions, failure: Box<Failure>) -> (Option<BTreeSet<usize>>, Box<Failure>) {
    let mut kept: BTreeSet<usize> = options.only.clone().unwrap_or_else(|| (1..=failure.drawn).collect());
    let mut shortest = failure;
    let mut piece = kept.len();
    while piece > 0 {
        let mut shrunk = false;
        for dropped in kept.iter().copied().collect::<Vec<_>>().chunks(piece) {
            let only: BTreeSet<usize> = kept.iter().copied().filter(|nth| !dropped.contains(nth)).collect();
            if let Err(failure) = simulate(seed, &SimulationOptions { only: Some(only.clone()), ..options.clone() }) {
                (kept, shortest, shrunk) = (only, failure, true);
                break;
            }
        }
        if !shrunk {
            piece /= 2;
        }
        piece = piece.min(kept.len());
    }
    (Some(kept), shortest)
}

fn write(path: &std::path::Path, lines: &[String]) {
    if let Err(error) = std::fs::write(path, lines.join("\n")) {
        eprintln!("{}: {error}", path.display());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
