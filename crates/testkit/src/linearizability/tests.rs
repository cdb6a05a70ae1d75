use std::time::Instant;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;
use Action::{Delete, DeleteIf, Expire, Get, Put, PutIf, Take};
use Outcome::{Ambiguous, Failed};

/// An operation from a start to an end, in milliseconds.
fn op(start: u64, end: u64, action: Action) -> Operation {
    let (start, end) = (Duration::from_millis(start), Duration::from_millis(end));
    Operation { client: 0, key: "wiki:k".into(), action, start, end, outcome: Outcome::Ok }
}

fn with(outcome: Outcome, operation: Operation) -> Operation {
    Operation { outcome, ..operation }
}

fn check(operations: &[Operation]) -> Result<(), Box<Violation>> {
    check_key(&operations.iter().collect::<Vec<_>>())
}

#[test]
fn what_can_be_explained_is_accepted() {
    let table: [(&str, Vec<Operation>); 13] = [
        ("nothing happened", vec![]),
        ("nothing is found before anything is written", vec![op(0, 1, Get(None))]),
        ("one after the other", vec![op(0, 1, Put(1)), op(2, 3, Get(Some(1))), op(4, 5, Delete), op(6, 7, Get(None))]),
        ("a read beside a write finds the new", vec![op(0, 9, Put(1)), op(1, 2, Get(Some(1)))]),
        ("a read beside a write finds the old", vec![op(0, 9, Put(1)), op(1, 2, Get(None))]),
        (
            "two writes beside each other, in either order",
            vec![op(0, 9, Put(1)), op(0, 9, Put(2)), op(10, 11, Get(Some(1))), op(12, 13, Get(Some(1)))],
        ),
        (
            "three writes beside each other and what was found in between",
            vec![
                op(0, 9, Put(1)),
                op(0, 9, Put(2)),
                op(0, 9, Put(3)),
                op(1, 2, Get(Some(3))),
                op(3, 4, Get(Some(1))),
                op(10, 11, Get(Some(2))),
            ],
        ),
        (
            "a write of unknown outcome that happened",
            vec![op(0, 1, Put(1)), with(Ambiguous, op(2, 3, Put(2))), op(4, 5, Get(Some(2)))],
        ),
        ("one that did not", vec![op(0, 1, Put(1)), with(Ambiguous, op(2, 3, Put(2))), op(4, 5, Get(Some(1)))]),
        (
            "one that happened long after it was given up, and after another write",
            vec![
                with(Ambiguous, op(0, 1, Put(1))),
                op(2, 3, Get(None)),
                op(4, 5, Put(2)),
                op(6, 7, Get(Some(2))),
                op(8, 9, Get(Some(1))),
            ],
        ),
        (
            "a delete of unknown outcome that happened late",
            vec![op(0, 1, Put(1)), with(Ambiguous, op(2, 3, Delete)), op(4, 5, Get(Some(1))), op(6, 7, Get(None))],
        ),
        (
            "of two equal writes the known one explains the first read, and the unknown one a later one",
            vec![
                with(Ambiguous, op(0, 1, Put(1))),
                op(0, 4, Put(1)),
                op(2, 3, Get(Some(1))),
                op(5, 6, Put(2)),
                op(7, 8, Get(Some(2))),
                op(9, 10, Get(Some(1))),
            ],
        ),
        (
            "what was refused did not happen",
            vec![
                op(0, 1, Put(1)),
                with(Failed, op(2, 3, Put(2))),
                with(Failed, op(4, 5, Delete)),
                op(6, 7, Get(Some(1))),
            ],
        ),
    ];
    for (what, history) in table {
        assert!(check(&history).is_ok(), "{what}: {}", check(&history).unwrap_err());
        assert!(brute_force(&history), "{what}");
    }
}

#[test]
fn what_cannot_be_explained_is_rejected() {
    let table: [(&str, Vec<Operation>); 10] = [
        ("a stale read", vec![op(0, 1, Put(1)), op(2, 3, Put(2)), op(4, 5, Get(Some(1)))]),
        ("a lost write", vec![op(0, 1, Put(1)), op(2, 3, Get(None))]),
        ("a ghost", vec![op(0, 1, Put(1)), op(2, 3, Delete), op(4, 5, Get(Some(1)))]),
        ("a value that nobody wrote", vec![op(0, 1, Put(1)), op(2, 3, Get(Some(7)))]),
        ("a write seen before it began", vec![op(0, 1, Get(Some(1))), op(2, 3, Put(1))]),
        (
            "two reads that go back in time beside a write",
            vec![op(0, 1, Put(1)), op(2, 9, Put(2)), op(3, 4, Get(Some(2))), op(5, 6, Get(Some(1)))],
        ),
        (
            "two clients that disagree about an order",
            vec![op(0, 9, Put(1)), op(0, 9, Put(2)), op(10, 11, Get(Some(1))), op(12, 13, Get(Some(2)))],
        ),
        (
            "a write of unknown outcome that happened twice",
            vec![with(Ambiguous, op(0, 1, Put(1))), op(2, 3, Get(Some(1))), op(4, 5, Put(2)), op(6, 7, Get(Some(1)))],
        ),
        (
            "one delete of unknown outcome that explains two",
            vec![
                op(0, 1, Put(1)),
                with(Ambiguous, op(2, 3, Delete)),
                op(4, 5, Get(None)),
                op(6, 7, Put(2)),
                op(8, 9, Get(None)),
            ],
        ),
        (
            "what was refused and is there",
            vec![op(0, 1, Put(1)), with(Failed, op(2, 3, Put(2))), op(4, 5, Get(Some(2)))],
        ),
    ];
    for (what, history) in table {
        let violation = check(&history).expect_err(what);
        assert!(history.contains(&violation.operation), "{what}");
        assert!(!brute_force(&history), "{what}");
    }
}

