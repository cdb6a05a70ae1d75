use std::collections::BTreeMap;

use super::*;
use crate::engine::lsm::tests::Clock;

type Model = BTreeMap<Bytes, Bytes>;

/// Its value is the turn in which it was written, which each batch writes.
const TURN: &[u8] = b"turn";

struct Bench {
    dir: tempfile::TempDir,
    seed: u64,
    clock: Arc<Clock>,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { dir, seed, clock: Arc::default(), steps: Arc::default() }
    }

    fn open(&self) -> Box<dyn Engine> {
        let steps = self.steps.clone();
        let told = Arc::new(move |step| steps.lock().push(step));
        let options = EngineOptions { retention: Some(self.clock.clone()), ..EngineOptions::with_cache(1 << 20) };
        open_stepped(
            &self.dir.path().join("engine"),
            options,
            Stepping { kind: EngineKind::Fjall, seed: self.seed, told },
        )
        .unwrap()
    }

    /// Writes, waits, persists, stops and dies by the seed. After each turn, what is there is what a plain map has, but
    /// for what has lapsed; and no death takes what was persisted before it.
    fn run(&self, turns: usize) {
        let mut random = SmallRng::seed_from_u64(self.seed);
        let mut engine = self.open();
        let (mut models, mut persisted) = (vec![Model::new()], 0);
        for turn in 1..=turns {
            let (batch, model) = self.draw(&mut random, models.last().unwrap(), models.len());
            engine.write(batch).unwrap();
            models.push(model);
            match random.random_range(0..40) {
                0..4 => {
                    engine.persist().unwrap();
                    persisted = models.len() - 1;
                }
                4..12 => drop(self.clock.0.fetch_add(5, Ordering::Relaxed)),
                12 => {
                    engine.shutdown().unwrap();
                    let steps = self.steps.lock().len();
                    engine = self.open();
                    assert_eq!(self.steps.lock().len(), steps, "seed {}: a clean stop leaves nothing", self.seed);
                    persisted = models.len() - 1;
                }
                13..15 => {
                    drop(engine);
                    engine = self.open();
                    let left = engine.get(TURN).unwrap();
                    let left = left.map_or(0, |left| String::from_utf8_lossy(&left).parse().unwrap());
                    assert!(left >= persisted, "seed {}, turn {turn}: it was persisted", self.seed);
                    models.truncate(left + 1);
                    persisted = left;
                }
                _ => {}
            }
            self.compare(&*engine, models.last().unwrap());
        }
        engine.shutdown().unwrap();
        drop(engine);
        self.compare(&*self.open(), models.last().unwrap());
    }

    fn draw(&self, random: &mut SmallRng, before: &Model, turn: usize) -> (Batch, Model) {
        let (mut batch, mut model) = (Batch::new(), before.clone());
        let mut put = |key: Bytes, value: Option<Bytes>| match value {
            Some(value) => {
                batch.put(key.clone(), value.clone());
                model.insert(key, value);
            }
            None => {
                batch.remove(key.clone());
                model.remove(&key);
            }
        };
        put(TURN.into(), Some(turn.to_string().into()));
        for _ in 0..random.random_range(1..6) {
            let kind = ["r", "s"][random.random_range(0..2)];
            let until = self.clock.now() + random.random_range(1..20);
            let value = Bytes::from([&until.to_be_bytes()[..], turn.to_string().as_bytes()].concat());
            let value = (!random.random_ratio(1, 4)).then_some(value);
            put(format!("{kind}{:02}", random.random_range(0..60)).into(), value);
        }
        (batch, model)
    }

    fn compare(&self, engine: &dyn Engine, model: &Model) {
        let view = engine.view().unwrap();
        let found: Model = view.scan_prefix(b"").map(Result::unwrap).collect();
        for (key, value) in &found {
            assert_eq!(model.get(key), Some(value), "seed {}: {key:?} is another or should be gone", self.seed);
            assert_eq!(engine.get(key).unwrap().as_ref(), Some(value), "seed {}: {key:?}", self.seed);
        }
        for (key, value) in model.iter().filter(|(key, _)| !found.contains_key(*key)) {
            let lapsed = self.clock.needed_until(key, value) <= self.clock.now();
            assert!(lapsed, "seed {}: {key:?} is lost", self.seed);
        }
    }
}

#[test]
fn whatever_its_schedule_does_what_is_there_is_what_was_written_and_each_step_is_done() {
    let mut counts = BTreeMap::<Step, usize>::new();
    for seed in 0..6 {
        let bench = Bench::new(seed);
        bench.run(300);
        bench.steps.lock().iter().for_each(|step| *counts.entry(*step).or_default() += 1);
    }
    assert!(Step::ALL.iter().all(|step| counts.contains_key(step)), "{counts:?}");
}

#[test]
fn the_same_calls_are_the_same_steps() {
    let steps = || {
        let bench = Bench::new(1);
        bench.run(100);
        bench.steps.lock().clone()
    };
    let (one, other) = (steps(), steps());
    assert!(one.len() > 20 && one == other, "{one:?}\n{other:?}");
}
