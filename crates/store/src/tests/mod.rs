//! The store whole: log, state and marks together.

mod backup;
mod flips;
mod golden;
mod interrupted;
mod members;
mod memory;
mod namespaces;
mod opening;
mod raft_suite;
mod renewals;
mod rescue;
mod restart;
mod retention;
mod snapshots;
mod start_up;
mod stateless;
mod transfer;
mod watched;

use std::path::Path;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use sessile_core::{
    Action, Command, Condition, Delete, LogTime, NamespaceId, Outcome, ProposerId, Put, Register, SessionCommand,
    SessionKey, Ttl,
};

use crate::engine::EngineKind;
use crate::engine::tests::{copy_tree, crash_image};
use crate::log::LogOptions;
use crate::{
    ClusterId, DataDir, Entry, LiveRecord, Opened, Opening, Proposal, Store, StoreError, StoreOptions, log_id,
};

const PROPOSER: ProposerId = ProposerId::new(1);
const START: u64 = 1_700_000_000_000;

fn options(engine: EngineKind) -> StoreOptions {
    let log = LogOptions { segment_bytes: 256 * 1024, ..LogOptions::default() };
    StoreOptions { engine, log, ..StoreOptions::default() }
}

fn opening(dir: &Path, engine: EngineKind) -> Result<Opening, StoreError> {
    Opening::open(DataDir::open(dir)?, &options(engine))
}

/// A member's store; a new one makes a cluster of its own.
fn open(dir: &Path, engine: EngineKind) -> Result<(Store, Opened), StoreError> {
    open_in(dir, engine, ClusterId::random())
}

/// A member's store; a new one belongs to that cluster.
fn open_in(dir: &Path, engine: EngineKind, cluster: ClusterId) -> Result<(Store, Opened), StoreError> {
    match opening(dir, engine)? {
        Opening::Pristine(pristine) => Ok((pristine.adopt(cluster)?, Opened::New)),
        Opening::Member(store, opened) => Ok((store, opened)),
        Opening::Recovering(stateless) => panic!("{stateless:?}"),
    }
}

/// Waits for what needs no other thread of a runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn key(number: u64) -> SessionKey {
    SessionKey::new(format!("wiki{}:MWSession:{number:032x}", number % 7)).unwrap()
}

fn value(number: u64, round: u64) -> Bytes {
    let seed = number.wrapping_mul(31).wrapping_add(round);
    (0..200 + seed % 200).map(|at| u8::try_from((seed.wrapping_mul(at + 1) >> 3) & 0xff).unwrap()).collect()
}

/// Entries as a leader would make them: one proposer, one command an entry, the time given in ms after `START`.
struct Leader {
    index: u64,
    sequence: u64,
    clock: u64,
}

impl Leader {
    fn new() -> Self {
        Self { index: 0, sequence: 0, clock: START }
    }

    fn entry(&mut self, command: &Command) -> Entry {
        let log_id = log_id(1, self.index);
        self.index += 1;
        let proposal = Proposal { stamp: LogTime::from_millis(self.clock), command: command.encode() };
        Entry::new(log_id, EntryPayload::Normal(proposal))
    }

    fn register(&mut self) -> Entry {
        self.index = self.index.max(1);
        self.entry(&Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 3 }))
    }

    fn put(&mut self, key: SessionKey, value: Bytes, ttl: Ttl) -> Entry {
        self.say(key, Action::Put(Put { value, ttl, condition: Condition::None }))
    }

    fn delete(&mut self, key: SessionKey) -> Entry {
        self.say(key, Action::Delete(Delete { condition: Condition::None, take: false }))
    }

    fn tick(&mut self, millis: u64) -> Entry {
        self.clock += millis;
        self.entry(&Command::Tick)
    }

    fn say(&mut self, key: SessionKey, action: Action) -> Entry {
        self.sequence += 1;
        self.entry(&Command::Session(SessionCommand {
            proposer: PROPOSER,
            incarnation: 1,
            sequence: self.sequence,
            lowest_outstanding: self.sequence,
            namespace: NamespaceId::SESSIONS,
            key,
            request: action.into(),
        }))
    }
}

impl Store {
    /// Puts entries into the log, synced, and applies them, as Raft would.
    fn commit(&self, entries: impl IntoIterator<Item = Entry>) -> Vec<Option<Outcome>> {
        let entries: Vec<Entry> = entries.into_iter().collect();
        use openraft::storage::RaftLogStorageExt;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.log_store().blocking_append(entries.clone())).unwrap();
        self.state().apply(&entries).unwrap()
    }

    /// Applies what the log holds beyond the state, as Raft does after a start.
    fn replay(&self) {
        use openraft::RaftLogReader;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let next = self.state().applied().0.map_or(0, |applied| applied.index + 1);
        let entries = runtime.block_on(self.log_store().try_get_log_entries(next..)).unwrap();
        if !entries.is_empty() {
            self.state().apply(&entries).unwrap();
        }
    }

    fn get(&self, key: &SessionKey) -> Option<Bytes> {
        let found: Option<LiveRecord> = self.state().read(NamespaceId::SESSIONS, key).unwrap();
        found.map(|found| found.record.value)
    }
}

fn day() -> Ttl {
    Ttl::from_secs(86_400).unwrap()
}
