//! Sessions in memory, on a clock that is moved by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sessile_core::{
    Condition, Delete, Idempotency, IdempotencyKey, NamespaceId, NamespaceTable, Put, Renew, SessionKey, Ttl, Version,
};
use sessile_http::{Deleted, LocalRead, Session, Sessions, SessionsError, Written};
use tokio::sync::Semaphore;
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
    /// Those that it knows of when it is current.
    not_yet_known: Option<Arc<NamespaceTable>>,
    /// How many renewals were asked for.
    renewals: usize,
    /// What writes with idempotency keys were last told, by the keys.
    answered: HashMap<IdempotencyKey, Told>,
}

/// Which request it was, and what it was told.
type Told = (String, Option<Version>, Option<Session>);

struct Record {
    value: Bytes,
    version: Version,
    expires_at: Option<Duration>,
    ttl: Ttl,
}

pub(crate) struct Fake {
    state: Mutex<State>,
    /// Calls wait for a permit each while the gate is shut.
    gate: Semaphore,
    shut: std::sync::atomic::AtomicBool,
    /// One permit for each call that has arrived.
    pub(crate) arrivals: Semaphore,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            gate: Semaphore::new(0),
            shut: false.into(),
            arrivals: Semaphore::new(0),
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

    /// There are these by now, and it does not know it yet.
    pub(crate) fn will_hear_of(&self, namespaces: NamespaceTable) {
        self.state.lock().not_yet_known = Some(Arc::new(namespaces));
    }

    pub(crate) fn be_in(&self, trouble: impl Into<Option<Trouble>>) {
        self.state.lock().trouble = trouble.into();
    }

    pub(crate) fn stored(&self) -> usize {
        self.state.lock().records.len()
    }

    pub(crate) fn renewals(&self) -> usize {
        self.state.lock().renewals
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
        let trouble = self.state.lock().trouble;
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
            due: record.ttl.as_secs().and_then(|seconds| {
                let left = record.expires_at? - self.clock;
                (left <= Duration::from_secs(seconds) / 2).then_some(record.ttl)
            }),
        })
    }
}

impl State {
    /// What the same request was told, if it has come before.
    #[expect(clippy::type_complexity, reason = "what a write and what a delete is told, side by side")]
    fn again(
        &self,
        named: Option<&Idempotency>,
        request: &str,
    ) -> Result<Option<(Option<Version>, Option<Session>)>, SessionsError> {
        match named.and_then(|named| self.answered.get(&named.key)) {
            Some((before, version, taken)) if before == request => Ok(Some((*version, taken.clone()))),
            Some(_) => Err(SessionsError::IdempotencyKeyReused),
            None => Ok(None),
        }
    }

    fn answer(
        &mut self,
        named: Option<Idempotency>,
        request: String,
        version: Option<Version>,
        taken: Option<Session>,
    ) {
        if let Some(Idempotency { key, .. }) = named {
            self.answered.insert(key, (request, version, taken));
        }
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
    async fn namespaces(&self, _: Instant) -> Result<Option<Arc<NamespaceTable>>, SessionsError> {
        Ok(self.state.lock().namespaces.clone())
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
        idempotency: Option<Idempotency>,
        _: Instant,
    ) -> Result<Written, SessionsError> {
        self.arrive(Some(&key)).await?;
        let mut state = self.state.lock();
        let request = format!("{:?} {:?} {put:?}", key.as_bytes(), put.value);
        if let Some((version, _)) = state.again(idempotency.as_ref(), &request)? {
            return version.map(|version| Written { version }).ok_or(SessionsError::IdempotencyKeyReused);
        }
        holds(&put.condition, state.live(namespace, &key).as_ref())?;
        state.last += 1;
        let version = Version::new(state.last);
        let expires_at = put.ttl.as_secs().map(|seconds| state.clock + Duration::from_secs(seconds));
        let record = Record { value: put.value, version, expires_at, ttl: put.ttl };
        state.records.insert((namespace, key.to_bytes()), record);
        state.answer(idempotency, request, Some(version), None);
        Ok(Written { version })
    }

    async fn delete(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        delete: Delete,
        idempotency: Option<Idempotency>,
        _: Instant,
    ) -> Result<Deleted, SessionsError> {
        self.arrive(Some(&key)).await?;
        let mut state = self.state.lock();
        let request = format!("{:?} {delete:?}", key.as_bytes());
        if let Some((_, taken)) = state.again(idempotency.as_ref(), &request)? {
            return Ok(Deleted { existed: taken.is_some(), taken });
        }
        let live = state.live(namespace, &key);
        holds(&delete.condition, live.as_ref())?;
        state.records.remove(&(namespace, key.to_bytes()));
        let existed = live.is_some();
        let taken = live.filter(|_| delete.take);
        state.answer(idempotency, request, None, taken.clone());
        Ok(Deleted { existed, taken })
    }

    async fn renew(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        renew: Renew,
        _: Option<Idempotency>,
        _: Instant,
    ) -> Result<Option<Written>, SessionsError> {
        self.arrive(Some(&key)).await?;
        let mut state = self.state.lock();
        state.renewals += 1;
        let live = state.live(namespace, &key);
        holds(&renew.condition, live.as_ref())?;
        let Some(live) = live else { return Ok(None) };
        let expires_at = renew.ttl.as_secs().map(|seconds| state.clock + Duration::from_secs(seconds));
        if let Some(record) = state.records.get_mut(&(namespace, key.to_bytes()))
            && (!renew.if_due || live.due.is_some())
        {
            (record.expires_at, record.ttl) = (expires_at, renew.ttl);
        }
        Ok(Some(Written { version: live.version }))
    }

    async fn is_current(&self, _: Instant) -> Result<(), SessionsError> {
        self.arrive(None).await?;
        let mut state = self.state.lock();
        if let Some(newer) = state.not_yet_known.take() {
            state.namespaces = Some(newer);
        }
        Ok(())
    }

    async fn is_ready(&self, _: Instant) -> Result<(), SessionsError> {
        self.arrive(None).await
    }
}
