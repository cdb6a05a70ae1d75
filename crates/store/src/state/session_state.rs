use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use sessile_core::{
    GroupName, HistoryEntry, Horizons, LogTime, NamespaceId, NamespaceTable, ProposerId, Record, RulesVersion,
    SessionKey, Tally,
};
use tokio::sync::watch;

use super::builder::BuiltState;
use super::cold_reads::ColdReads;
use super::engine_dir::EngineDir;
use super::offer::Offer;
use super::state_root::StateRoot;
use super::status::{Persisted, StateStatus};
use super::stored::{decode_record, encode_row, record_key, row_key};
use super::writer::Writer;
use crate::engine::{Engine, EngineError, EngineFigures};
use crate::{Durations, LogId, NodeId, Progress, StoreError, StoredMembership, off_the_runtime};

/// The state machine's state in Raft's sense: the sessions, as the log has made them so far, on an engine. Cheap to clone;
/// reads may come from any thread at any time.
///
/// Locks, in the order in which they are taken: `writer`, `status`, `engine`, `shown`. Apply holds `writer` while the engine
/// writes, which may take as long as the disk likes, so nobody asks for it who must answer soon. The others are held for
/// steps in memory alone.
///
/// Invariants:
/// - what is shown to readers is never newer than what the engine holds: the horizons are published after the batch;
/// - data, counts and applied index change in one batch of the engine;
/// - bytes are removed only by what the last `persist` made durable (see `reap`).
#[derive(Clone)]
pub struct SessionState {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// The directory and the engine in use; replaced whole when a snapshot is installed.
    pub(super) engine: RwLock<Arc<EngineDir>>,
    shown: RwLock<Horizons>,
    /// The last entry of which readers find everything.
    reached: watch::Sender<Option<LogId>>,
    /// The snapshot that is being sent to somebody, or may be gone on with.
    pub(super) offered: Mutex<Weak<Offer>>,
    pub(super) applying: Progress,
    pub(super) applies: Durations,
    cold_reads: ColdReads,
    pub(super) status: RwLock<StateStatus>,
    /// Held while the engine writes: see the order of locks at [`SessionState`].
    pub(super) writer: Mutex<Writer>,
}

/// What members compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSummary {
    /// The last entry that is applied.
    pub applied: Option<LogId>,
    /// The state's checksum there ([`sessile_core::State::checksum`]).
    pub checksum: u64,
}

/// A record that is there for anybody.
#[derive(Debug, Clone)]
pub struct LiveRecord {
    /// The record.
    pub record: Record,
    /// What the replicated clock showed when it was looked up.
    pub clock: LogTime,
}

impl SessionState {
    /// Loads what is stored on an engine.
    pub(crate) fn load(engine: EngineDir) -> Result<Self, StoreError> {
        let writer = Writer::load(&engine)?;
        Ok(Self::from_parts(engine, writer))
    }

    /// Makes an empty state, durably, and puts it in use.
    pub(crate) fn create(root: &StateRoot) -> Result<Self, StoreError> {
        let state = Self::load(EngineDir::create(root)?)?;
        state.persist()?;
        Ok(state)
    }

    /// Puts a state in use where there is none.
    pub(crate) fn of(built: BuiltState) -> Result<Self, StoreError> {
        let (engine, writer, persisted) = built.put_in_use()?;
        let state = Self::from_parts(engine, writer);
        state.inner.status.write().persisted = persisted;
        Ok(state)
    }

