use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sessile_core::{Condition, Delete, Idempotency, NamespaceSettings, NamespaceTable, Put, Renew, Ttl, Version};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::condition::{ReadCondition, Verdict, WriteCondition, entity_tag, has_weak_tag};
use crate::problem::{self, Failure, Problem};
use crate::renewals::Renewals;
use crate::room::Room;
use crate::slow::{SLOW_AFTER, SlowRequest, SlowRequests};
use crate::target::{self, Miss, Target};
use crate::ttl_header::{self, TTL};
use crate::value::{self, AnswerRoom, BodyRooms};
use crate::{
    ApiConfig, HttpMetrics, LocalRead, ReadConsistency, Session, Sessions, SessionsError, access, endpoints,
    idempotency, prefer, request_id, traced,
};

/// Tells that a preference was followed (RFC 7240, 3).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A value is nobody's but the client's: not to be kept, and not to be changed on its way, which would weaken its entity
/// tag (RFC 9111, 5.2.2).
const SECRET: HeaderValue = HeaderValue::from_static("no-store, no-transform");

/// How long after its deadline a store that does not keep it is waited for: long enough never to overtake an answer
/// that is on its way, short enough for the clients that give up after 3 s.
const GRACE: Duration = Duration::from_millis(250);

/// The session API and the endpoints beside it. `metrics` is what `/metrics` serves: see [`render`](crate::render).
///
/// The endpoints win over a base URI that would cover them.
pub fn router<S: Sessions>(
    sessions: Arc<S>,
    config: ApiConfig,
    http_metrics: HttpMetrics,
    metrics: impl Fn() -> String + Send + Sync + 'static,
) -> Router {
    let endpoints = endpoints::router(&sessions, &config, metrics);
    let bodies = BodyRooms::new(config.max_body_bytes, &http_metrics);
    let answers = Room::new(config.max_answer_bytes, http_metrics.room("answers"));
    let own = Arc::new(config.namespaces());
    let renewals = Renewals::default();
    let slow = SlowRequests::default();
    let api = Arc::new(Api { sessions, config, own, metrics: http_metrics, bodies, answers, renewals, slow });
    endpoints.fallback(move |request: Request| {
        let api = Arc::clone(&api);
        async move { api.serve(request).await }
    })
}

struct Api<S> {
    sessions: Arc<S>,
    config: ApiConfig,
    /// The namespaces while the store does not tell which there are.
    own: Arc<NamespaceTable>,
    metrics: HttpMetrics,
    bodies: BodyRooms,
    answers: Arc<Room>,
    renewals: Renewals,
    slow: SlowRequests,
}

/// Why a request gets no answer but a problem. The reason is for the log; neither it nor the error shows a key.
enum Refusal {
    Request(Problem, &'static str),
    Store(SessionsError),
}

impl From<(Problem, &'static str)> for Refusal {
    fn from((problem, reason): (Problem, &'static str)) -> Self {
        Self::Request(problem, reason)
    }
}

impl From<Miss> for Refusal {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::Outside => {
                Self::Request(Problem::NotFound, "the path is outside every base URI, or the key has a slash")
            }
            Miss::Closed(problem, reason) | Miss::Never(problem, reason) => Self::Request(problem, reason),
        }
    }
}

impl From<SessionsError> for Refusal {
    fn from(error: SessionsError) -> Self {
        Self::Store(error)
    }
}

const LATE_BODY: Refusal = Refusal::Request(Problem::RequestTimeout, "the body did not arrive in time");

fn malformed(reason: &'static str) -> Refusal {
    Refusal::Request(Problem::BadRequest, reason)
}

/// Logs why, and says what a client may know of it.
fn refused(parts: &Parts, id: &str, refusal: &Refusal) -> Response {
    let problem = match refusal {
        Refusal::Request(problem, reason) => {
            tracing::debug!(request_id = id, reason, "request refused");
            *problem
        }
        Refusal::Store(error @ SessionsError::Internal(_)) => {
            tracing::error!(request_id = id, %error, "a request failed");
            Problem::from(error)
        }
        Refusal::Store(error) => {
            tracing::debug!(request_id = id, %error, "the store refused a request");
            match Problem::from(error) {
                Problem::PreconditionFailed if has_weak_tag(&parts.headers) => Problem::WeakEntityTag,
                problem => problem,
            }
        }
    };
    problem_response(parts, problem)
}

