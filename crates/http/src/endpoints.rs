use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::problem::Problem;
use crate::room::Room;
use crate::{ApiConfig, Sessions, content_policy, openapi, target, value};

/// What `/livez` answers: whoever gets it has found an HTTP port of a node.
pub const LIVE: &str = "The process is running.\n";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Kask's; RFC 9512's `application/yaml` came later.
const YAML: &str = "application/x-yaml";

/// What all answers that are made for one request may take until their clients have them: 80 pages of metrics of a cluster
/// with a thousand groups.
const MADE_BYTES: usize = 16 << 20;

const HTML: &str = "text/html; charset=utf-8";

/// What an operator's listener shows to people, in HTML with one style sheet and one script inside.
#[derive(Debug, Clone)]
pub struct OperatorPages<F> {
    /// Makes the page at `/`, anew for each request.
    pub status: F,
    /// The page at `/runbook`.
    pub runbook: String,
    /// The text of the element `style` of both. A browser uses no other.
    pub style: &'static str,
    /// The text of the element `script` of the first. A browser runs no other.
    pub script: &'static str,
}

/// What an operator's listener serves: `/metrics`, `/readyz`, `/livez` as beside the session API, and pages for people at
/// `/` and `/runbook`. No sessions. `metrics` is made anew for each request; `patience` is how long `/readyz` may take.
pub fn admin_router<S: Sessions, P: Future<Output = String> + Send>(
    sessions: &Arc<S>,
    patience: Duration,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    pages: OperatorPages<impl Fn() -> P + Clone + Send + Sync + 'static>,
) -> Router {
    let OperatorPages { status, runbook, style, script } = pages;
    let (room, runbook) = (Room::unmeasured(MADE_BYTES), Bytes::from(runbook));
    let policy = content_policy::policy(style, script);
    let guarded = move |mut response: Response| {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.clone());
        response
    };
    let guards = guarded.clone();
    let status = move |request: Request| {
        let (page, room, guards) = (status(), Arc::clone(&room), guards.clone());
        async move { guards(made(request, HTML, page.await, &room).await) }
    };
    probes(sessions, patience, metrics)
        .route("/", only_get(get(status)))
        .route("/runbook", only_get(get(move || std::future::ready(guarded(answer(HTML, runbook.clone()))))))
        .fallback(|| {
            let mut response = answer(TEXT, "There is nothing here; / is the status page.\n");
            *response.status_mut() = StatusCode::NOT_FOUND;
            std::future::ready(response)
        })
}

/// The endpoints beside the session API: GET and HEAD only; a query string does not matter.
pub(crate) fn router<S: Sessions>(
    sessions: &Arc<S>,
    config: &ApiConfig,
    metrics: impl Fn() -> String + Send + Sync + 'static,
) -> Router {
    let mut healthz = serde_json::to_vec_pretty(&config.build).unwrap_or_default();
    healthz.push(b'\n');
    let healthz = Bytes::from(healthz);
    let document = Bytes::from(openapi::document(config.openapi.as_deref(), &config.base_uri));
    probes(sessions, config.request_timeout, metrics)
        .route("/healthz", only_get(get(move || std::future::ready(answer(JSON, healthz.clone())))))
        .route("/openapi", only_get(get(move || std::future::ready(answer(YAML, document.clone())))))
}

/// What balancers and Prometheus ask.
fn probes<S: Sessions>(
    sessions: &Arc<S>,
    patience: Duration,
    metrics: impl Fn() -> String + Send + Sync + 'static,
) -> Router {
    let (sessions, metrics, room) = (Arc::clone(sessions), Arc::new(metrics), Room::unmeasured(MADE_BYTES));
    Router::new()
        .route("/livez", only_get(get(|| std::future::ready(answer(TEXT, LIVE)))))
        .route(
            "/readyz",
            only_get(get(move || {
                let sessions = Arc::clone(&sessions);
                async move { readyz(&*sessions, Instant::now() + patience).await }
            })),
        )
        .route(
            "/metrics",
            only_get(get(move |request: Request| {
                let (metrics, room) = (Arc::clone(&metrics), Arc::clone(&room));
                async move { made(request, prometheus::TEXT_FORMAT, metrics(), &room).await }
            })),
        )
}

async fn readyz<S: Sessions>(sessions: &S, deadline: Instant) -> Response {
    let error = match tokio::time::timeout_at(deadline, sessions.is_ready(deadline)).await {
        Ok(Ok(())) => return answer(TEXT, "This node serves linearizable reads.\n"),
        Ok(Err(error)) => Problem::from(&error),
        Err(_) => Problem::NoQuorum,
    };
    let mut response = answer(TEXT, format!("Not ready: {}.\n", error.detail()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// What was made for this request alone.
async fn made(request: Request, media_type: &'static str, text: String, room: &Arc<Room>) -> Response {
    let (parts, _) = request.into_parts();
    match value::weigh(Bytes::from(text), parts.extensions.get(), room).await {
        Ok(text) => answer(media_type, text),
        Err((problem, _)) => problem.response(&target::instance(parts.uri.path()), parts.version),
    }
}

fn answer(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn only_get(route: MethodRouter) -> MethodRouter {
    route.fallback(|request: Request| {
        let path = target::instance(request.uri().path());
        let mut response = Problem::MethodNotAllowed.response(&path, request.version());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        std::future::ready(response)
    })
}