    fn from_parts(engine: EngineDir, writer: Writer) -> Self {
        let status = RwLock::new(StateStatus::of(&writer));
        let shown = RwLock::new(writer.state.horizons().clone());
        let reached = watch::Sender::new(writer.applied.log_id);
        let inner = Inner {
            engine: RwLock::new(Arc::new(engine)),
            shown,
            reached,
            offered: Mutex::default(),
            applying: Progress::default(),
            applies: Durations::default(),
            cold_reads: ColdReads::new(),
            status,
            writer: Mutex::new(writer),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The live record of a key, verified. What the caller must have done before, so that the answer is linearizable,
    /// is to wait until the state has applied everything that was committed when the read arrived. Blocks on the disk.
    ///
    /// # Errors
    /// The disk, or a damaged record.
    pub fn read(&self, namespace: NamespaceId, key: &SessionKey) -> Result<Option<LiveRecord>, StoreError> {
        let stored_key = record_key(namespace, key);
        let found = self.look_up(namespace, key, &stored_key, |engine| engine.get(&stored_key).map(Some))?;
        Ok(found.flatten())
    }

    /// The same, as far as memory tells: `None` if the disk has to be asked. Never blocks.
    ///
    /// # Errors
    /// A damaged record.
    pub fn read_in_memory(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
    ) -> Result<Option<Option<LiveRecord>>, StoreError> {
        let stored_key = record_key(namespace, key);
        self.look_up(namespace, key, &stored_key, |engine| engine.get_in_memory(&stored_key))
    }

    /// The same, on a thread that may wait for the disk. At most 32 reads wait there at a time, and others for them.
    ///
    /// # Errors
    /// As [`SessionState::read`].
    pub async fn read_from_disk(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
    ) -> Result<Option<LiveRecord>, StoreError> {
        // Kept until the disk has answered, also if nobody waits for the answer any more.
        let place = self.inner.cold_reads.enter().await?;
        let (state, key) = (self.clone(), key.clone());
        let read = off_the_runtime(move || place.read(|| state.read(namespace, &key))).await;
        read.map_err(|gave_up| StoreError::Ended { reason: gave_up.to_string() })?
    }

    fn look_up(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        stored_key: &[u8],
        get: impl Fn(&dyn Engine) -> Result<Option<Option<Bytes>>, EngineError>,
    ) -> Result<Option<Option<LiveRecord>>, StoreError> {
        // The clock first and the record after it: a record may be newer than the clock, never older.
        let horizons = self.shown();
        let (stored, current) = loop {
            let current = self.current();
            match get(&*current.engine) {
                // A snapshot took its place meanwhile.
                Err(EngineError::Closed { .. }) if !Arc::ptr_eq(&current, &self.current()) => {}
                stored => break (stored?, current),
            }
        };
        let Some(stored) = stored else { return Ok(None) };
        let record = stored.map(|bytes| decode_record(stored_key, &bytes)).transpose();
        let record = record.map_err(|error| {
            let error = current.damaged(&error);
            current.condemn_if_damaged(&error);
            error
        })?;
        let live = record.filter(|record| horizons.shows(namespace, key.group(), &record.header));
        Ok(Some(live.map(|record| LiveRecord { record, clock: horizons.clock })))
    }

    /// By what readers judge records now.
    pub(super) fn shown(&self) -> Horizons {
        self.inner.shown.read().clone()
    }

    /// How far the log is applied, and who was a member there.
    pub fn applied(&self) -> (Option<LogId>, StoredMembership) {
        let status = self.inner.status.read();
        (status.applied, status.membership.clone())
    }

    /// The last entry that is applied and that readers find, and whoever applied it is answered after that. Waits for no
    /// writer.
    pub fn reached(&self) -> watch::Receiver<Option<LogId>> {
        self.inner.reached.subscribe()
    }

    /// How the application of entries goes on.
    pub fn progress(&self) -> &Progress {
        &self.inner.applying
    }

    /// How the reads go on that wait for the disk, each by itself.
    pub fn reads(&self) -> impl Iterator<Item = &Progress> {
        self.inner.cold_reads.progress()
    }

    /// The replicated clock, as readers see it.
    pub fn clock(&self) -> LogTime {
        self.inner.shown.read().clock
    }

    /// The namespaces there are, as readers see them.
    pub fn namespaces(&self) -> Arc<NamespaceTable> {
        Arc::clone(&self.inner.shown.read().namespaces)
    }

    /// The rules in force.
    pub fn rules(&self) -> RulesVersion {
        self.inner.status.read().rules
    }

    /// The incarnation of a proposer, if it has registered.
    pub fn incarnation(&self, proposer: ProposerId) -> Option<u64> {
        self.inner.status.read().incarnations.get(&proposer).copied()
    }

    /// What each group of each namespace counts.
    pub fn counts(&self) -> Vec<(NamespaceId, GroupName, Tally)> {
        self.inner.status.read().counts()
    }

    /// How many sessions are counted, in all namespaces together.
    pub fn sessions(&self) -> u64 {
        self.inner.status.read().sessions()
    }

    /// Whether a node was removed from the cluster: its id is never accepted again.
    pub fn is_removed(&self, node: NodeId) -> bool {
        self.inner.status.read().removed.contains(&ProposerId::new(node.bits()))
    }

    /// Every node that was removed.
    pub fn removed(&self) -> Vec<NodeId> {
        self.inner.status.read().removed.iter().map(|id| NodeId::from_bits(id.bits())).collect()
    }

    /// The changes of the cluster that are remembered, at most so many of the newest, each with the log index at which it
    /// began; the oldest first.
    pub fn history(&self, newest: usize) -> Vec<(u64, HistoryEntry)> {
        let status = self.inner.status.read();
        let skipped = status.history.len().saturating_sub(newest);
        status.history.iter().skip(skipped).map(|(index, entry)| (*index, entry.clone())).collect()
    }

    /// Shows each change of the cluster that is remembered, the oldest first.
    pub fn each_change(&self, show: impl FnMut(&HistoryEntry)) {
        self.inner.status.read().history.values().for_each(show);
    }

    /// How far the log is applied, and the checksum of the state there, of one moment.
    pub fn summary(&self) -> StateSummary {
        let status = self.inner.status.read();
        StateSummary { applied: status.applied, checksum: status.checksum }
    }

    /// The checksum of the state at chosen places of the log, with their indices, ascending: members that applied
    /// differently far share one. After a start there are none until the next such place.
    pub fn checksums(&self) -> Vec<(u64, u64)> {
        self.inner.status.read().checksums.all()
    }

    /// How many sessions are counted that will have expired at that time, of those whose bucket of expiry ends by then. It
    /// waits for apply.
    pub fn counted_until(&self, time: LogTime) -> u64 {
        self.inner.writer.lock().state.counted_until(time)
    }

    /// The last entry that is applied, and a digest of everything replicated but the records: the clock, the counts, the
    /// outcomes that are remembered, who was removed. It looks at all of it, and waits for apply.
    pub fn digest_of_rows(&self) -> (Option<LogId>, u64) {
        let writer = self.inner.writer.lock();
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for (key, row) in writer.state.rows() {
            hasher.update(&row_key(&key));
            hasher.update(&encode_row(&key, &row));
        }
        (writer.applied.log_id, hasher.digest())
    }

    /// How long it took each time to apply a batch of entries.
    pub fn applies(&self) -> &Durations {
        &self.inner.applies
    }

    /// What its engine is made of, if that can tell without the disk ([`Engine::figures`]).
    pub fn engine_figures(&self) -> Option<EngineFigures> {
        self.current().engine.figures()
    }

    /// Bytes on disk. Asks the file system, and may block there.
    pub fn disk_bytes(&self) -> u64 {
        self.current().engine.disk_bytes()
    }

    /// Bytes of disk that the engine needs free to go on ([`Engine::reserve_bytes`]).
    pub fn reserve_bytes(&self) -> u64 {
        self.current().engine.reserve_bytes()
    }

    /// Whether that is so, and little more can wait for room in memory ([`Engine::is_exhausted`]).
    pub fn is_exhausted(&self) -> bool {
        self.current().engine.is_exhausted()
    }

    /// Whether the file system refused the engine room ([`Engine::is_out_of_space`]).
    pub fn is_out_of_space(&self) -> bool {
        self.current().engine.is_out_of_space()
    }

    /// Says that much has to be applied at once from now on, or no longer ([`Engine::set_catches_up`]).
    pub fn set_catches_up(&self, catches_up: bool) {
        self.current().engine.set_catches_up(catches_up);
    }

    /// Makes everything that is applied durable. Blocks on the disk, and holds up no writer.
    ///
    /// # Errors
    /// The disk; or the state has ended.
    pub fn persist(&self) -> Result<(), StoreError> {
        // What is asked to be durable is what was applied before; the batches of later entries may come with it.
        let (current, log_id, horizons) = {
            let status = self.inner.status.read();
            status.assert_going()?;
            (self.current(), status.applied, status.horizons.clone())
        };
        current.engine.persist()?;
        self.is_durable(&current, log_id, &horizons);
        Ok(())
    }

    /// Takes note that the state is durable up to an entry.
    pub(super) fn is_durable(&self, current: &EngineDir, log_id: Option<LogId>, horizons: &Horizons) {
        let mut status = self.inner.status.write();
        if status.persisted.log_id <= log_id {
            status.persisted = Persisted { log_id, horizons: horizons.clone() };
            current.retention.persisted(horizons.clone());
        }
    }

    /// Makes the state durable at least up to an entry that is about to be purged from the log.
    pub(crate) fn persist_upto(&self, upto: &LogId) -> Result<(), StoreError> {
        let persisted = || self.inner.status.read().persisted.log_id.is_some_and(|log_id| log_id >= *upto);
        if persisted() {
            return Ok(());
        }
        self.persist()?;
        if persisted() {
            return Ok(());
        }
        Err(StoreError::Apply { index: upto.index, what: "it would be purged before it is applied".into() })
    }

    /// Ends cleanly: everything is durable, and the engine lets go of its directory. How far the log was applied comes
    /// back; nothing is applied after that.
    pub(crate) fn close(&self) -> Result<Option<LogId>, StoreError> {
        let writer = self.inner.writer.lock();
        self.assert_going()?;
        self.inner.status.write().end("it was closed");
        // Which makes it durable; and does not wait for room, should the disk be full.
        self.current().engine.shutdown()?;
        Ok(writer.applied.log_id)
    }

    /// Why nothing may be applied any more, once that is so.
    pub fn ended(&self) -> Option<String> {
        self.inner.status.read().ended.clone()
    }

    /// An error once the state has ended.
    pub(super) fn assert_going(&self) -> Result<(), StoreError> {
        self.inner.status.read().assert_going()
    }

    /// The last entry that is durable in the state.
    pub fn persisted_index(&self) -> Option<u64> {
        self.inner.status.read().persisted.log_id.map(|log_id| log_id.index)
    }

    /// By what a record was live when the state was last made durable: a crash rewinds to there.
    pub(super) fn persisted_horizons(&self) -> Horizons {
        self.inner.status.read().persisted.horizons.clone()
    }

    pub(crate) fn current(&self) -> Arc<EngineDir> {
        self.inner.engine.read().clone()
    }

    /// Holds what apply holds, until it is dropped.
    #[cfg(test)]
    pub(crate) fn hold_writer(&self) -> impl Sized + '_ {
        self.inner.writer.lock()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Shows readers a new clock, and then tells those who wait for an entry that it is there.
    pub(super) fn show(&self, horizons: &Horizons, reached: Option<LogId>) {
        self.inner.shown.write().clone_from(horizons);
        self.inner.reached.send_replace(reached);
    }
}
