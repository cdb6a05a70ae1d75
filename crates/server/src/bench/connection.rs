//! One connection to an endpoint, with one request at a time.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderName};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Beyond every deadline of the server's own.
const PATIENCE: Duration = Duration::from_secs(30);
/// RFC 8030, section 5.2.
const TTL: HeaderName = HeaderName::from_static("ttl");

/// Where sessions are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port.
    authority: String,
    /// What stands before a key, with a slash at its end.
    path: String,
}

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "http://HOST:PORT/PATH/ was expected, such as http://127.0.0.1:8081/sessions/v1/".to_owned();
        let url = text.parse::<Uri>().map_err(|_| expected())?;
        let plain = url.scheme_str() == Some("http") && url.query().is_none();
        let (Some(authority), true) = (url.authority(), plain) else { return Err(expected()) };
        let authority = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        };
        Ok(Self { authority, path: format!("{}/", url.path().trim_end_matches('/')) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// What is asked for.
pub(super) enum Ask {
    Get,
    Set(Bytes),
    Delete,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    NotConnected,
    Broken,
    TooLate,
}

pub(super) struct Connection {
    endpoint: Endpoint,
    ttl: u32,
    open: Option<SendRequest<Full<Bytes>>>,
    /// What carries its bytes, one task; it ends with the connection, and whoever waits for an answer is told why.
    carriers: JoinSet<()>,
}

impl Connection {
    pub(super) fn to(endpoint: Endpoint, ttl: u32) -> Self {
        Self { endpoint, ttl, open: None, carriers: JoinSet::new() }
    }

    pub(super) async fn open(&mut self) -> std::io::Result<()> {
        let stream = TcpStream::connect(&self.endpoint.authority).await?;
        stream.set_nodelay(true)?;
        let (open, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        self.carriers.abort_all();
        self.carriers.spawn(async move { drop(connection.await) });
        self.open = Some(open);
        Ok(())
    }

    /// Asks, connects before that if need be, and reads the whole answer.
    pub(super) async fn ask(&mut self, key: &str, ask: Ask) -> Result<StatusCode, NoAnswer> {
        let answered = timeout(PATIENCE, self.ask_without_end(key, ask)).await.unwrap_or(Err(NoAnswer::TooLate));
        if answered.is_err() {
            self.open = None;
        }
        answered
    }

    async fn ask_without_end(&mut self, key: &str, ask: Ask) -> Result<StatusCode, NoAnswer> {
        if self.open.as_ref().is_none_or(SendRequest::is_closed) {
            self.open().await.map_err(|_| NoAnswer::NotConnected)?;
        }
        let Some(open) = &mut self.open else { return Err(NoAnswer::NotConnected) };
        let request =
            Request::builder().uri(format!("{}{key}", self.endpoint.path)).header(HOST, &self.endpoint.authority);
        let request = match ask {
            Ask::Get => request.body(Full::default()),
            Ask::Set(value) => request.method(Method::POST).header(TTL, self.ttl).body(Full::new(value)),
            Ask::Delete => request.method(Method::DELETE).body(Full::default()),
        };
        let request = request.map_err(|_| NoAnswer::Broken)?;
        open.ready().await.map_err(|_| NoAnswer::Broken)?;
        let answer = open.send_request(request).await.map_err(|_| NoAnswer::Broken)?;
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|_| NoAnswer::Broken)?;
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
