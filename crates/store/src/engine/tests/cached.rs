//! An engine behind a cache of values keeps what it promised.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::super::{EngineError, View, cached::Cached};
use super::atomicity::assert_index_covers_records;
use super::{Batch, Bytes, Engine, EngineKind, Scratch, State, on_each_engine, puts};

on_each_engine!(what_is_read_is_what_was_written_last, who_sees_the_applied_index_sees_what_it_covers);

/// Room for everything, for a few values, and for none.
const ROOMS: [u64; 3] = [64 * 1024 * 1024, 200_000, 0];

fn what_is_read_is_what_was_written_last(kind: EngineKind) {
    let mut random = SmallRng::seed_from_u64(11);
    for bytes in ROOMS {
        let scratch = Scratch::in_memory(kind);
        let (mut engine, mut model) = (Cached::new(scratch.open(), bytes), State::new());
        let key = |number: u32| Bytes::from(number.to_be_bytes().to_vec());
        for step in 0..600_u32 {
            let mut batch = Batch::new();
            for _ in 0..random.random_range(0..8) {
                let (key, value) = (key(random.random_range(0..60)), Bytes::from(vec![0; random.random_range(0..900)]));
                if random.random_bool(0.8) {
                    batch.put(key.clone(), value.clone());
                    model.insert(key, value);
                } else {
                    batch.remove(key.clone());
                    model.remove(&key);
                }
            }
            engine.write(batch).unwrap();
            if step % 50 == 7 {
                let filled = (0..20).map(|number| (key(number), Bytes::from(vec![1; 300])));
                model.extend(filled.clone());
                engine.fill(puts(filled)).unwrap();
            }
            if step % 100 == 99 {
                engine.shutdown().unwrap();
                assert!(matches!(engine.get(&key(1)), Err(EngineError::Closed { .. })), "nothing is told from memory");
                drop(engine);
                engine = Cached::new(scratch.open(), bytes);
            }
            for _ in 0..10 {
                let key = key(random.random_range(0..60));
                assert_eq!(engine.get(&key).unwrap(), model.get(&key).cloned(), "step {step}, {bytes} bytes");
            }
        }
    }
}

fn who_sees_the_applied_index_sees_what_it_covers(kind: EngineKind) {
    for bytes in ROOMS {
        let scratch = Scratch::in_memory(kind);
        assert_index_covers_records(&Cached::new(scratch.open(), bytes), 3_000);
    }
}

/// Happens once.
type Event = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An engine in whose reads something happens after the value was found.
struct Interrupted {
    engine: Box<dyn Engine>,
    meanwhile: Event,
}

impl Engine for Interrupted {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.engine.get(key);
        let meanwhile = self.meanwhile.lock().take();
        meanwhile.into_iter().for_each(|happens| happens());
        found
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.engine.write(batch)
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.engine.persist()
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view()
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        self.engine.shutdown()
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }
}

#[test]
fn what_a_slow_reader_found_is_not_kept_over_what_was_written_meanwhile() {
    let scratch = Scratch::in_memory(EngineKind::Fjall);
    let meanwhile = Event::default();
    let engine = scratch.open();
    engine.write(puts([("k", "old"), ("gone", "old")])).unwrap();
    let interrupted = Interrupted { engine, meanwhile: meanwhile.clone() };
    let cached = Arc::new(Cached::new(Box::new(interrupted), ROOMS[0]));
    let read = |key: &str| cached.get(key.as_bytes()).unwrap();
    let mut remove = Batch::new();
    remove.remove("gone");
    for (key, batch, after) in [("k", puts([("k", "new")]), Some("new")), ("gone", remove, None)] {
        let writer = cached.clone();
        *meanwhile.lock() = Some(Box::new(move || writer.write(batch).unwrap()));
        assert_eq!(read(key).as_deref(), Some(&b"old"[..]), "it was looked up before");
        assert_eq!(read(key).as_deref(), after.map(str::as_bytes), "and not kept");
    }
}
