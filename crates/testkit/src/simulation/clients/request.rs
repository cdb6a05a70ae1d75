//! One request over a connection, and what its answer means.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::TcpStream;

use crate::{Action, Outcome, Value};

/// A value that is nobody's.
const FOREIGN: Value = Value::MAX;

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// A request that got no answer.
pub(super) enum Unanswered {
    NotSent,
    Lost,
}

/// One request and what it means.
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
    pub(super) action: Action,
    pub(super) lasts: Option<Duration>,
    /// What it is called by, so that it can be asked again.
    pub(super) name: Option<String>,
}

impl Request {
    /// Reads what is there.
    pub(super) fn read() -> Self {
        let (headers, body) = (String::new(), Vec::new());
        Self { method: "GET", headers, body, action: Action::Get(None), lasts: None, name: None }
    }
}

/// Sends a request, with that bearer token if there is one, and receives its answer.
pub(super) async fn converse(
    connection: &mut TcpStream,
    path: &str,
    token: Option<&str>,
    request: &Request,
) -> io::Result<Answer> {
    let Request { method, headers, body, name, .. } = request;
    let name = name.as_ref().map_or_else(String::new, |name| format!("Idempotency-Key: {name}\r\n"));
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: simulated\r\n{token}{headers}{name}Content-Length: {length}\r\n\r\n"
    );
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
    let length: usize = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = body;
    while body.len() < length {
        if connection.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Answer { status, head, body })
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name));
    head.lines().find_map(named).map(|(_, value)| value.trim())
}

fn value_of(answer: &Answer) -> Value {
    let number = answer.body.get(..16).and_then(|number| std::str::from_utf8(number).ok());
    number.and_then(|number| Value::from_str_radix(number, 16).ok()).unwrap_or(FOREIGN)
}

/// Whether a write was answered by the namespace and not by its key: it was not there yet, or has as many keys as it may have.
pub(super) fn is_of_the_namespace(request: &Request, answer: &Answer) -> bool {
    answer.status == 507 || (answer.status == 404 && !matches!(request.action, Action::Get(_)))
}

/// What a client knows after this answer; `None` if there should be no such answer.
pub(super) fn judge(request: &Request, answer: &Answer) -> Option<(Action, Outcome)> {
    if answer.status == 503 || answer.status == 507 {
        let unknown = String::from_utf8_lossy(&answer.body).contains("outcome_unknown");
        return Some((request.action, if unknown { Outcome::Ambiguous } else { Outcome::Failed }));
    }
    let action = match (request.action, answer.status) {
        (Action::Get(_), 200) => Action::Get(Some(value_of(answer))),
        (Action::Get(_), 404) => Action::Get(None),
        (Action::Take(_), 200) => Action::Take(Some(value_of(answer))),
        (Action::Take(_), 204) => Action::Take(None),
        // A renewal shows what is there as a read does.
        (Action::DeleteIf { expected, .. }, 204) if request.method == "PATCH" => Action::Get(Some(expected)),
        (Action::Put(_), 201) | (Action::Delete, 204) => request.action,
        (Action::PutIf { .. }, 201) | (Action::DeleteIf { .. }, 204) => request.action,
        (Action::PutIf { expected, value, .. }, 412) => Action::PutIf { expected, value, done: false },
        (Action::DeleteIf { expected, .. }, 412) => Action::DeleteIf { expected, done: false },
        _ => return None,
    };
    Some((action, Outcome::Ok))
}
