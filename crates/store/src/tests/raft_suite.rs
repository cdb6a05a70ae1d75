//! openraft's own suite for storage, on both engines.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::{EngineKind, open};
use crate::{LogStore, StateMachine, TypeConfig};

struct Builder(EngineKind);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(&dir.path().join("data"), self.0).unwrap();
        // The suite purges entries that it never applied, which a node's own log store refuses.
        let log = LogStore::new(store.log.clone(), None);
        Ok((dir, log, store.state_machine()))
    }
}

#[tokio::test]
async fn openrafts_storage_suite_passes_on_fjall() {
    Suite::test_all(Builder(EngineKind::Fjall)).await.unwrap();
}

#[tokio::test]
async fn openrafts_storage_suite_passes_on_sled() {
    Suite::test_all(Builder(EngineKind::Sled)).await.unwrap();
}
