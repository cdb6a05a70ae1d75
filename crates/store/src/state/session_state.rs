use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use openraft::EntryPayload;
use parking_lot::{Mutex, RwLock};
use sessile_core::{
    ApplyError, Command, Context, GroupName, Horizon, LogTime, NamespaceId, Outcome, ProposerId, Record, RestoreError,
    RulesVersion, SessionKey, State, Tally,
};
use tokio::sync::watch;

use super::CurrentState;
use super::checksums::is_compared;
use super::cold_reads::ColdReads;
use super::facts::{Facts, Persisted};
use super::overlay::Overlay;
use super::prepared::Prepared;
use super::snapshot::Offer;
use super::staged::Staged;
use super::stored::{APPLIED_KEY, Applied, ROW_SPACE, decode_record, encode_row, parse_row, record_key, row_key};
use crate::engine::{Engine, EngineError, View};
use crate::types::Entry;
use crate::{LogId, Membership, NodeId, Progress, StoreError, StoredMembership, off_the_runtime};

/// What to do about a damaged state, as far as one node can know.
pub(super) const REMEDY: &str =
    "nothing in it was changed; start again: it is set aside, and made anew by the log or another member";

/// The session state of this node. Cheap to clone; reads may come from any thread at any time.
///
/// Locks, in the order in which they are taken: `writer`, `facts`, `current`, `shown`. Apply holds `writer` while the engine
/// writes, which may take as long as the disk likes, so nobody asks for it who must answer soon. The others are held for
/// steps in memory alone.
///
/// Invariants:
/// - what is shown to readers is never newer than what the engine holds: the horizon is published after the batch;
/// - data, counts and applied index change in one batch of the engine;
/// - bytes are removed only by what the last `persist` made durable (see `reap`).
#[derive(Clone)]
pub struct SessionState {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    /// The directory and the engine in use; replaced whole when a snapshot is installed.
    pub(super) current: RwLock<Arc<CurrentState>>,
    shown: RwLock<Horizon>,
    /// The last entry of which readers find everything.
    reached: watch::Sender<Option<LogId>>,
    /// The snapshot that is being sent to somebody, or may be gone on with.
    pub(super) offered: Mutex<Weak<Offer>>,
    applying: Progress,
    cold_reads: ColdReads,
    pub(super) facts: RwLock<Facts>,
    pub(super) writer: Mutex<Writer>,
}

/// What only the one writer sees. Held while the engine writes: see the order of locks at [`SessionState`].
pub(super) struct Writer {
    pub(super) state: State,
    pub(super) applied: Applied,
    /// Checksums at places that members compare, of the batch under way.
    noted: Vec<(u64, u64)>,
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
pub struct Found {
    /// The record.
    pub record: Record,
    /// What the replicated clock showed when it was looked up.
    pub clock: LogTime,
}

impl SessionState {
    /// Loads what is stored on an engine.
    pub(crate) fn load(current: CurrentState) -> Result<Self, StoreError> {
        let writer = Writer::load(&current)?;
        Ok(Self::from_parts(current, writer))
    }

    /// Puts a state in use where there is none.
    pub(crate) fn of(staged: Staged) -> Result<Self, StoreError> {
        let (current, writer, persisted) = staged.put_in_use()?;
        let state = Self::from_parts(current, writer);
        state.inner.facts.write().persisted = persisted;
        Ok(state)
    }

