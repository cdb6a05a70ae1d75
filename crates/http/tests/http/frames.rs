//! An HTTP/2 client that does what it is told, allowed or not.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// A setting that closes the window of every stream.
pub(crate) const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

pub(crate) struct Frames {
    stream: TcpStream,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a request; nothing in it is indexed anew (RFC 7541, 6.2.2).
pub(crate) fn head(post: bool, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    assert!(length < 127, "the path's length has one byte");
    // Of the static table: method, scheme, path, authority.
    [&[if post { 0x83 } else { 0x82 }, 0x86, 0x04, length], path.as_bytes(), &[0x01, 1, b'x']].concat()
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(false, path))
}

impl Frames {
    /// A connection with the preface and these settings sent.
    pub(crate) async fn connect(address: SocketAddr, settings: &[u8]) -> Self {
        let mut frames = Self { stream: TcpStream::connect(address).await.unwrap() };
        frames.stream.set_nodelay(true).unwrap();
        frames.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await;
        frames
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends as much as the server takes. Whether that was all.
    pub(crate) async fn send_until_refused(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some(Frame { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the server is silent")
    }

    /// The next frame of that kind that is no acknowledgement, others left out.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection is closed");
            if frame.kind == kind && (kind == DATA || kind == HEADERS || frame.flags & ACK == 0) {
                return frame;
            }
        }
    }

    /// The status of the next answer, and its stream. What the static table lacks is spelled.
    pub(crate) async fn status(&mut self) -> (u32, u16) {
        let Frame { stream, payload, .. } = self.next_of(HEADERS).await;
        let indexed = [200, 204, 206, 304, 400, 404, 500];
        let status = match payload[0] {
            index @ 0x88..=0x8e => indexed[usize::from(index - 0x88)],
            // A literal with the name of that index: its length, and three digits, perhaps in Huffman's code.
            _ if payload[1] == 3 => std::str::from_utf8(&payload[2..5]).unwrap().parse().unwrap(),
            _ => 0,
        };
        (stream, status)
    }

    /// Reads to the end of the connection.
    pub(crate) async fn ends(&mut self) {
        while self.next().await.is_some() {}
    }
}
