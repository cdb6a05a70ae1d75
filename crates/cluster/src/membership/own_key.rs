//! The key of this node on its disk and in TLS, which changes in steps that are durable each.

use std::sync::Arc;

use sessile_store::{KeyFile, KeyHash, StoreError, off_the_runtime};
use tokio::sync::{Mutex, MutexGuard};
use tonic::Status;

use crate::transport::{NodeKey, Tls};

/// The key of this node, which it may change.
pub(crate) struct OwnKey {
    file: KeyFile,
    tls: Arc<Tls>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl OwnKey {
    pub(crate) fn new(file: KeyFile, tls: Arc<Tls>) -> Self {
        Self { file, tls, changing: Mutex::default() }
    }

    /// By what this node is recognised where it makes or takes a connection.
    pub(super) fn hash(&self) -> KeyHash {
        self.tls.key()
    }

    /// Held for as long as it is changed; `None` if it is being changed.
    pub(super) fn change(&self) -> Option<MutexGuard<'_, ()>> {
        self.changing.try_lock().ok()
    }

    /// The key that is to be in use next.
    pub(super) async fn next(&self) -> Result<Option<KeyHash>, Status> {
        let next = self.read_next().await?;
        next.map(|next| next.hash().map_err(internal)).transpose()
    }

    /// Makes the next one, if there is none.
    pub(super) async fn make_next(&self) -> Result<(), Status> {
        if self.read_next().await?.is_some() {
            return Ok(());
        }
        let (key, file) = (NodeKey::generate().map_err(internal)?, self.file.clone());
        // On the disk before anybody hears of it.
        on_disk(move || file.write_next(key.secret())).await
    }

    /// The next one is in use from now on; what is connected stays so.
    pub(super) async fn use_next(&self) -> Result<(), Status> {
        let Some(next) = self.read_next().await? else { return Ok(()) };
        let file = self.file.clone();
        on_disk(move || file.use_next()).await?;
        self.tls.has_key(&next).map_err(internal)
    }

    async fn read_next(&self) -> Result<Option<NodeKey>, Status> {
        let file = self.file.clone();
        let secret = on_disk(move || file.read_next()).await?;
        secret.map(|secret| NodeKey::read(&secret)).transpose().map_err(internal)
    }
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("the key of this node: {error}"))
}

async fn on_disk<T: Send + 'static>(
    does: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Status> {
    off_the_runtime(does).await.map_err(|_| internal("a panic; this is a defect"))?.map_err(internal)
}
