use axum::body::Body;
use axum::response::Response;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode, Version};

use sessile_core::Limit;

use crate::{SessionsError, bearer};

/// The methods that the session API knows, as `Allow` lists them.
pub(crate) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// When a client may try again, in seconds: a new leader is there sooner.
const RETRY_AFTER_SECONDS: &str = "1";
/// What every error's type begins with; Kask's.
const TYPE: &str = "https://www.mediawiki.org/wiki/Kask/errors/";

/// The types of all answers 5xx, as their bodies tell them behind [`TYPE`].
pub(crate) const FAILURES: [&str; 14] = [
    "no_quorum",
    "time_waits",
    "outcome_unknown",
    "overloaded",
    "shutting_down",
    "limits_changed",
    "insufficient_storage",
    "storage_exhausted",
    "namespace_keys",
    "namespace_bytes",
    "namespace_gives_way",
    "too_many_answers",
    "upgrade_unfinished",
    "server_error",
];

/// What an answer 5xx says went wrong, one of [`FAILURES`]: carried beside the answer, for who counts.
#[derive(Clone, Copy)]
pub(crate) struct Failure(pub(crate) &'static str);

/// Everything that a client can be told went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    BadRequest,
    /// A renewal has a body.
    RenewalWithBody,
    /// The idempotency key is none.
    NoIdempotencyKey,
    /// The namespace has tokens, and the request shows none.
    Unauthorized,
    /// The request shows none of the namespace's tokens.
    UnknownToken,
    /// The token that the request shows does not allow it.
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PreconditionFailed,
    /// The condition failed, and has entity tags that could never hold.
    WeakEntityTag,
    PayloadTooLarge,
    UriTooLong,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    ServerError,
    NoQuorum,
    TimeWaits,
    OutcomeUnknown,
    Overloaded,
    /// Overloaded, and the body was not read.
    NoRoom,
    ShuttingDown,
    InsufficientStorage,
    StorageExhausted,
    /// The namespace has as many keys as it may have.
    NamespaceKeys,
    /// The namespace has as many bytes as it may have.
    NamespaceBytes,
    /// As many answers to requests with idempotency keys are remembered as may be.
    TooManyAnswers,
    /// A member of the cluster runs a program that does not know such a request.
    UpgradeUnfinished,
    /// What the namespace gives was changed while the request was under way.
    LimitsChanged,
    /// The namespace takes no writes for the sake of others.
    NamespaceGivesWay,
}

/// An error's status, and the words of its body. The first four that Kask knows are Kask's, to the letter.
struct Words {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: &'static str,
}

/// The body, in the order of Kask's fields.
#[derive(serde::Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    detail: &'a str,
    instance: &'a str,
}

impl From<&SessionsError> for Problem {
    fn from(error: &SessionsError) -> Self {
        match error {
            SessionsError::NoQuorum => Self::NoQuorum,
            SessionsError::TimeWaits => Self::TimeWaits,
            SessionsError::OutcomeUnknown => Self::OutcomeUnknown,
            SessionsError::Overloaded => Self::Overloaded,
            SessionsError::StorageFull => Self::InsufficientStorage,
            SessionsError::StorageExhausted => Self::StorageExhausted,
            SessionsError::GivesWay => Self::NamespaceGivesWay,
            SessionsError::ShuttingDown => Self::ShuttingDown,
            SessionsError::ConditionFailed => Self::PreconditionFailed,
            SessionsError::Limit(Limit::Keys) => Self::NamespaceKeys,
            SessionsError::Limit(Limit::Bytes) => Self::NamespaceBytes,
            SessionsError::Limit(Limit::Value) => Self::PayloadTooLarge,
            SessionsError::Limit(Limit::Lifetime) => Self::LimitsChanged,
            SessionsError::NoNamespace => Self::NotFound,
            SessionsError::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            SessionsError::AnswersFull => Self::TooManyAnswers,
            SessionsError::OlderRules => Self::UpgradeUnfinished,
            SessionsError::Internal(_) => Self::ServerError,
        }
    }
}

