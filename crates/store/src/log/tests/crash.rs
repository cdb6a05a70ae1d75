//! A crash at any change to the disk, in rotation, purge and recycling too, loses nothing that was acknowledged and
//! brings nothing older back.

use std::path::Path;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::power::{Crash, Event, Image, LOG_DIRECTORY, Recorder};
use super::support::*;
use crate::log::{Done, LogOptions, RaftLog};

const STORIES: u64 = 6;
const ROUNDS: usize = 24;
const POWER_CUTS_A_POINT: usize = 2;

/// What was called, and the log's contents after each step of it; appending three entries is three steps.
struct Story {
    recorder: Arc<Recorder>,
    states: Vec<Contents>,
    random: SmallRng,
    term: u64,
}

fn options() -> LogOptions {
    LogOptions { recycled_segments: 1, ..small(8 << 10) }
}

impl Story {
    fn call(&mut self, log: &RaftLog) {
        let mut state = self.states.last().unwrap().clone();
        let last = state.last().map_or(0, |last| last.index);
        let floor = state.purged.map_or(0, |purged| purged.index);
        match self.random.random_range(0..20) {
            0..11 => self.append(log, state, last),
            11..14 => {
                let vote = random_payload(&mut self.random, 30);
                state.vote = Some(vote.clone());
                self.step(state, |done| log.save_vote(&vote, done));
            }
            14..17 => {
                let keep = Some(self.random.random_range(floor.max(last.saturating_sub(20))..=last));
                state.truncate(keep);
                self.step(state, |done| log.truncate_after(keep, done));
            }
            17 => log.save_committed(at(1, last)).unwrap(),
            _ => {
                let beyond = self.random.random_ratio(1, 10);
                let index = if beyond { last + 7 } else { self.random.random_range(floor..=last) };
                let position = log.position_of(index).unwrap_or(at(self.term, index));
                state.purge(position);
                self.step(state, |done| log.purge(position, done));
            }
        }
    }

    fn append(&mut self, log: &RaftLog, mut state: Contents, last: u64) {
        self.term += self.random.random_range(0..2);
        let records: Vec<_> = (last + 1..=last + self.random.random_range(1..6))
            .map(|index| record(self.term, index, random_payload(&mut self.random, 900)))
            .collect();
        for record in &records {
            state.entries.push(record.clone());
            self.states.push(state.clone());
        }
        self.states.pop();
        self.step(state, |done| log.append(records, done));
    }

    fn step(&mut self, state: Contents, call: impl FnOnce(Done) -> Result<(), crate::log::LogError>) {
        self.states.push(state);
        let step = self.states.len() - 1;
        self.recorder.note(Event::Called(step));
        let recorder = Arc::clone(&self.recorder);
        let done = move |result: Result<(), _>| {
            result.unwrap();
            recorder.note(Event::Acknowledged(step));
        };
        call(Box::new(done)).unwrap();
    }
}

/// Runs a story of single calls and of batches on a recording disk.
fn tell(seed: u64, directory: &Path) -> Story {
    let recorder = Arc::new(Recorder::default());
    // A segment is made ahead at the same time.
    let options = LogOptions { reserved_segments: 1, ..options() };
    let log = RaftLog::create_on(recorder.disk(), directory, IDENTITY, options).unwrap();
    recorder.note(Event::Acknowledged(0));
    let mut story =
        Story { recorder, states: vec![Contents::default()], random: SmallRng::seed_from_u64(seed), term: 1 };
    for _ in 0..ROUNDS {
        let gate = held_back(&log);
        for _ in 0..story.random.random_range(1..5) {
            story.call(&log);
        }
        gate.open();
        log.sync().unwrap();
    }
    log.close().unwrap();
    story
}

#[test]
fn a_crash_at_any_moment_keeps_what_was_acknowledged_and_brings_nothing_back() {
    let mut crashes = 0;
    let (mut rotations, mut recycled) = (0, 0);
    for seed in 0..STORIES {
        let directory = scratch();
        let mut story = tell(seed, &directory.path().join(LOG_DIRECTORY));
        let events = std::mem::take(&mut *story.recorder.events.lock());
        let mut image = Image::default();
        let (mut called, mut acknowledged) = (0, None);
        let crashed = scratch();
        for (place, event) in events.iter().enumerate() {
            let power = [Crash::Power; POWER_CUTS_A_POINT];
            for (variant, how) in [Crash::Kill, Crash::PowerAndLuckless].into_iter().chain(power).enumerate() {
                image.crash(how, Some(event), &mut story.random, crashed.path());
                let case = format!("story {seed}, event {place}, {how:?} {variant}");
                survives(crashed.path(), &story.states, acknowledged, called, &case);
                crashes += 1;
            }
            match event {
                Event::Called(step) => called = *step,
                Event::Acknowledged(step) => acknowledged = Some(*step),
                Event::Rename(from, to) if to.to_string_lossy().ends_with(".seg") => {
                    rotations += 1;
                    recycled += usize::from(from.to_string_lossy().ends_with(".spare"));
                }
                _ => {}
            }
            image.advance(event);
        }
    }
    println!("{crashes} crashes, {rotations} rotations, {recycled} recycled");
    assert!(rotations > 20 && recycled > 5, "the stories rotate and recycle: {rotations}, {recycled}");
}

fn survives(directory: &Path, states: &[Contents], acknowledged: Option<usize>, called: usize, case: &str) {
    if !RaftLog::exists(directory).unwrap() {
        assert_eq!(acknowledged, None, "{case}: the log is gone");
        drop(RaftLog::create(directory, IDENTITY, options()).unwrap());
        return;
    }
    let log = RaftLog::open(directory, options()).unwrap_or_else(|error| panic!("{case}: refused: {error}"));
    let found = Contents::of(&log).unwrap().durable();
    let allowed = &states[acknowledged.unwrap_or(0)..=called.max(acknowledged.unwrap_or(0))];
    if !allowed.contains(&found) {
        let place = states.iter().position(|state| *state == found);
        panic!("{case}: reopened to state {place:?}, acknowledged {acknowledged:?}, called {called}");
    }
    goes_on(log, directory, &options());
}

/// Frames of a write that was cut must not continue a later one, though they verify and it ends where they begin.
#[test]
fn a_second_crash_after_recovery_keeps_what_was_acknowledged_in_between() {
    for seed in 0..40 {
        let directory = scratch();
        let story = tell(1000 + seed % 4, &directory.path().join(LOG_DIRECTORY));
        let events = std::mem::take(&mut *story.recorder.events.lock());
        let mut random = SmallRng::seed_from_u64(seed);
        let crashed = scratch();
        let mut image = Image::default();
        let first = random.random_range(events.len() / 4..events.len());
        events[..first].iter().for_each(|event| image.advance(event));
        image.crash(Crash::Power, events.get(first), &mut random, crashed.path());
        let log = RaftLog::open(crashed.path(), options()).unwrap();
        let base = Contents::of(&log).unwrap();
        let next = base.last().map_or(1, |last| last.index + 1);
        for index in next..next + 30 {
            durably(|done| log.append(vec![record(500, index, vec![1; 24])], done));
            let left = scratch();
            restore(left.path(), &files(crashed.path()));
            let log = RaftLog::open(left.path(), options()).unwrap();
            let now = Contents::of(&log).unwrap();
            assert_eq!(now.last(), Some(at(500, index)), "seed {seed}");
            assert_eq!(now.entries[..base.entries.len()], base.entries[..], "seed {seed}");
        }
    }
}
