//! Sessions in memory, on a clock that is moved by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sessile_core::{Condition, Delete, NamespaceId, NamespaceTable, NamespaceToken, Put, SessionKey, Version};
use sessile_http::{Deleted, LocalRead, Session, Sessions, SessionsError, Written};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Makes one of the store's errors, which cannot be cloned.
pub(crate) type Failure = fn() -> SessionsError;

/// What the fake does instead of answering.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Error(Failure),
    Panic,
    /// Never answers, deadline or not.
    Silence,
}

#[derive(Default)]
struct State {
    clock: Duration,
    last: u64,
    records: HashMap<(NamespaceId, Bytes), Record>,
    trouble: Option<Trouble>,
    /// How old what it reads locally is.
    age: Duration,
    namespaces: Option<Arc<NamespaceTable>>,
    /// What they are from the next answered read on.
    next: Option<Arc<NamespaceTable>>,
    /// By which tokens requests were let in.
    used: Vec<(NamespaceId, NamespaceToken)>,
    is_opening: bool,
}

struct Record {
    value: Bytes,
    version: Version,
    expires_at: Option<Duration>,
}

pub(crate) struct Fake {
    state: Mutex<State>,
    /// Calls wait for a permit each while the gate is shut.
    gate: Semaphore,
    shut: std::sync::atomic::AtomicBool,
    /// One permit for each call that has arrived.
    pub(crate) arrivals: Semaphore,
    opened: Notify,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            gate: Semaphore::new(0),
            shut: false.into(),
            arrivals: Semaphore::new(0),
            opened: Notify::new(),
        })
    }

    pub(crate) fn pass_time(&self, time: Duration) {
        self.state.lock().clock += time;
    }

    /// From now on its local reads are that old.
    pub(crate) fn lag(&self, age: Duration) {
        self.state.lock().age = age;
    }

    /// From now on there are these namespaces.
    pub(crate) fn have(&self, namespaces: NamespaceTable) {
        self.state.lock().namespaces = Some(Arc::new(namespaces));
    }

    /// When it answers the next time, there are these.
    pub(crate) fn will_have(&self, namespaces: NamespaceTable) {
        self.state.lock().next = Some(Arc::new(namespaces));
    }

    /// From now on it waits to know which namespaces there are, or knows it.
    pub(crate) fn is_opening(&self, is_opening: bool) {
        self.state.lock().is_opening = is_opening;
        self.opened.notify_waiters();
    }

    /// By which tokens requests were let in, since this was last asked.
    pub(crate) fn take_used(&self) -> Vec<(NamespaceId, NamespaceToken)> {
        std::mem::take(&mut self.state.lock().used)
    }

    pub(crate) fn be_in(&self, trouble: impl Into<Option<Trouble>>) {
        self.state.lock().trouble = trouble.into();
    }

    pub(crate) fn stored(&self) -> usize {
        self.state.lock().records.len()
    }

    pub(crate) fn shut_gate(&self) {
        self.shut.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub(crate) fn open_gate(&self) {
        self.shut.store(false, std::sync::atomic::Ordering::SeqCst);
        self.gate.add_permits(1000);
    }

    async fn arrive(&self, key: Option<&SessionKey>) -> Result<(), SessionsError> {
        self.arrivals.add_permits(1);
        if self.shut.load(std::sync::atomic::Ordering::SeqCst) {
            self.gate.acquire().await.expect("the gate is never closed").forget();
        }
        let trouble = {
            let mut state = self.state.lock();
            state.namespaces = state.next.take().or_else(|| state.namespaces.take());
            state.trouble
        };
        match trouble {
            None => Ok(()),
            Some(Trouble::Error(error)) => Err(error()),
            // As a careless defect would: it quotes the key.
            Some(Trouble::Panic) => {
                let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()));
                std::panic::resume_unwind(Box::new(format!("no luck with {key:?}")))
            }
            Some(Trouble::Silence) => std::future::pending().await,
        }
    }
}

impl State {
    fn live(&mut self, namespace: NamespaceId, key: &SessionKey) -> Option<Session> {
        let place = (namespace, key.to_bytes());
        let record = self.records.get(&place)?;
        if record.expires_at.is_some_and(|end| end <= self.clock) {
            self.records.remove(&place);
            return None;
        }
        Some(Session {
            value: record.value.clone(),
            version: record.version,
            remaining: record.expires_at.map(|end| end - self.clock),
        })
    }
}

fn holds(condition: &Condition, live: Option<&Session>) -> Result<(), SessionsError> {
    let holds = match condition {
        Condition::None => true,
        Condition::Absent => live.is_none(),
        Condition::Present => live.is_some(),
        Condition::Matches(versions) => live.is_some_and(|session| versions.contains(&session.version)),
        Condition::Differs(versions) => live.is_none_or(|session| !versions.contains(&session.version)),
    };
    holds.then_some(()).ok_or(SessionsError::ConditionFailed)
}

impl Sessions for Fake {
    fn namespaces(&self) -> Option<Arc<NamespaceTable>> {
        let state = self.state.lock();
        state.namespaces.clone().filter(|_| !state.is_opening)
    }

    async fn opened(&self, _: Instant) -> Result<(), SessionsError> {
        loop {
            let opened = self.opened.notified();
            if !self.state.lock().is_opening {
                return Ok(());
            }
            self.arrivals.add_permits(1);
            opened.await;
        }
    }

    async fn current(&self, _: Instant) -> Result<(), SessionsError> {
        self.arrive(None).await
    }

    fn token_used(&self, namespace: NamespaceId, token: &NamespaceToken) {
        self.state.lock().used.push((namespace, token.clone()));
    }

    async fn get(&self, namespace: NamespaceId, key: SessionKey, _: Instant) -> Result<Option<Session>, SessionsError> {
        self.arrive(Some(&key)).await?;
        Ok(self.state.lock().live(namespace, &key))
    }

    async fn get_local(&self, namespace: NamespaceId, key: SessionKey, _: Instant) -> Result<LocalRead, SessionsError> {
        self.arrive(Some(&key)).await?;
        let mut state = self.state.lock();
        Ok(LocalRead { session: state.live(namespace, &key), age: state.age })
    }

    async fn put(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        put: Put,
        _: Instant,
    ) -> Result<Written, SessionsError> {
        self.arrive(Some(&key)).await?;
        let mut state = self.state.lock();
        holds(&put.condition, state.live(namespace, &key).as_ref())?;
        state.last += 1;
        let version = Version::new(state.last);
        let expires_at = put.ttl.as_secs().map(|seconds| state.clock + Duration::from_secs(seconds));
        state.records.insert((namespace, key.to_bytes()), Record { value: put.value, version, expires_at });
        Ok(Written { version })
    }

    async fn delete(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        delete: Delete,
        _: Instant,
    ) -> Result<Deleted, SessionsError> {
        self.arrive(Some(&key)).await?;
        let mut state = self.state.lock();
        let live = state.live(namespace, &key);
        holds(&delete.condition, live.as_ref())?;
        state.records.remove(&(namespace, key.to_bytes()));
        Ok(Deleted { existed: live.is_some(), taken: live.filter(|_| delete.take) })
    }

    async fn is_ready(&self, _: Instant) -> Result<(), SessionsError> {
        self.arrive(None).await
    }
}