impl Problem {
    fn words(self) -> Words {
        let (status, kind, title, detail) = match self {
            Self::BadRequest => {
                (StatusCode::BAD_REQUEST, "bad_request", "Bad request", "The request was incorrect or malformed")
            }
            Self::RenewalWithBody => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "Bad request",
                "PATCH renews what is stored and takes no body; leave the body out, or store it with PUT",
            ),
            Self::NoIdempotencyKey => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "Bad request",
                "The Idempotency-Key must be one of 1 to 128 visible characters, with or without quotes around it, such \
                 as a UUID",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Unauthorized",
                "This namespace asks for a token; send one, and only one, as `Authorization: Bearer TOKEN`",
            ),
            Self::UnknownToken => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Unauthorized",
                "The token of the request is none of this namespace, or none any more",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "Forbidden",
                "The token of the request does not allow this: reading takes the right `read`, writing, renewing and deleting take \
                 `write`, and a delete that hands out the value takes both",
            ),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "not_found", "Not found", "The value you requested was not found")
            }
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "The method is not one of those that the Allow header lists",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "Request timeout",
                "The body of the request did not arrive in time",
            ),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "Precondition failed",
                "The condition of the request does not hold for the value that is stored now",
            ),
            Self::WeakEntityTag => (
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "Precondition failed",
                "If-Match has an entity tag that a proxy has weakened to W/\"...\", and a weak one matches nothing; keep the \
                 proxy from changing answers, or send the tag without W/",
            ),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "Idempotency key reused",
                "The Idempotency-Key was used for another request within the last ten minutes; nothing was changed",
            ),
            Self::PayloadTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "Payload too large",
                "The value is larger than this server stores",
            ),
            Self::UriTooLong => {
                (StatusCode::URI_TOO_LONG, "uri_too_long", "URI too long", "The key is longer than 1024 bytes")
            }
            Self::ServerError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "Internal server error",
                "The server encountered an error with your request",
            ),
            Self::NoQuorum => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no_quorum",
                "No quorum",
                "The server could not reach a majority of its cluster in time; nothing was changed",
            ),
            Self::TimeWaits => (
                StatusCode::SERVICE_UNAVAILABLE,
                "time_waits",
                "Time waits",
                "The clocks of the cluster's members want its time to go forward by more than an hour, and no majority of them \
                 agrees; nothing was changed; an operator sets the clocks, or decides with `sessile cluster set-time`",
            ),
            Self::OutcomeUnknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                "Outcome unknown",
                "The server could not learn in time whether the change was made; it may or may not have been",
            ),
            Self::Overloaded | Self::NoRoom => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Overloaded",
                "The server has too many requests waiting; nothing was changed",
            ),
            Self::ShuttingDown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "shutting_down",
                "Shutting down",
                "The server is about to stop; nothing was changed",
            ),
            Self::InsufficientStorage => (
                StatusCode::INSUFFICIENT_STORAGE,
                "insufficient_storage",
                "Insufficient storage",
                "The storage is full; values can be read and deleted, but not written",
            ),
            Self::StorageExhausted => (
                StatusCode::INSUFFICIENT_STORAGE,
                "storage_exhausted",
                "Storage exhausted",
                "The storage is full, and its reserve for deletes is used up; values can be read, but not written or deleted",
            ),
            Self::NamespaceKeys => (
                StatusCode::INSUFFICIENT_STORAGE,
                "namespace_keys",
                "Too many keys",
                "This namespace has as many keys as it may have; values can be read, replaced and deleted, but no key can be added",
            ),
            Self::NamespaceBytes => (
                StatusCode::INSUFFICIENT_STORAGE,
                "namespace_bytes",
                "Too many bytes",
                "This namespace has as many bytes as it may have; values can be read, deleted and replaced by smaller ones",
            ),
            Self::NamespaceGivesWay => (
                StatusCode::INSUFFICIENT_STORAGE,
                "namespace_gives_way",
                "Namespace gives way",
                "The storage fills up, and this namespace gives way to those of a higher priority; values can be read and \
                 deleted, but not written",
            ),
            Self::TooManyAnswers => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_answers",
                "Too many answers",
                "No room is left to remember the answer for the Idempotency-Key; nothing was changed; try again later, or \
                 without the key",
            ),
            Self::UpgradeUnfinished => (
                StatusCode::SERVICE_UNAVAILABLE,
                "upgrade_unfinished",
                "Upgrade unfinished",
                "Not every member of the cluster runs a program that knows such a request yet; nothing was changed",
            ),
            Self::LimitsChanged => (
                StatusCode::SERVICE_UNAVAILABLE,
                "limits_changed",
                "Limits changed",
                "The longest lifetime of this namespace was just shortened; nothing was changed",
            ),
        };
        Words { status, kind, title, detail }
    }

    /// What a person may be told of it, in a sentence.
    pub(crate) fn detail(self) -> &'static str {
        self.words().detail
    }

    /// The response, to be sent in that HTTP version. `instance` is the request's decoded path, which holds the key.
    pub(crate) fn response(self, instance: &str, version: Version) -> Response {
        let Words { status, kind, title, detail } = self.words();
        let document = Document { r#type: format!("{TYPE}{kind}"), title, detail, instance };
        let mut body = serde_json::to_vec_pretty(&document).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        if status.is_server_error() {
            debug_assert!(FAILURES.contains(&kind), "{kind} is missing among the failures");
            response.extensions_mut().insert(Failure(kind));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        match self {
            Self::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
            }
            Self::Unauthorized => drop(headers.insert(WWW_AUTHENTICATE, bearer::WANTED)),
            Self::UnknownToken => drop(headers.insert(WWW_AUTHENTICATE, bearer::WRONG)),
            Self::Forbidden => drop(headers.insert(WWW_AUTHENTICATE, bearer::TOO_LITTLE)),
            Self::NoQuorum
            | Self::TimeWaits
            | Self::OutcomeUnknown
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::TooManyAnswers
            | Self::UpgradeUnfinished
            | Self::LimitsChanged => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            Self::NoRoom => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
                // The body that is still on its way would be taken for the next request.
                if version < Version::HTTP_2 {
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
            }
            // What is left of the body would be taken for the next request.
            Self::RequestTimeout | Self::PayloadTooLarge if version < Version::HTTP_2 => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::RequestTimeout
            | Self::PayloadTooLarge
            | Self::BadRequest
            | Self::RenewalWithBody
            | Self::NoIdempotencyKey
            | Self::NotFound
            | Self::PreconditionFailed
            | Self::WeakEntityTag
            | Self::IdempotencyKeyReused
            | Self::UriTooLong
            | Self::ServerError
            | Self::InsufficientStorage
            | Self::StorageExhausted
            | Self::NamespaceKeys
            | Self::NamespaceBytes
            | Self::NamespaceGivesWay => {}
        }
        response
    }
}

/// Whether the session API knows that method.
pub(crate) fn is_allowed(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
}
