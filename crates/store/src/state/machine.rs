use std::io;

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use sessile_core::injected::next_pause;

use super::session_state::SessionState;
use super::snapshot::Snapshot;
use crate::types::Entry;
use crate::{LogId, SnapshotMeta, StoredMembership, TypeConfig, off_the_runtime};

/// The most entries that are applied in one batch of the engine; a reader that waits for an index waits for no more.
const MAX_BATCH_ENTRIES: usize = 512;
/// The most bytes of commands that are applied in one batch, before the last.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The session state as openraft wants it.
#[derive(Clone)]
pub struct StateMachine {
    state: SessionState,
}

impl StateMachine {
    /// Over a session state.
    pub fn new(state: SessionState) -> Self {
        Self { state }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Snapshot;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok(self.state.applied())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut ended = false;
        while !ended {
            let (mut batch, mut responders, mut bytes) = (Vec::new(), Vec::new(), 0);
            while batch.len() < MAX_BATCH_ENTRIES && bytes < MAX_BATCH_BYTES {
                let Some(next) = entries.next().await else {
                    ended = true;
                    break;
                };
                let (entry, responder) = next?;
                bytes += command_bytes(&entry);
                batch.push(entry);
                responders.push(responder);
            }
            if batch.is_empty() {
                break;
            }
            if let Some(pause) = next_pause() {
                tokio::time::sleep(pause).await;
            }
            // Stored first, answered after: who is answered finds what was done. What memory alone can do is done here;
            // what may wait for the disk holds up no thread of the runtime.
            let outcomes = match self.state.try_apply(self.state.prepare(batch)) {
                Ok(applied) => applied?,
                Err(prepared) => {
                    let state = self.state.clone();
                    off_the_runtime(move || state.apply_prepared(prepared)).await.map_err(io::Error::other)??
                }
            };
            for (responder, outcome) in responders.into_iter().zip(outcomes) {
                if let Some(responder) = responder {
                    responder.send(outcome);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Snapshot) -> io::Result<()> {
        let (state, meta) = (self.state.clone(), meta.clone());
        Ok(off_the_runtime(move || state.install(&meta, snapshot)).await.map_err(io::Error::other)??)
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, Snapshot>>> {
        // Before anything is applied there is nothing that a peer could not get from the log.
        if self.state.applied().0.is_none() {
            return Ok(None);
        }
        let state = self.state.clone();
        Ok(Some(off_the_runtime(move || state.snapshot_to_send(0)).await.map_err(io::Error::other)??))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    type SnapshotData = Snapshot;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, Snapshot>> {
        let state = self.state.clone();
        Ok(off_the_runtime(move || state.snapshot()).await.map_err(io::Error::other)??)
    }
}

fn command_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.command.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