fn problem_response(parts: &Parts, problem: Problem) -> Response {
    problem.response(&target::instance(parts.uri.path()), parts.version)
}

impl<S: Sessions> Api<S> {
    async fn serve(&self, request: Request) -> Response {
        let arrived = Instant::now();
        let (parts, body) = request.into_parts();
        let watch = self.metrics.watch(&parts.method);
        let id = request_id::of(&parts.headers);
        let span = tracing::debug_span!("request", request_id = id, method = watch.method());
        let traced = traced::begin(self.config.traces.as_ref(), &parts, watch.method());
        let answer = AssertUnwindSafe(self.answer(&parts, body)).catch_unwind().instrument(span);
        let answer = match &traced {
            None => answer.await,
            // Boxed: the few that are traced must not make the others' futures larger.
            Some(traced) => traced.scope(Box::pin(answer)).await,
        };
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => refused(&parts, id, &refusal),
            Err(_panic) => {
                // What it says stays untold: it may quote what it choked on.
                tracing::error!(request_id = id, method = watch.method(), "a request's handler panicked");
                problem_response(&parts, Problem::ServerError)
            }
        };
        let took = arrived.elapsed();
        tracing::debug!(
            request_id = id,
            method = watch.method(),
            status = response.status().as_u16(),
            ?took,
            "answered"
        );
        if let Some(Failure(reason)) = response.extensions().get() {
            self.metrics.failed(reason);
        }
        if let Some(traced) = traced {
            traced::end(traced, watch.method(), response.status());
        }
        if took >= SLOW_AFTER {
            self.tell_slow(&parts, watch.method(), response.status(), took);
        }
        watch.finish(response.status(), took);
        response
    }

    fn tell_slow(&self, parts: &Parts, method: &'static str, status: StatusCode, took: Duration) {
        // It was looked up when the request came, a second ago. What is not known without waiting is left out.
        let table = self.sessions.namespaces(Instant::now()).now_or_never().and_then(Result::ok).flatten();
        let table = table.unwrap_or_else(|| Arc::clone(&self.own));
        let target = target::of(&table, parts.uri.path(), |_, _| Ok(())).ok();
        let about = target.as_ref().map(|target| (target.settings.name.as_str(), &target.key));
        let request_id = request_id::of(&parts.headers);
        self.slow.tell(&SlowRequest { request_id, method, status, took, about });
    }

    async fn answer(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(malformed("there is a query string"));
        }
        if !problem::is_allowed(&parts.method) {
            return Err(Refusal::Request(Problem::MethodNotAllowed, "the method is not allowed"));
        }
        // Of one moment: whoever changes a namespace meanwhile does so for the next request.
        let deadline = self.deadline();
        let table = self.namespaces(deadline).await?;
        let newer;
        let (table, target) = match access::target(&*self.sessions, &table, parts) {
            Ok(target) => (&table, target),
            Err(miss) if miss.may_be_late() => {
                // Its namespace may have been made after what this node knows of, and its token added: it would lose a
                // session to say no.
                by(deadline, SessionsError::NoQuorum, self.sessions.is_current(deadline)).await?;
                newer = self.namespaces(deadline).await?;
                (&newer, access::target(&*self.sessions, &newer, parts)?)
            }
            Err(miss) => return Err(miss.into()),
        };
        self.metrics.of_namespace(target.namespace, &parts.method);
        let answer = match parts.method {
            Method::GET | Method::HEAD => self.read(parts, target).await,
            Method::DELETE => self.delete(parts, target).await,
            Method::PATCH => self.renew(parts, target, body).await,
            _ => self.write(&parts.headers, target, body).await,
        };
        access::still_admits(&*self.sessions, table, parts, deadline).await?;
        answer
    }

    async fn read(&self, parts: &Parts, target: Target<'_>) -> Result<Response, Refusal> {
        let Target { namespace, settings, key } = target;
        let condition = ReadCondition::of(&parts.headers).map_err(malformed)?;
        let deadline = self.deadline();
        match settings.read_consistency {
            ReadConsistency::Linearizable => {
                let session = self.sessions.get(namespace, key.clone(), deadline);
                let session = by(deadline, SessionsError::NoQuorum, session).await?;
                self.renewals.after_read(&*self.sessions, (namespace, settings, key), session.as_ref(), deadline).await;
                found(self.weighed(session, parts).await?, &condition)
            }
            ReadConsistency::Local => {
                let read = self.sessions.get_local(namespace, key.clone(), deadline);
                let LocalRead { session, age } = by(deadline, SessionsError::NoQuorum, read).await?;
                self.renewals.after_read(&*self.sessions, (namespace, settings, key), session.as_ref(), deadline).await;
                let session = self.weighed(session, parts).await?;
                // That there is nothing, or another version, is as old as a value would be.
                let mut response = found(session, &condition)
                    .unwrap_or_else(|refusal| refused(parts, request_id::of(&parts.headers), &refusal));
                tell_age(response.headers_mut(), age);
                Ok(response)
            }
        }
    }

    async fn write(&self, headers: &HeaderMap, target: Target<'_>, body: Body) -> Result<Response, Refusal> {
        let Target { namespace, settings, key } = target;
        let asked = ttl_header::requested(headers).map_err(malformed)?;
        let ttl = settings.ttl.grant(asked);
        let condition = WriteCondition::of(headers).map_err(malformed)?;
        let idempotency = named(headers, asked)?;
        let max = max_value(settings, self.config.max_value_bytes);
        value::check_declared(&body, max)?;
        let WriteCondition::Judged(condition) = condition else { return Err(SessionsError::ConditionFailed.into()) };
        let held = self.bodies.take(value::size(&body, max)).await?;
        let received = value::receive(body, max, held);
        let received = tokio::time::timeout(self.config.body_timeout, received).await.map_err(|_| LATE_BODY)??;
        let put = Put { value: received.value.clone(), ttl, condition };
        let deadline = self.deadline();
        let written = self.sessions.put(namespace, key, put, idempotency, deadline);
        let written = by(deadline, SessionsError::OutcomeUnknown, written).await;
        if let Err(error) = &written {
            self.metrics.limited(settings.name.as_str(), error);
        }
        let written = written?;
        let mut response = empty(StatusCode::CREATED);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        tell_version(headers, written.version);
        tell_ttl(headers, ttl.as_secs());
        Ok(response)
    }

    async fn delete(&self, parts: &Parts, target: Target<'_>) -> Result<Response, Refusal> {
        let Target { namespace, key, .. } = target;
        let condition = judged(&parts.headers)?;
        let idempotency = named(&parts.headers, None)?;
        let delete = Delete { condition, take: prefer::wants_representation(&parts.headers) };
        // Before it is removed: there is no second time to hand it out.
        let room = match delete.take {
            true => Some(AnswerRoom::take(self.config.max_value_bytes, parts.extensions.get(), &self.answers).await?),
            false => None,
        };
        let deadline = self.deadline();
        let deleted = self.sessions.delete(namespace, key, delete, idempotency, deadline);
        let deleted = by(deadline, SessionsError::OutcomeUnknown, deleted).await?;
        let (Some(taken), Some(room)) = (deleted.taken, room) else { return Ok(empty(StatusCode::NO_CONTENT)) };
        let mut response = with_value(Session { value: room.fill(taken.value), ..taken });
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=representation"));
        Ok(response)
    }

    /// Gives what is there a new lifetime.
    async fn renew(&self, parts: &Parts, target: Target<'_>, body: Body) -> Result<Response, Refusal> {
        let Target { namespace, settings, key } = target;
        let asked = ttl_header::requested(&parts.headers).map_err(malformed)?;
        let ttl = settings.ttl.grant(asked);
        let condition = judged(&parts.headers)?;
        let idempotency = named(&parts.headers, asked)?;
        let is_empty = tokio::time::timeout(self.config.body_timeout, value::is_empty(body)).await;
        match is_empty {
            Ok(true) => {}
            Ok(false) => return Err(Refusal::Request(Problem::RenewalWithBody, "a renewal has a body")),
            Err(_) => return Err(LATE_BODY),
        }
        let deadline = self.deadline();
        let renew = Renew { ttl, condition, if_due: false };
        let renewed = self.sessions.renew(namespace, key, renew, idempotency, deadline);
        let renewed = by(deadline, SessionsError::OutcomeUnknown, renewed).await;
        if let Err(error) = &renewed {
            self.metrics.limited(settings.name.as_str(), error);
        }
        let renewed = renewed?.ok_or(Refusal::Request(Problem::NotFound, "there is no such session"))?;
        let mut response = empty(StatusCode::NO_CONTENT);
        tell_version(response.headers_mut(), renewed.version);
        tell_ttl(response.headers_mut(), ttl.as_secs());
        Ok(response)
    }

    /// What is to be sent takes its room among the answers.
    async fn weighed(&self, session: Option<Session>, parts: &Parts) -> Result<Option<Session>, Refusal> {
        let Some(session) = session else { return Ok(None) };
        let value = value::weigh(session.value, parts.extensions.get(), &self.answers).await?;
        Ok(Some(Session { value, ..session }))
    }

    /// The namespaces there are, as far as this node knows.
    async fn namespaces(&self, deadline: Instant) -> Result<Arc<NamespaceTable>, SessionsError> {
        let mut asked = std::pin::pin!(self.sessions.namespaces(deadline));
        // Nearly always they are known, and no timer need be set.
        let known = match asked.as_mut().now_or_never() {
            Some(known) => known,
            None => by(deadline, SessionsError::NoQuorum, asked).await,
        };
        Ok(known?.unwrap_or_else(|| Arc::clone(&self.own)))
    }

    /// A request has its whole time from when it is whole itself.
    fn deadline(&self) -> Instant {
        Instant::now() + self.config.request_timeout
    }
}