    fn from_parts(current: CurrentState, writer: Writer) -> Self {
        let facts = RwLock::new(Facts::of(&writer));
        let shown = RwLock::new(*writer.state.horizon());
        let reached = watch::Sender::new(writer.applied.log_id);
        let inner = Inner {
            current: RwLock::new(Arc::new(current)),
            shown,
            reached,
            offered: Mutex::default(),
            applying: Progress::default(),
            cold_reads: ColdReads::new(),
            facts,
            writer: Mutex::new(writer),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The live record of a key, verified. What the caller must have done before, so that the answer is linearizable,
    /// is to wait until the state has applied everything that was committed when the read arrived. Blocks on the disk.
    ///
    /// # Errors
    /// The disk, or a damaged record.
    pub fn read(&self, namespace: NamespaceId, key: &SessionKey) -> Result<Option<Found>, StoreError> {
        let stored_key = record_key(namespace, key);
        let found = self.look_up(&stored_key, |engine| engine.get(&stored_key).map(Some))?;
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
    ) -> Result<Option<Option<Found>>, StoreError> {
        let stored_key = record_key(namespace, key);
        self.look_up(&stored_key, |engine| engine.get_in_memory(&stored_key))
    }

    /// The same, on a thread that may wait for the disk. At most 32 reads wait there at a time, and others for them.
    ///
    /// # Errors
    /// As [`SessionState::read`].
    pub async fn read_from_disk(&self, namespace: NamespaceId, key: &SessionKey) -> Result<Option<Found>, StoreError> {
        // Kept until the disk has answered, also if nobody waits for the answer any more.
        let place = self.inner.cold_reads.enter().await?;
        let (state, key) = (self.clone(), key.clone());
        let read = off_the_runtime(move || place.read(|| state.read(namespace, &key))).await;
        read.map_err(|gave_up| StoreError::Ended { reason: gave_up.to_string() })?
    }

    fn look_up(
        &self,
        stored_key: &[u8],
        get: impl Fn(&dyn Engine) -> Result<Option<Option<Bytes>>, EngineError>,
    ) -> Result<Option<Option<Found>>, StoreError> {
        // The clock first and the record after it: a record may be newer than the clock, never older.
        let horizon = *self.inner.shown.read();
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
            let error = damaged(&current.dir, &error);
            current.condemn_if_damaged(&error);
            error
        })?;
        let live = record.filter(|record| horizon.shows(&record.header));
        Ok(Some(live.map(|record| Found { record, clock: horizon.clock })))
    }

