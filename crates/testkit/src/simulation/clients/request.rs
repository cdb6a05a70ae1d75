//! One request over a connection.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::TcpStream;

use crate::Answer;
use crate::requests::Request;

/// Sends a request, with that bearer token if there is one, and receives its answer.
pub(super) async fn converse(
    connection: &mut TcpStream,
    path: &str,
    token: Option<&str>,
    request: &Request,
) -> io::Result<Answer> {
    let Request { method, body, .. } = request;
    let (head, length) = (request.head(token), body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: simulated\r\n{head}Content-Length: {length}\r\n\r\n");
    connection.write_all(&[head.as_bytes(), body].concat()).await?;
    let mut received = Vec::new();
    let head = loop {
        if let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if connection.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let body = received.split_off(head);
    let head = String::from_utf8_lossy(&received).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let header =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let headers = head.lines().skip(1).filter_map(header).collect();
    let mut answer = Answer { status, headers, body };
    let length: usize = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while answer.body.len() < length {
        if connection.read_buf(&mut answer.body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answer)
}
