//! The cluster on its worst days, in one thread and in virtual time; what a seed does and what is looked at stands in
//! `sessile_testkit::simulation`, and the long run is `cargo run --release -p sessile-testkit -- simulate`.

use std::collections::BTreeMap;
use std::thread;

use sessile_testkit::simulation::{Defect, SimulationOptions, Step, simulate};

/// The same at every run, so that a change that breaks one of them is seen at once. Few that take little time: a build for
/// tests is ten times as slow as the one for the long run. Even ones have the engine that ships.
const SEEDS: [u64; 3] = [4, 5, 16];
/// Not every seed has power cuts or long days of writes: so many more are tried for a step that the engine never came to.
const MORE: [u64; 6] = [10, 12, 14, 18, 20, 22];
/// Found by one of the first few seeds each: two that are made in the answers, one in the engine, one by a decision.
const PLANTED: [Defect; 4] = [
    Defect::ReadWithoutReadIndex,
    Defect::ProposedAfterItsDeadline,
    Defect::OutcomesLostInSnapshot,
    Defect::LeaderResumesItsTerm,
];

#[test]
fn no_promise_is_broken_on_bad_days() {
    let mut steps = BTreeMap::<Step, usize>::new();
    let missed = |steps: &BTreeMap<Step, usize>| -> Vec<Step> {
        Step::ALL.into_iter().filter(|step| !steps.contains_key(step)).collect()
    };
    for (nth, seed) in SEEDS.into_iter().chain(MORE).enumerate() {
        if nth >= SEEDS.len() && missed(&steps).is_empty() {
            break;
        }
        let ran = simulate(seed, &SimulationOptions::default());
        let ran = ran.unwrap_or_else(|failure| panic!("seed {seed}: {}\n{}", failure.what, failure.story.join("\n")));
        ran.steps.into_iter().for_each(|(step, times)| *steps.entry(step).or_default() += times);
    }
    let missed = missed(&steps);
    assert!(missed.is_empty(), "the schedule of the engine never came to {missed:?}: {steps:?}");
}

#[test]
fn one_seed_is_one_story() {
    let trace = || simulate(20, &SimulationOptions::default()).map_or_else(|failure| failure.trace, |ran| ran.trace);
    // Beside each other, so that whatever they share would show.
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(trace);
        (trace(), one.join())
    });
    let other = other.unwrap_or_default();
    let differs = one.iter().zip(&other).find(|(one, other)| one != other);
    assert_eq!((differs, one.len()), (None, other.len()));
    assert!(one.len() > 1_000, "something happened: {} lines", one.len());
}

#[test]
fn a_planted_defect_is_found() {
    for defect in PLANTED {
        let options = SimulationOptions { planted: Some(defect), ..SimulationOptions::default() };
        assert!((0..10).any(|seed| simulate(seed, &options).is_err()), "{defect:?} was not found");
    }
}
