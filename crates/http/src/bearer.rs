use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

/// What balancers and supervisors may always ask.
const OPEN: &str = "/livez";
/// RFC 6750, 3. Whoever shows nothing is told no more than what to show.
pub(crate) const WANTED: HeaderValue = HeaderValue::from_static("Bearer realm=\"sessile\"");
pub(crate) const WRONG: HeaderValue = HeaderValue::from_static("Bearer realm=\"sessile\", error=\"invalid_token\"");
pub(crate) const TOO_LITTLE: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"sessile\", error=\"insufficient_scope\"");

/// The same for those only whose `Authorization: Bearer` `is_token` takes (RFC 6750); others get a 401. `/livez` is for
/// everybody. `is_token` must take as long for one text as for another.
pub fn bearer_only(router: Router, is_token: impl Fn(&str) -> bool + Send + Sync + 'static) -> Router {
    let is_token = Arc::new(is_token);
    router.layer(from_fn(move |request: Request, next: Next| {
        let is_token = Arc::clone(&is_token);
        async move {
            if request.uri().path() == OPEN {
                return next.run(request).await;
            }
            match shown(request.headers()) {
                Some(token) if is_token(token) => next.run(request).await,
                Some(_) => refused(WRONG),
                None => refused(WANTED),
            }
        }
    }))
}

/// The token of a request that shows exactly one.
pub(crate) fn shown(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (scheme, token) = shown.next()?.to_str().ok()?.split_once(' ')?;
    (shown.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

fn refused(challenge: HeaderValue) -> Response {
    let mut response = Response::new(Body::from("A token is wanted here: Authorization: Bearer …\n"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, challenge);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
