//! HTTP/1 in clear, as a client: where somebody is, and a connection to there.

use std::fmt;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Uri;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// An address of the form `http://HOST:PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainUrl {
    /// Host and port.
    pub authority: String,
    /// With a slash before it.
    pub path: String,
}

impl PlainUrl {
    /// Reads it; the port is that one where it names none. `None` for what is no such address, has a query, or names a user.
    pub(crate) fn parse(text: &str, port: u16) -> Option<Self> {
        let url = text.parse::<Uri>().ok()?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'))?;
        if url.scheme_str() != Some("http") || url.query().is_some() {
            return None;
        }
        let authority = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:{port}"),
        };
        Some(Self { authority, path: url.path().to_owned() })
    }
}

impl fmt::Display for PlainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Connects to a host and port. What carries the bytes is one task of `carriers`, in the place of those that are there; it ends
/// with the connection.
pub(crate) async fn connect(authority: &str, carriers: &mut JoinSet<()>) -> std::io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (open, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    carriers.abort_all();
    carriers.spawn(async move { drop(connection.await) });
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_plain_url() {
        for (text, shown) in [
            ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector/v1/traces", "http://collector:4318/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/"),
        ] {
            assert_eq!(PlainUrl::parse(text, 4_318).unwrap().to_string(), shown);
        }
        for wrong in ["", "127.0.0.1:4318", "https://c:4318/", "http://u:p@c/", "http://c/?a=b", "/v1/traces"] {
            assert_eq!(PlainUrl::parse(wrong, 4_318), None, "{wrong}");
        }
    }
}
