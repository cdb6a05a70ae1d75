//! A client that sees every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a test waits for what must come. Only a failure takes that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) version: String,
    pub(crate) status: u16,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["type"].as_str().unwrap().trim_start_matches("https://www.mediawiki.org/wiki/Kask/errors/").to_owned()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends as much as the server takes.
    pub(crate) async fn send_until_refused(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn close_sending_half(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    async fn more(&mut self) -> usize {
        tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read))
            .await
            .expect("the server is silent")
            .unwrap_or(0)
    }

    /// The next answer to a request of that method; `None` if the connection ends before it begins.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if self.more().await == 0 {
                assert!(self.read.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let mut start = lines.next().unwrap().splitn(3, ' ');
        let version = start.next().unwrap().to_owned();
        let status = start.next().unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut answer = Answer { version, status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        assert_eq!(answer.header("transfer-encoding"), None, "an answer is chunked");
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if !bodiless {
            while self.read.len() < length {
                assert_ne!(self.more().await, 0, "the body is cut short");
            }
            answer.body = self.read.drain(..length).collect();
        }
        Some(answer)
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await.expect("the connection is closed")
    }

    /// Whether the server has closed the connection, with nothing more to say.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more().await == 0
    }

    /// Whether the server closes the connection with nothing on it that is HTTP.
    pub(crate) async fn answer_is_none(&mut self) -> bool {
        while self.more().await > 0 {}
        !self.read.starts_with(b"HTTP")
    }

    pub(crate) async fn request(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n")).await;
        self.send_until_refused(body).await;
        self.answer_to(method).await.expect("the connection is closed")
    }
}
