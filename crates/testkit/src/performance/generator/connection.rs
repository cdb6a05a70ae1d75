//! One connection of a load.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Shared, Work};

/// How long answers are waited for: beyond every deadline of the server, so that it is the server who gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a connection that broke, and after an answer that refused: a client that is told to come back later does.
const CONNECT_AGAIN: Duration = Duration::from_millis(100);
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// The longest that a connection waits for its next request without looking whether there will be one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What is read at once.
const READ_BYTES: usize = 16 << 10;
/// A longer head is none of this server's.
const MAX_HEAD_BYTES: usize = 16 << 10;

pub(super) struct Connection {
    shared: Arc<Shared>,
    /// Which of the addresses it is at.
    at: usize,
    stream: Option<TcpStream>,
    /// What came and was not read yet.
    received: Vec<u8>,
    requests: Vec<u8>,
    /// When each of them was due.
    due: Vec<Instant>,
}

/// An answer, as far as it is looked at.
struct Answer {
    status: u16,
    /// Whether the server closes the connection after it.
    closes: bool,
}

impl Connection {
    pub(super) fn new(nth: usize, shared: Arc<Shared>) -> Self {
        let at = nth % shared.order.addresses.len();
        Self { shared, at, stream: None, received: Vec::new(), requests: Vec::new(), due: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        while self.gather().await {
            let mut answered = 0;
            let mut refused = false;
            let talked = timeout(PATIENCE, self.talk(&mut answered, &mut refused)).await;
            if let Err(_) | Ok(Err(_)) = talked {
                self.stream = None;
                self.at = (self.at + 1) % self.shared.order.addresses.len();
                for nth in answered..self.due.len() {
                    self.tell(nth, 0);
                }
                sleep(CONNECT_AGAIN).await;
            } else if refused {
                sleep(ASK_AGAIN).await;
            }
        }
    }

    /// Waits until its next request is due, and takes it with what else is. Whether there is one.
    async fn gather(&mut self) -> bool {
        self.requests.clear();
        self.due.clear();
        if self.shared.is_stopped() {
            return false;
        }
        let Some(first) = self.shared.take() else { return false };
        while let Some(left) = self.shared.due(first).map(|due| due.saturating_duration_since(Instant::now())) {
            if left.is_zero() {
                break;
            }
            if self.shared.is_stopped() {
                return false;
            }
            sleep(left.min(LOOK_AGAIN)).await;
        }
        self.add(first);
        while self.due.len() < self.shared.order.depth
            && let Some(nth) = self.shared.take_due()
        {
            self.add(nth);
        }
        true
    }

    fn add(&mut self, nth: u64) {
        let order = &self.shared.order;
        self.due.push(self.shared.due(nth).unwrap_or_else(Instant::now));
        self.shared.content.append(&mut self.requests, order.work, order.first, nth);
    }

    /// Sends all, and reads an answer to each.
    async fn talk(&mut self, answered: &mut usize, refused: &mut bool) -> io::Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.received.clear();
                let stream = TcpStream::connect(self.shared.order.addresses[self.at]).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        // A server that refuses before it has read the body closes, and its answer may be there all the same.
        let sent = stream.write_all(&self.requests).await;
        let mut closes = sent.is_err();
        while *answered < self.due.len() {
            let answer = self.answer(&mut stream).await?;
            *refused |= answer.status >= 300 && answer.status != 404;
            self.tell(*answered, answer.status);
            *answered += 1;
            if answer.closes {
                closes = true;
                break;
            }
        }
        if *answered < self.due.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.stream = (!closes).then_some(stream);
        Ok(())
    }

    fn tell(&self, nth: usize, status: u16) {
        let now = Instant::now();
        let reads = matches!(self.shared.order.work, Work::Get { .. });
        let wait = now.saturating_duration_since(self.due[nth]);
        self.shared.tally().answer(now - self.shared.begin, status, reads, wait);
    }

    async fn answer(&mut self, stream: &mut TcpStream) -> io::Result<Answer> {
        let head = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if self.received.len() > MAX_HEAD_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.receive(stream).await?;
        };
        let (status, length, closes) = read_head(&self.received[..head]).ok_or(io::ErrorKind::InvalidData)?;
        while self.received.len() < head + length {
            self.receive(stream).await?;
        }
        self.received.drain(..head + length);
        Ok(Answer { status, closes })
    }

    async fn receive(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.received.reserve(READ_BYTES);
        if stream.read_buf(&mut self.received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The status, the length of the body and whether the connection ends, from the head of an answer.
fn read_head(head: &[u8]) -> Option<(u16, usize, bool)> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut closes) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Some((status, length, closes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_read() {
        let read = |head: &str| read_head(head.as_bytes());
        assert_eq!(read("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"), Some((201, 0, false)));
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Some((204, 0, false)));
        let refused = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\nConnection: Close\r\n\r\n";
        assert_eq!(read(refused), Some((503, 17, true)));
        assert_eq!((read("HTTP/1.1\r\n\r\n"), read("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")), (None, None));
    }
}
