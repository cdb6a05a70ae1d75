//! What happens between two steps of one call, put there on purpose instead of waited for.

use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::StateMachine;
use crate::engine::{Batch, Engine, EngineError, EngineOptions, View};
use crate::state::{EngineDir, Owner, StateRoot};
use crate::{NodeId, SessionState};

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Get,
    View,
    Persist,
}

/// What is to happen when a call of the engine has done its work and has not returned yet.
type Planned = Mutex<Option<(Call, Box<dyn FnOnce() + Send>)>>;

struct Interrupted {
    engine: Box<dyn Engine>,
    planned: Arc<Planned>,
}

impl Interrupted {
    fn after(&self, call: Call) {
        let due = self.planned.lock().take_if(|(planned, _)| *planned == call);
        if let Some((_, happens)) = due {
            happens();
        }
    }
}

impl Engine for Interrupted {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.engine.get(key);
        self.after(Call::Get);
        found
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.engine.write(batch)
    }

    fn persist(&self) -> Result<(), EngineError> {
        let persisted = self.engine.persist();
        self.after(Call::Persist);
        persisted
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        let view = self.engine.view();
        self.after(Call::View);
        view
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

/// A state on an engine whose calls can be interrupted.
struct Story {
    _dir: tempfile::TempDir,
    state: SessionState,
    planned: Arc<Planned>,
    leader: Leader,
}

impl Story {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner { node: NodeId::from(1), cluster: ClusterId::random() };
        let options = EngineOptions::default();
        let root = StateRoot { path: dir.path().join("state"), engine: EngineKind::Fjall, options, owner };
        let mut current = EngineDir::create(&root).unwrap();
        let planned = Arc::new(Mutex::new(None));
        current.engine = Box::new(Interrupted { engine: current.engine, planned: planned.clone() });
        let (state, mut leader) = (SessionState::load(current).unwrap(), Leader::new());
        state.apply(&[leader.register()]).unwrap();
        Self { _dir: dir, state, planned, leader }
    }

    fn once_after(&self, call: Call, happens: impl FnOnce(SessionState) + Send + 'static) {
        let state = self.state.clone();
        *self.planned.lock() = Some((call, Box::new(move || happens(state))));
    }

    fn get(&self, key: &SessionKey) -> Option<Bytes> {
        self.state.read(NamespaceId::SESSIONS, key).unwrap().map(|found| found.record.value)
    }

    /// A record whose bytes may go.
    fn put_and_let_expire(&mut self, key: SessionKey) {
        let put = self.leader.put(key, value(1, 0), Ttl::from_secs(1).unwrap());
        self.state.apply(&[put, self.leader.tick(120_000)]).unwrap();
        self.state.persist().unwrap();
    }
}

#[test]
fn a_record_that_is_written_while_expired_ones_are_looked_for_stays() {
    let mut story = Story::new();
    story.put_and_let_expire(key(1));
    let rewrite = story.leader.put(key(1), value(1, 1), day());
    story.once_after(Call::View, move |state| drop(state.apply(&[rewrite]).unwrap()));
    assert_eq!(story.state.reap(None, 100).unwrap().removed, 0);
    assert_eq!(story.get(&key(1)), Some(value(1, 1)));
    assert_eq!(story.state.check().unwrap().records, 1);
}

#[test]
fn a_key_that_always_had_a_record_is_never_read_as_absent() {
    let mut story = Story::new();
    let put = story.leader.put(key(1), value(1, 0), Ttl::from_secs(5).unwrap());
    story.state.apply(&[put]).unwrap();
    // Between the two looks of one read the record is replaced, and then the old one expires.
    let meanwhile = [story.leader.put(key(1), value(1, 1), day()), story.leader.tick(5_000)];
    story.once_after(Call::Get, move |state| drop(state.apply(&meanwhile).unwrap()));
    assert!(story.get(&key(1)).is_some());
    assert_eq!(story.get(&key(1)), Some(value(1, 1)));
}

#[test]
fn nothing_is_called_durable_before_the_engine_has_made_it_so() {
    let mut story = Story::new();
    let put = story.leader.put(key(1), value(1, 0), day());
    story.state.apply(&[put]).unwrap();
    let asked = Arc::new(AtomicBool::new(false));
    let (engine_was_asked, later) = (asked.clone(), story.leader.tick(1_000));
    story.once_after(Call::Persist, move |state| {
        assert_eq!(state.persisted_index(), None);
        state.apply(&[later]).unwrap();
        engine_was_asked.store(true, Ordering::Relaxed);
    });
    story.state.persist().unwrap();
    assert!(asked.load(Ordering::Relaxed));
    assert_eq!(story.state.persisted_index(), Some(2), "what was applied meanwhile is not meant");
}

#[test]
fn a_scan_for_expired_bytes_gives_way_to_a_snapshot() {
    let mut story = Story::new();
    story.put_and_let_expire(key(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut machine = StateMachine::new(story.state.clone());
    let snapshot = runtime.block_on(machine.build_snapshot()).unwrap();
    story.once_after(Call::View, move |_| {
        runtime.block_on(machine.install_snapshot(&snapshot.meta, snapshot.snapshot)).unwrap();
    });
    assert_eq!(story.state.reap(None, 100).unwrap().removed, 0);
    assert_eq!(story.state.reap(None, 100).unwrap().scanned, 1, "the fresh state is looked at anew");
}
