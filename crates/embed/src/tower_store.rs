use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sessile_cluster::WallClock;
use sessile_core::Condition;
use time::OffsetDateTime;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};

use crate::session::WriteOptions;
use crate::sessions::Sessions;
use crate::sessions_error::SessionsError;

/// What keys begin with. So they are a group: counted by itself, and ended by `sessile namespace truncate --group`.
const GROUP: &str = "tower-sessions";
/// How many ids are tried for a new session. Of 128 random bits the first is free, unless the source of them is broken.
const TRIES: usize = 4;

/// Keeps the sessions of `tower-sessions`: all copies of an application that are members of one cluster share them.
///
/// A session that has ended stays ended: a request that was under way while somebody else logged its user out, and saves its
/// session then, changes nothing.
///
/// ```
/// # async fn layer(node: sessile_embed::Node) {
/// use sessile_embed::TowerStore;
/// use tower_sessions::SessionManagerLayer;
///
/// let layer = SessionManagerLayer::new(TowerStore::new(node.sessions()));
/// # }
/// ```
#[derive(Clone)]
pub struct TowerStore {
    sessions: Sessions,
    wall_clock: WallClock,
}

/// What is stored of a session: all but its id, which is a credential and stands in the key.
#[derive(Serialize, Deserialize)]
struct Stored {
    data: HashMap<String, Value>,
    expiry_date: OffsetDateTime,
}

impl TowerStore {
    /// Keeps them there, beside what else is there.
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions, wall_clock: WallClock::default() }
    }

    /// Stores it, if that holds of what is there. What has expired by then is not worth it.
    async fn store(&self, record: &Record, condition: Condition) -> Result<Kept> {
        let Some(ttl) = self.left(record.expiry_date) else { return Ok(Kept::Expired) };
        let stored = Stored { data: record.data.clone(), expiry_date: record.expiry_date };
        let value = serde_json::to_vec(&stored).map_err(|error| Error::Encode(error.to_string()))?;
        let options = WriteOptions::default().ttl(ttl).only_if(condition);
        match self.sessions.put(&key(&record.id), value, options).await {
            Ok(_) => Ok(Kept::Stored),
            Err(SessionsError::ConditionFailed) => Ok(Kept::Refused),
            Err(error) => Err(backend(&error)),
        }
    }

    /// How long there is until then.
    fn left(&self, expiry_date: OffsetDateTime) -> Option<Duration> {
        let expires_ms = u64::try_from(expiry_date.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let left = expires_ms.saturating_sub(self.wall_clock.now().as_millis());
        (left > 0).then(|| Duration::from_millis(left))
    }
}

/// What became of what was to be stored.
enum Kept {
    Stored,
    Refused,
    Expired,
}

#[async_trait]
impl SessionStore for TowerStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        for _ in 0..TRIES {
            match self.store(record, Condition::Absent).await? {
                Kept::Stored | Kept::Expired => return Ok(()),
                Kept::Refused => record.id = Id::default(),
            }
        }
        Err(Error::Backend(format!("{TRIES} new ids of sessions were in use; see to this machine's random numbers")))
    }

    async fn save(&self, record: &Record) -> Result<()> {
        match self.store(record, Condition::Present).await? {
            Kept::Stored | Kept::Refused => Ok(()),
            Kept::Expired => self.delete(&record.id).await,
        }
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let Some(found) = self.sessions.get(&key(id)).await.map_err(|error| backend(&error))? else { return Ok(None) };
        // What it could not read may stand in serde's own words.
        let unreadable =
            |_| Error::Decode("a session is none of tower-sessions; keep nothing else under its keys".into());
        let Stored { data, expiry_date } = serde_json::from_slice(&found.value).map_err(unreadable)?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        self.sessions.delete(&key(id), Condition::None).await.map(drop).map_err(|error| backend(&error))
    }
}

fn key(id: &Id) -> String {
    format!("{GROUP}:{id}")
}

fn backend(error: &SessionsError) -> Error {
    Error::Backend(error.to_string())
}

impl fmt::Debug for TowerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TowerStore")
    }
}
