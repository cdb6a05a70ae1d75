//! What the session API costs by itself, over sessions in memory and without a connection: `cargo bench -p sessile-http`.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use sessile_core::{Delete, Idempotency, NamespaceId, Put, Renew, SessionKey, Version};
use sessile_http::{ApiConfig, Deleted, HttpMetrics, LocalRead, Session, Sessions, SessionsError, Written, router};
use tokio::time::Instant;
use tower::ServiceExt as _;

/// A usual session.
const VALUE_BYTES: usize = 1_800;

fn value() -> Bytes {
    vec![0x5a; VALUE_BYTES].into()
}

/// Every key has the same session.
struct OneSession(Session);

impl Sessions for OneSession {
    async fn get(&self, _: NamespaceId, _: SessionKey, _: Instant) -> Result<Option<Session>, SessionsError> {
        Ok(Some(self.0.clone()))
    }

    async fn get_local(&self, _: NamespaceId, _: SessionKey, _: Instant) -> Result<LocalRead, SessionsError> {
        Ok(LocalRead { session: Some(self.0.clone()), age: Duration::ZERO })
    }

    async fn put(
        &self,
        _: NamespaceId,
        _: SessionKey,
        _: Put,
        _: Option<Idempotency>,
        _: Instant,
    ) -> Result<Written, SessionsError> {
        Ok(Written { version: self.0.version })
    }

    async fn delete(
        &self,
        _: NamespaceId,
        _: SessionKey,
        _: Delete,
        _: Option<Idempotency>,
        _: Instant,
    ) -> Result<Deleted, SessionsError> {
        Ok(Deleted { existed: true, taken: None })
    }

    async fn renew(
        &self,
        _: NamespaceId,
        _: SessionKey,
        _: Renew,
        _: Option<Idempotency>,
        _: Instant,
    ) -> Result<Option<Written>, SessionsError> {
        Ok(Some(Written { version: self.0.version }))
    }

    async fn is_current(&self, _: Instant) -> Result<(), SessionsError> {
        Ok(())
    }

    async fn is_ready(&self, _: Instant) -> Result<(), SessionsError> {
        Ok(())
    }
}

fn requests(criterion: &mut Criterion) {
    let remaining = Some(Duration::from_secs(60));
    let session = Session { value: value(), version: Version::new(1), remaining, due: None };
    let Ok(metrics) = HttpMetrics::register(&prometheus::Registry::new()) else { return };
    let api = router(OneSession(session).into(), ApiConfig::default(), metrics, String::new);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let mut group = criterion.benchmark_group("http");
    for method in ["GET", "POST"] {
        group.bench_function(method, |bencher| {
            bencher.iter(|| {
                let body = if method == "POST" { value().into() } else { Body::empty() };
                let uri = "/sessions/v1/enwiki%3AMWSession%3A00000000000000000000000000000001";
                let request = Request::builder().method(method).uri(uri).body(body);
                request.map(|request| runtime.block_on(api.clone().oneshot(request)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
