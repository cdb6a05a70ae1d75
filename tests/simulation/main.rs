//! The cluster on its worst days, in one thread and in virtual time; what a seed does and what is looked at stands in
//! `sessile_testkit::simulation`, and the long run is `cargo run --release -p sessile-testkit -- simulate`.

use sessile_testkit::simulation::{SimulationOptions, simulate};

/// The same at every run, so that a change that breaks one of them is seen at once.
const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn no_promise_is_broken_on_bad_days() {
    for seed in SEEDS {
        if let Err(failure) = simulate(seed, &SimulationOptions::default()) {
            panic!("seed {seed}: {}\n{}", failure.what, failure.story.join("\n"));
        }
    }
}

#[test]
fn one_seed_is_one_story() {
    let seed = SEEDS.end;
    let trace = || simulate(seed, &SimulationOptions::default()).map_or_else(|failure| failure.trace, |ran| ran.trace);
    let (one, other) = (trace(), trace());
    let differs = one.iter().zip(&other).find(|(one, other)| one != other);
    assert_eq!((differs, one.len()), (None, other.len()));
    assert!(one.len() > 1_000, "something happened: {} lines", one.len());
}