/// What a request is called by, if it is.
fn named(headers: &HeaderMap, asked: Option<Ttl>) -> Result<Option<Idempotency>, Refusal> {
    idempotency::of(headers, asked).map_err(|reason| Refusal::Request(Problem::NoIdempotencyKey, reason))
}

/// What must hold for a write that has no body.
fn judged(headers: &HeaderMap) -> Result<Condition, Refusal> {
    match WriteCondition::of(headers).map_err(malformed)? {
        WriteCondition::Judged(condition) => Ok(condition),
        WriteCondition::Never => Err(SessionsError::ConditionFailed.into()),
    }
}

/// The largest value that a namespace takes, in bytes, on a node that takes so much.
fn max_value(settings: &NamespaceSettings, of_node: usize) -> usize {
    let own = usize::try_from(settings.max_value).unwrap_or(usize::MAX);
    if own == 0 { of_node } else { own.min(of_node) }
}

/// Waits for the store, which answers by the deadline; should it not, that is `late`.
async fn by<T>(
    deadline: Instant,
    late: SessionsError,
    answer: impl Future<Output = Result<T, SessionsError>>,
) -> Result<T, SessionsError> {
    tokio::time::timeout_at(deadline + GRACE, answer).await.unwrap_or(Err(late))
}

/// The answer to a read that found that.
fn found(session: Option<Session>, condition: &ReadCondition) -> Result<Response, Refusal> {
    let session = session.ok_or(Refusal::Request(Problem::NotFound, "there is no such session"))?;
    match condition.judge(session.version) {
        Verdict::Send => Ok(with_value(session)),
        Verdict::NotModified => {
            let mut response = empty(StatusCode::NOT_MODIFIED);
            tell_version(response.headers_mut(), session.version);
            Ok(response)
        }
        Verdict::Failed => Err(SessionsError::ConditionFailed.into()),
    }
}

fn with_value(session: Session) -> Response {
    let mut response = Response::new(Body::from(session.value));
    let headers = response.headers_mut();
    headers.reserve(6);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, SECRET);
    tell_version(headers, session.version);
    tell_ttl(headers, session.remaining.map(|remaining| remaining.as_secs()));
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, SECRET);
    response
}

fn tell_version(headers: &mut HeaderMap, version: Version) {
    headers.insert(ETAG, entity_tag(version));
}

/// In whole seconds (RFC 9111, 5.1), rounded up: it may be younger, never older.
fn tell_age(headers: &mut HeaderMap, age: Duration) {
    let seconds = age.as_secs().saturating_add(u64::from(age.subsec_nanos() > 0));
    headers.insert(AGE, HeaderValue::from(seconds));
}

/// What never expires has no TTL to tell.
fn tell_ttl(headers: &mut HeaderMap, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        headers.insert(TTL, HeaderValue::from(seconds));
    }
}