#[test]
fn a_violation_names_the_operation_and_shows_what_stood_around_it() {
    let history =
        [op(0, 1, Put(0xa)), op(2, 3, Put(0xb)), with(Ambiguous, op(3, 9, Put(0xc))), op(4, 5, Get(Some(0xa)))];
    let shown = check(&history).unwrap_err().to_string();
    assert!(shown.starts_with("no order explains\n"), "{shown}");
    assert!(shown.contains("get → a\non wiki:k; before it the key could hold b."), "{shown}");
    assert!(shown.contains("put c, outcome unknown"), "{shown}");
}

/// Every order there is.
fn brute_force(operations: &[Operation]) -> bool {
    let takes_part = |operation: &&Operation| {
        operation.outcome == Outcome::Ok || (operation.outcome == Ambiguous && !matches!(operation.action, Get(_)))
    };
    let operations: Vec<_> = operations.iter().filter(takes_part).collect();
    explain(&operations, &mut vec![false; operations.len()], None)
}

fn explain(operations: &[&Operation], done: &mut [bool], value: Option<Value>) -> bool {
    let certain = |nth: usize| operations[nth].outcome == Outcome::Ok;
    let left = (0..operations.len()).filter(|nth| !done[*nth] && certain(*nth));
    let Some(first_end) = left.map(|nth| operations[nth].end).min() else { return true };
    for nth in 0..operations.len() {
        let operation = operations[nth];
        if done[nth] || operation.start > first_end {
            continue;
        }
        let Some(next) = operation.action.makes_of(value, certain(nth)) else { continue };
        done[nth] = true;
        let explained = explain(operations, done, next);
        done[nth] = false;
        if explained {
            return true;
        }
    }
    false
}

#[test]
fn it_agrees_with_trying_every_order() {
    let seed = std::env::var("SESSILE_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("SESSILE_SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut accepted = 0;
    const HISTORIES: usize = 20_000;
    for _ in 0..HISTORIES {
        let operations: Vec<_> = (0..rng.random_range(1..=8)).map(|_| random_operation(&mut rng)).collect();
        let expected = brute_force(&operations);
        accepted += usize::from(expected);
        assert_eq!(check(&operations).is_ok(), expected, "{operations:#?}");
    }
    assert!((HISTORIES / 20..HISTORIES / 20 * 19).contains(&accepted), "both kinds, {accepted} of {HISTORIES}");
}

/// Few values, written more than once, and few moments: so that much coincides.
fn random_operation(rng: &mut SmallRng) -> Operation {
    let start = rng.random_range(0..12);
    let value = |rng: &mut SmallRng| rng.random_range(1..4);
    let something = |rng: &mut SmallRng| rng.random_bool(0.7).then(|| value(rng));
    let action = match rng.random_range(0..14) {
        0..4 => Put(value(rng)),
        4 => Delete,
        5..9 => Get(something(rng)),
        9..11 => PutIf { expected: something(rng), value: value(rng), done: rng.random() },
        11 => DeleteIf { expected: value(rng), done: rng.random() },
        12 => Take(something(rng)),
        _ => Expire(value(rng)),
    };
    let outcome = [Outcome::Ok, Outcome::Ok, Outcome::Ok, Failed, Ambiguous, Ambiguous][rng.random_range(0..6)];
    // It is nobody's, and nobody is told of it.
    let outcome = if matches!(action, Expire(_)) { Ambiguous } else { outcome };
    with(outcome, op(start, start + rng.random_range(0..5), action))
}

/// As a real register would answer, with clients beside each other and some that never learn what happened.
fn real_history(rng: &mut SmallRng, length: u64) -> Vec<Operation> {
    let mut value = None;
    let mut operations = Vec::new();
    for moment in (1..=length).map(|nth| nth * 10) {
        let (start, end) = (moment - rng.random_range(0..=10), moment + rng.random_range(0..50));
        let action = match rng.random_range(0..100) {
            0..25 => Put(moment),
            25 => Delete,
            _ => Get(value),
        };
        let (happens, outcome) = match rng.random_range(0..100) {
            0 => (true, Ambiguous),
            1 => (false, Ambiguous),
            2 => (false, Failed),
            _ => (true, Outcome::Ok),
        };
        if happens {
            value = action.makes_of(value, false).unwrap();
        }
        operations.push(with(outcome, op(start, end, action)));
    }
    operations.shuffle(rng);
    operations
}

#[test]
fn long_histories_of_a_real_register_are_accepted_in_linear_time() {
    let mut rng = SmallRng::seed_from_u64(7);
    let (short, long) = (real_history(&mut rng, 2_000), real_history(&mut rng, 40_000));
    let time = |history: &[Operation]| {
        let begin = Instant::now();
        check(history).unwrap();
        begin.elapsed()
    };
    let (short, long) = (time(&short), time(&long));
    // Twenty times as long; a search that is not linear takes four hundred times as long, or for ever.
    assert!(long < short * 200 + Duration::from_secs(5), "{short:?} and {long:?}");
}

#[test]
fn one_stale_read_in_a_long_history_is_found() {
    let mut rng = SmallRng::seed_from_u64(8);
    let mut history = real_history(&mut rng, 5_000);
    let at = 60_000;
    history.push(op(at, at + 1, Get(Some(30_000))));
    let violation = check(&history).unwrap_err();
    assert_eq!(violation.operation.action, Get(Some(30_000)));
}
