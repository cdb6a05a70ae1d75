use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::relay::{Relay, lock};

/// How much is read at once, and how many pieces may be under way in one direction: more than a window holds.
const PIECE_BYTES: usize = 64 << 10;
const UNDER_WAY: usize = 4_096;

/// How long bytes take from whoever connects to a server, and back: the same for all of them, or by the address that they
/// come from.
pub type Distance = Arc<dyn Fn(IpAddr) -> Duration + Send + Sync>;

/// A long way to a TCP server: what is sent arrives half a round trip later, as much at a time as comes, and to connect costs
/// a round trip. Dropped, it closes every connection and its port.
///
/// A [`Proxy`](crate::Proxy) in bad weather holds up one piece after the other, as a narrow way does.
pub struct DelayLine {
    relay: Relay,
    round_trip: Arc<Mutex<Distance>>,
}

impl DelayLine {
    /// One that listens at `at`, and leads to `to`.
    pub fn start(at: SocketAddr, to: SocketAddr, round_trip: Distance) -> io::Result<Self> {
        let round_trip = Arc::new(Mutex::new(round_trip));
        let now = round_trip.clone();
        let relay = Relay::start(
            move || TcpListener::bind(at),
            to,
            move |accepted| {
                let round_trip = || {
                    let distance = lock(&now).clone();
                    distance(accepted.from)
                };
                // The system has accepted already: what a handshake costs is added before anything is passed on.
                std::thread::sleep(round_trip());
                let (near, far) = (&accepted.near, accepted.connect()?);
                std::thread::scope(|scope| {
                    for (from_end, to_end) in [(near, &far), (&far, near)] {
                        let (pieces, under_way) = sync_channel(UNDER_WAY);
                        scope.spawn(move || takes(from_end, round_trip, &pieces));
                        scope.spawn(move || arrives(to_end, &under_way));
                    }
                });
                Some(())
            },
        )?;
        Ok(Self { relay, round_trip })
    }

    /// One on this machine, everybody as far away.
    pub fn to(server: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        Self::start(SocketAddr::new(server.ip(), 0), server, Arc::new(move |_| round_trip))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// From now on, for connections that are open too.
    pub fn is(&self, round_trip: Distance) {
        *lock(&self.round_trip) = round_trip;
    }
}

/// Reads until the end, which travels as everything else does.
fn takes(mut end: &TcpStream, round_trip: impl Fn() -> Duration, pieces: &SyncSender<(Instant, Vec<u8>)>) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = end.read(&mut piece).unwrap_or(0);
        let arrives = Instant::now() + round_trip() / 2;
        if pieces.send((arrives, piece[..read].to_vec())).is_err() || read == 0 {
            return;
        }
    }
}

/// Writes each piece when it is there.
fn arrives(mut end: &TcpStream, under_way: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((at, piece)) = under_way.recv() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        if piece.is_empty() || end.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = end.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PATIENCE;
    use crate::relay::echo;

    #[test]
    fn everything_takes_its_time_and_nothing_waits_for_what_was_sent_before() {
        let round_trip = Duration::from_millis(100);
        let line = DelayLine::to(echo(), round_trip).unwrap();
        let begin = Instant::now();
        let mut stream = TcpStream::connect(line.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for piece in 0..20_u8 {
            stream.write_all(&[piece]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut back = [0; 20];
        stream.read_exact(&mut back).unwrap();
        assert!(
            back.iter().copied().eq(0..20) && begin.elapsed() >= 2 * round_trip,
            "one to connect, one for the bytes"
        );
        line.is(Arc::new(|_| Duration::ZERO));
        stream.write_all(b"!").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"!", "the end arrives too");
        let address = line.address();
        drop(line);
        assert!(TcpStream::connect(address).is_err());
    }
}
