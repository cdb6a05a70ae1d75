//! One connection to where sessions are served, with one request at a time: what the load test and the import ask through.
//! It knows nothing of what is measured or copied.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, Request, StatusCode};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::plain_http::{PlainUrl, connect};

/// Beyond every deadline of the server's own.
const PATIENCE: Duration = Duration::from_secs(30);
/// The port of an address that names none (RFC 9110, 4.2.1).
const HTTP_PORT: u16 = 80;
/// RFC 8030, section 5.2.
pub(crate) const TTL: HeaderName = HeaderName::from_static("ttl");

/// Where sessions are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(
    /// Its path is what stands before a key, with a slash at its end.
    PlainUrl,
);

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "http://HOST:PORT/PATH/ was expected, such as http://127.0.0.1:8081/sessions/v1/".to_owned();
        let mut url = PlainUrl::parse(text, HTTP_PORT).ok_or_else(expected)?;
        url.path = format!("{}/", url.path.trim_end_matches('/'));
        Ok(Self(url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is asked for.
pub(crate) enum Ask {
    Get,
    /// To store a value.
    Set {
        value: Bytes,
        /// Its lifetime in seconds; without one it has the server's default.
        ttl: Option<u64>,
        /// Not if there is one already (`If-None-Match: *`).
        only_if_absent: bool,
    },
    /// To remove a value; only that of this entity tag, if there is one.
    Delete(Option<HeaderValue>),
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As much of the body as was wanted, from its beginning.
    pub(crate) body: Bytes,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    NotConnected,
    Broken,
    TooLate,
}

impl NoAnswer {
    /// What the other side did, as the end of a sentence.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::NotConnected => "takes no connection",
            Self::Broken => "broke a connection",
            Self::TooLate => "gave no answer in time",
        }
    }
}

pub(crate) struct Connection {
    endpoint: Endpoint,
    /// What it proves itself by, as the header has it.
    authorization: Option<HeaderValue>,
    open: Option<SendRequest<Full<Bytes>>>,
    /// What carries its bytes, one task; it ends with the connection, and whoever waits for an answer is told why.
    carriers: JoinSet<()>,
}

impl Connection {
    pub(crate) fn to(endpoint: Endpoint, authorization: Option<HeaderValue>) -> Self {
        Self { endpoint, authorization, open: None, carriers: JoinSet::new() }
    }

    /// Asks others from now on.
    pub(crate) fn go_to(&mut self, endpoint: Endpoint) {
        if endpoint != self.endpoint {
            (self.endpoint, self.open) = (endpoint, None);
        }
    }

    pub(crate) async fn open(&mut self) -> std::io::Result<()> {
        self.open = Some(connect(&self.endpoint.0.authority, &mut self.carriers).await?);
        Ok(())
    }

    /// Asks for that key, percent-encoded; connects before that if need be, and reads the whole answer. Of its body it
    /// keeps so many bytes at the most.
    pub(crate) async fn ask(&mut self, key: &str, ask: Ask, keep: usize) -> Result<Answer, NoAnswer> {
        let answered = timeout(PATIENCE, self.ask_without_end(key, ask, keep)).await.unwrap_or(Err(NoAnswer::TooLate));
        if answered.is_err() {
            self.open = None;
        }
        answered
    }

    async fn ask_without_end(&mut self, key: &str, ask: Ask, keep: usize) -> Result<Answer, NoAnswer> {
        if self.open.as_ref().is_none_or(SendRequest::is_closed) {
            self.open().await.map_err(|_| NoAnswer::NotConnected)?;
        }
        let request = self.request(key, ask).ok_or(NoAnswer::Broken)?;
        let Some(open) = &mut self.open else { return Err(NoAnswer::NotConnected) };
        open.ready().await.map_err(|_| NoAnswer::Broken)?;
        let answer = open.send_request(request).await.map_err(|_| NoAnswer::Broken)?;
        let (head, mut body) = answer.into_parts();
        let mut kept = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| NoAnswer::Broken)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        }
        if is_last(&head.headers) {
            self.open = None;
        }
        Ok(Answer { status: head.status, headers: head.headers, body: kept.freeze() })
    }

    fn request(&self, key: &str, ask: Ask) -> Option<Request<Full<Bytes>>> {
        let Endpoint(PlainUrl { authority, path }) = &self.endpoint;
        let target = format!("{path}{key}");
        let mut request = Request::builder().uri(target).header(HOST, authority);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = match ask {
            Ask::Get => request.body(Full::default()),
            Ask::Set { value, ttl, only_if_absent } => {
                request = request.method(Method::POST);
                if let Some(ttl) = ttl {
                    request = request.header(TTL, ttl);
                }
                if only_if_absent {
                    request = request.header(IF_NONE_MATCH, HeaderValue::from_static("*"));
                }
                request.body(Full::new(value))
            }
            Ask::Delete(only) => {
                request = request.method(Method::DELETE);
                if let Some(tag) = only {
                    request = request.header(IF_MATCH, tag);
                }
                request.body(Full::default())
            }
        };
        request.ok()
    }
}

/// Whether the server answers nothing more on this connection (RFC 9112, 9.6).
fn is_last(headers: &HeaderMap) -> bool {
    let options = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    options.flat_map(|options| options.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_on_which_nothing_more_is_answered_is_not_asked_again() {
        for (value, last) in [("close", true), ("x, Close", true), ("keep-alive", false), ("closed", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_static(value));
            assert_eq!(is_last(&headers), last, "{value}");
        }
        assert!(!is_last(&HeaderMap::new()));
    }

    #[test]
    fn an_endpoint_is_a_plain_url_whose_path_ends_in_a_slash() {
        for (text, shown) in [
            ("http://127.0.0.1:8081/sessions/v1/", "http://127.0.0.1:8081/sessions/v1/"),
            ("http://n1.example:80/a", "http://n1.example:80/a/"),
            ("http://[::1]:8081", "http://[::1]:8081/"),
            ("http://n1.example/a/", "http://n1.example:80/a/"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "n1:8081", "https://n1:8081/", "http://n1:8081/?a", "/sessions/v1/"] {
            assert!(Endpoint::parse(wrong).unwrap_err().contains("was expected"), "{wrong}");
        }
    }
}
