//! Connections that ask for nothing.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a connection may take to be made. A node that has no room for it lets it wait, and it is tried again later.
const CONNECTS: Duration = Duration::from_millis(100);

/// So many to one address, each made again when it was closed.
pub(super) struct IdleConnections {
    to: SocketAddr,
    count: usize,
    open: Vec<TcpStream>,
    closed: u64,
}

impl IdleConnections {
    /// None yet.
    pub(super) fn new(to: SocketAddr, count: usize) -> Self {
        Self { to, count, open: Vec::new(), closed: 0 }
    }

    /// Lets go of those that were closed, and makes as many as are missing, up to the first that cannot be made.
    pub(super) fn keep_up(&mut self) {
        let before = self.open.len();
        self.open.retain(is_open);
        self.closed += (before - self.open.len()) as u64;
        while self.open.len() < self.count {
            let Ok(stream) = TcpStream::connect_timeout(&self.to, CONNECTS) else { return };
            if stream.set_nonblocking(true).is_ok() {
                self.open.push(stream);
            }
        }
    }

    /// How many are open, and how many were closed by the other side so far.
    pub(super) fn open_and_closed(&self) -> (usize, u64) {
        (self.open.len(), self.closed)
    }
}

/// Bytes that came count as open: the preface of HTTP/2 is some.
fn is_open(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::eventually;

    #[test]
    fn a_connection_that_was_closed_is_made_again_and_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut idle = IdleConnections::new(listener.local_addr().unwrap(), 3);
        idle.keep_up();
        let mut accepted: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
        idle.keep_up();
        assert_eq!(idle.open_and_closed(), (3, 0));
        drop(accepted.pop());
        eventually("the end of the connection arrives", || {
            idle.keep_up();
            (idle.open_and_closed() == (3, 1)).then_some(())
        });
    }
}
