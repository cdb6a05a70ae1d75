//! `sessile-testkit simulate`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessile_testkit::simulation::{self, Defect, Failure, Fault, Mark, Ran, SimulationOptions, simulate};

/// So many seeds must come to every rare state.
const ALL_MARKS_WITHIN: u64 = 10_000;
/// How often it says how far it is.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Runs clusters in one thread and in virtual time on their worst day.
///
/// Each seed is one cluster, and as many run at once as there are processors. Every promise is checked. A seed that finds
/// something is repeated with fewer faults as long as it still finds something, and prints its story and the line that
/// repeats it. With a planted defect it is to find something: of several, it says after how many seeds each was found.
#[derive(clap::Args)]
pub(crate) struct Simulate {
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: u64,
    /// The first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// How many at once, instead of one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    jobs: Option<u64>,
    /// Of the faults that the seed draws, by their order, only these.
    #[arg(long, value_name = "N,N,…", value_parser = numbers)]
    only: Option<Faults>,
    /// A defect's name, or several or all in turn.
    #[arg(long, value_name = "all|DEFECT,DEFECT,…", value_parser = planted)]
    planted: Option<Planted>,
    /// Fail if a rare state was reached in no seed; always with 10,000 seeds or more.
    #[arg(long)]
    require_marks: bool,
    /// Show a seed that finds something as it was drawn, without trying fewer faults.
    #[arg(long)]
    whole: bool,
    /// Where to write everything that happened, line by line; the last seed's.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Clone)]
enum Planted {
    One(Defect),
    Each(Vec<Defect>),
}

#[derive(Clone)]
struct Faults(BTreeSet<usize>);

fn numbers(text: &str) -> Result<Faults, std::num::ParseIntError> {
    text.split(',').filter(|nth| !nth.is_empty()).map(str::parse).collect::<Result<_, _>>().map(Faults)
}

fn planted(text: &str) -> Result<Planted, String> {
    if text == "all" {
        return Ok(Planted::Each(Defect::ALL.to_vec()));
    }
    let named = |name: &str| Defect::ALL.into_iter().find(|defect| format!("{defect:?}") == name);
    let defects: Option<Vec<Defect>> = text.split(',').map(named).collect();
    match defects.as_deref() {
        Some([defect]) => Ok(Planted::One(*defect)),
        Some(defects) => Ok(Planted::Each(defects.to_vec())),
        None => Err(format!("the defects are {}", Defect::ALL.map(|defect| format!("{defect:?}")).join(", "))),
    }
}

#[derive(Default)]
struct Total {
    seeds: u64,
    operations: usize,
    unanswered: usize,
    compared: usize,
    lasted: Duration,
    faults: BTreeMap<Fault, usize>,
    marks: BTreeMap<Mark, usize>,
}

impl Total {
    fn add(&mut self, ran: Ran) {
        self.seeds += 1;
        self.operations += ran.operations;
        self.unanswered += ran.unanswered;
        self.compared += ran.compared;
        self.lasted += ran.lasted;
        ran.faults.into_iter().for_each(|(fault, times)| *self.faults.entry(fault).or_default() += times);
        ran.marks.into_iter().for_each(|(mark, times)| *self.marks.entry(mark).or_default() += times);
    }

    /// Rare states that no seed came to.
    fn missed(&self) -> Vec<Mark> {
        Mark::ALL.into_iter().filter(|mark| !self.marks.contains_key(mark)).collect()
    }
}

impl Simulate {
    fn options(&self) -> SimulationOptions {
        let planted = match self.planted {
            Some(Planted::One(defect)) => Some(defect),
            Some(Planted::Each(_)) | None => None,
        };
        SimulationOptions { only: self.only.clone().map(|Faults(only)| only), planted }
    }

    fn jobs(&self) -> usize {
        let jobs = self.jobs.map(|jobs| usize::try_from(jobs).unwrap_or(usize::MAX));
        jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Plants each defect in turn, and runs seeds until one finds it.
    fn plant_each(&self, defects: &[Defect]) -> ExitCode {
        let (next, missed) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs() {
                scope.spawn(|| {
                    while let Some(defect) =
                        defects.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
                    {
                        let options = SimulationOptions { planted: Some(*defect), ..self.options() };
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

    pub(crate) fn run(self) -> ExitCode {
        // A seed tells its panic itself, with its story.
        if std::env::var_os(simulation::LOG).is_none() {
            std::panic::set_hook(Box::new(|_| {}));
        }
        if let Some(Planted::Each(defects)) = &self.planted {
            return self.plant_each(defects);
        }
        let options = self.options();
        let (next, failed) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let (total, found) = (Mutex::new(Total::default()), Mutex::new(None));
        let (begin, said) = (Instant::now(), Mutex::new(Instant::now()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs() {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.from.saturating_add(self.seeds) {
                            return;
                        }
                        match simulate(seed, &options) {
                            Ok(ran) => {
                                if let Some(path) = &self.trace {
                                    write(path, &ran.trace);
                                }
                                let mut total = lock(&total);
                                total.add(ran);
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
        println!("rare states:");
        for mark in Mark::ALL {
            println!("{:>7}  {mark}", total.marks.get(&mark).copied().unwrap_or(0));
        }
        let Some((seed, failure)) = found else {
            println!("no violation");
            let missed = total.missed();
            if missed.is_empty() || !(self.require_marks || self.seeds >= ALL_MARKS_WITHIN) {
                return ExitCode::SUCCESS;
            }
            let missed: Vec<String> = missed.iter().map(ToString::to_string).collect();
            eprintln!("no seed came to: {}; what follows from it was not tried", missed.join("; "));
            return ExitCode::FAILURE;
        };
        let (only, failure) =
            if self.whole { (options.only.clone(), failure) } else { shrink(seed, &options, failure) };
        if let Some(path) = &self.trace {
            write(path, &failure.trace);
        }
        let only =
            only.map(|only| format!(" --only {}", only.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
        let planted = options.planted.map_or_else(String::new, |defect| format!(" --planted {defect:?}"));
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
    // It ended before it could say how many faults it had drawn.
    if failure.drawn == 0 {
        return (options.only.clone(), failure);
    }
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