    /// How far the log is applied, and who was a member there.
    pub fn applied(&self) -> (Option<LogId>, StoredMembership) {
        let facts = self.inner.facts.read();
        (facts.applied, facts.membership.clone())
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

    /// The rules in force.
    pub fn rules(&self) -> RulesVersion {
        self.inner.facts.read().rules
    }

    /// The incarnation of a proposer, if it has registered.
    pub fn incarnation(&self, proposer: ProposerId) -> Option<u64> {
        self.inner.facts.read().incarnations.get(&proposer).copied()
    }

    /// What each group of each namespace counts.
    pub fn counts(&self) -> Vec<(NamespaceId, GroupName, Tally)> {
        self.inner.facts.read().counts()
    }

    /// How many sessions are counted, in all namespaces together.
    pub fn sessions(&self) -> u64 {
        self.inner.facts.read().sessions()
    }

    /// Whether a node was removed from the cluster: its id is never accepted again.
    pub fn is_removed(&self, node: NodeId) -> bool {
        self.inner.facts.read().removed.contains(&ProposerId::new(node.bits()))
    }

    /// Every node that was removed.
    pub fn removed(&self) -> Vec<NodeId> {
        self.inner.facts.read().removed.iter().map(|id| NodeId::from_bits(id.bits())).collect()
    }

    /// How far the log is applied, and the checksum of the state there, of one moment.
    pub fn summary(&self) -> StateSummary {
        let facts = self.inner.facts.read();
        StateSummary { applied: facts.applied, checksum: facts.checksum }
    }

    /// The checksum of the state at chosen places of the log, with their indices, ascending: members that applied
    /// differently far share one. After a start there are none until the next such place.
    pub fn checksums(&self) -> Vec<(u64, u64)> {
        self.inner.facts.read().checksums.all()
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

    /// Makes everything that is applied durable. Blocks on the disk, and holds up no writer.
    ///
    /// # Errors
    /// The disk; or the state has ended.
    pub fn persist(&self) -> Result<(), StoreError> {
        // What is asked to be durable is what was applied before; the batches of later entries may come with it.
        let (current, log_id, horizon) = {
            let facts = self.inner.facts.read();
            facts.assert_going()?;
            (self.current(), facts.applied, facts.horizon)
        };
        current.engine.persist()?;
        self.is_durable(&current, log_id, horizon);
        Ok(())
    }

    /// Takes note that the state is durable up to an entry.
    pub(super) fn is_durable(&self, current: &CurrentState, log_id: Option<LogId>, horizon: Horizon) {
        let mut facts = self.inner.facts.write();
        if facts.persisted.log_id <= log_id {
            facts.persisted = Persisted { log_id, horizon };
            current.retention.persisted(horizon);
        }
    }

    /// Makes the state durable at least up to an entry that is about to be purged from the log.
    pub(crate) fn persist_upto(&self, upto: &LogId) -> Result<(), StoreError> {
        let persisted = || self.inner.facts.read().persisted.log_id.is_some_and(|log_id| log_id >= *upto);
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
        self.inner.facts.write().end("it was closed");
        // Which makes it durable; and does not wait for room, should the disk be full.
        self.current().engine.shutdown()?;
        Ok(writer.applied.log_id)
    }

    /// Why nothing may be applied any more, once that is so.
    pub fn ended(&self) -> Option<String> {
        self.inner.facts.read().ended.clone()
    }

    /// An error once the state has ended.
    pub(super) fn assert_going(&self) -> Result<(), StoreError> {
        self.inner.facts.read().assert_going()
    }

    /// The last entry that is durable in the state.
    pub fn persisted_index(&self) -> Option<u64> {
        self.inner.facts.read().persisted.log_id.map(|log_id| log_id.index)
    }

    /// By what a record was live when the state was last made durable: a crash rewinds to there.
    pub(super) fn persisted_horizon(&self) -> Horizon {
        self.inner.facts.read().persisted.horizon
    }

    pub(crate) fn current(&self) -> Arc<CurrentState> {
        self.inner.current.read().clone()
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
    pub(super) fn show(&self, horizon: Horizon, reached: Option<LogId>) {
        *self.inner.shown.write() = horizon;
        self.inner.reached.send_replace(reached);
    }

    /// Decodes what entries want, and takes of their records what is in memory. Never blocks.
    pub(crate) fn prepare(&self, entries: Vec<Entry>) -> Prepared {
        Prepared::new(entries, &*self.current().engine)
    }

    /// Applies entries at once if that needs no disk and waits for nobody; otherwise they come back.
    pub(crate) fn try_apply(&self, prepared: Prepared) -> Result<Result<Vec<Option<Outcome>>, StoreError>, Prepared> {
        if !prepared.is_in_memory() || !self.current().engine.takes_writes_at_once() {
            return Err(prepared);
        }
        match self.inner.writer.try_lock() {
            Some(mut writer) => Ok(self.apply_with(&mut writer, prepared)),
            None => Err(prepared),
        }
    }

    /// Applies entries in one batch of the engine. What each did comes back in their order. Blocks on the disk.
    pub(crate) fn apply_prepared(&self, prepared: Prepared) -> Result<Vec<Option<Outcome>>, StoreError> {
        // Also while it waits for the lock: whoever holds it may have met a disk that does not come back.
        let _step = self.inner.applying.begin();
        let mut writer = self.inner.writer.lock();
        self.apply_locked(&mut writer, prepared)
    }

    /// The same, of entries that nobody has looked at yet.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn apply(&self, entries: &[Entry]) -> Result<Vec<Option<Outcome>>, StoreError> {
        self.apply_prepared(self.prepare(entries.to_vec()))
    }

    fn apply_with(&self, writer: &mut Writer, prepared: Prepared) -> Result<Vec<Option<Outcome>>, StoreError> {
        let _step = self.inner.applying.begin();
        self.apply_locked(writer, prepared)
    }

    fn apply_locked(&self, writer: &mut Writer, prepared: Prepared) -> Result<Vec<Option<Outcome>>, StoreError> {
        self.assert_going()?;
        let applied = self.apply_to(writer, prepared);
        if let Err(error) = &applied {
            // What is in memory may be ahead of what is stored: nothing may be made of it.
            self.inner.facts.write().end(&error.to_string());
        }
        applied
    }

    fn apply_to(&self, writer: &mut Writer, prepared: Prepared) -> Result<Vec<Option<Outcome>>, StoreError> {
        let current = self.current();
        let Prepared { entries, stored, .. } = prepared;
        let mut records = Overlay::new(&*current.engine, &current.dir, stored);
        let apply = |(entry, command)| writer.apply_one(&entry, command, &mut records);
        let outcomes = entries.into_iter().map(apply).collect::<Result<_, _>>()?;
        let mut batch = records.into_batch();
        let changes = writer.state.take_changes();
        for (key, row) in &changes {
            let stored_key = row_key(key);
            match row {
                Some(row) => batch.put(stored_key, encode_row(key, row)),
                None => batch.remove(stored_key),
            }
        }
        batch.put(APPLIED_KEY, writer.applied.encode());
        // Store, then show: a reader that sees the new clock finds the records that came with it.
        current.engine.write(batch)?;
        self.inner.facts.write().update(&writer.state, &writer.applied, &changes, writer.noted.drain(..));
        self.show(*writer.state.horizon(), writer.applied.log_id);
        Ok(outcomes)
    }
}

impl Writer {
    pub(super) fn load(current: &CurrentState) -> Result<Self, StoreError> {
        Self::load_from(&*current.engine.view()?, current)
    }

    pub(super) fn load_from(view: &dyn View, current: &CurrentState) -> Result<Self, StoreError> {
        let mut state = State::default();
        for row in view.scan_prefix(&[ROW_SPACE]) {
            let (key, bytes) = row?;
            let (key, row) = parse_row(&key, &bytes).map_err(|error| current.damaged(&error))?;
            state.restore(key, row).map_err(|error| match error {
                RestoreError::Misplaced => current.damaged(&error),
                RestoreError::RulesTooNew { .. } => {
                    StoreError::NewerRules { dir: current.dir.clone(), what: error.to_string() }
                }
            })?;
        }
        let applied = Self::load_applied(view, current)?;
        let noted = applied.log_id.filter(|log_id| is_compared(log_id.index));
        let noted = noted.map(|log_id| (log_id.index, state.checksum())).into_iter().collect();
        Ok(Self { state, applied, noted })
    }

    /// An error if a snapshot would take the state back: it would forget what it answered. openraft never does that.
    pub(super) fn assert_not_ahead_of(&self, snapshot: Option<LogId>) -> Result<(), StoreError> {
        match self.applied.log_id.filter(|applied| Some(*applied) > snapshot) {
            Some(applied) => {
                let reached = snapshot.map_or(0, |snapshot| snapshot.index);
                let what = format!("it ends at entry {reached}, but entry {} is applied here", applied.index);
                Err(StoreError::Transfer { what })
            }
            None => Ok(()),
        }
    }

    /// The checksums that were noted since this was last asked.
    pub(super) fn noted(&self) -> impl Iterator<Item = (u64, u64)> {
        self.noted.iter().copied()
    }

    pub(super) fn load_applied(view: &dyn View, current: &CurrentState) -> Result<Applied, StoreError> {
        let stored = view.get(APPLIED_KEY)?;
        stored.map_or(Ok(Applied::default()), |bytes| Applied::decode(&bytes).map_err(|e| current.damaged(&e)))
    }

    fn apply_one(
        &mut self,
        entry: &Entry,
        command: Option<Command>,
        records: &mut Overlay<'_>,
    ) -> Result<Option<Outcome>, StoreError> {
        let outcome = self.apply_payload(entry, command, records)?;
        if is_compared(entry.log_id.index) {
            self.noted.push((entry.log_id.index, self.state.checksum()));
        }
        Ok(outcome)
    }

    /// `command` is what the entry wants, if it was decoded before.
    fn apply_payload(
        &mut self,
        entry: &Entry,
        command: Option<Command>,
        records: &mut Overlay<'_>,
    ) -> Result<Option<Outcome>, StoreError> {
        let index = entry.log_id.index;
        if self.applied.log_id.is_some_and(|applied| applied >= entry.log_id) {
            return Err(StoreError::Apply { index, what: "it was applied before".into() });
        }
        self.applied.log_id = Some(entry.log_id);
        let proposal = match &entry.payload {
            EntryPayload::Blank => return Ok(None),
            EntryPayload::Membership(membership) => {
                let before = ids_of(self.applied.membership.membership());
                let after = ids_of(membership);
                self.state.depart(before.difference(&after).map(|node| ProposerId::new(node.bits())), index);
                self.applied.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                return Ok(None);
            }
            EntryPayload::Normal(proposal) => proposal,
        };
        let failed = |what: String| StoreError::Apply { index, what };
        let command = command.map_or_else(|| Command::decode(proposal.command.clone()), Ok);
        let command = command.map_err(|error| failed(error.to_string()))?;
        let context = Context { index, stamp: proposal.stamp, rules_supported: self.rules_supported() };
        let outcome = self.state.apply(&context, &command, records).map_err(|error| match error {
            ApplyError::Records(error) => error,
            other @ (ApplyError::RulesTooNew { .. } | ApplyError::CountsBroken { .. }) => failed(other.to_string()),
        })?;
        Ok(Some(outcome))
    }

    /// The newest rules that every member supports, as the log says here.
    fn rules_supported(&self) -> RulesVersion {
        let members = self.applied.membership.nodes().map(|(_, member)| member.rules_supported);
        members.min().unwrap_or(RulesVersion::FIRST)
    }
}

/// Everybody who is a voter or a learner.
fn ids_of(membership: &Membership) -> BTreeSet<NodeId> {
    membership.voter_ids().chain(membership.nodes().map(|(node, _)| *node)).collect()
}

/// A record as it is stored, verified, whether or not it is live.
pub(super) fn get_record(engine: &dyn Engine, dir: &Path, stored_key: &[u8]) -> Result<Option<Record>, StoreError> {
    let Some(bytes) = engine.get(stored_key)? else { return Ok(None) };
    decode_record(stored_key, &bytes).map(Some).map_err(|error| damaged(dir, &error))
}

pub(super) fn damaged(dir: &Path, what: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { dir: PathBuf::from(dir), what: what.to_string(), remedy: REMEDY }
}
