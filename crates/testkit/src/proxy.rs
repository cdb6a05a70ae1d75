use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Host;
use crate::relay::{Relay, close, lock};

/// How much is passed on at once.
const PIECE_BYTES: usize = 16 << 10;
/// What a sender waits before it sends again what was lost: TCP's shortest wait on Linux, doubled each time.
const SEND_AGAIN: Duration = Duration::from_millis(200);
/// How often one piece is lost at most.
const LOST_IN_A_ROW: u32 = 3;

/// What a way through the network is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// Everything arrives, at once.
    #[default]
    Fine,
    /// Every piece arrives so much later than it could, and there are only so many bytes in a second.
    Slow {
        /// In each direction.
        delay: Duration,
        /// Of one connection, in each direction.
        bytes_per_second: u32,
    },
    /// Pieces are lost: TCP sends them again after a while, and what was sent behind them waits. And connections break.
    Lossy {
        /// Of a thousand pieces.
        lost: u32,
        /// Of a thousand pieces, so many break their connection.
        broken: u32,
    },
}

impl Weather {
    /// How long a piece takes; `None` if its connection breaks.
    fn holds(self, bytes: usize, rng: &mut SmallRng) -> Option<Duration> {
        match self {
            Self::Fine => Some(Duration::ZERO),
            Self::Slow { delay, bytes_per_second } => {
                Some(delay + Duration::from_secs_f64(bytes as f64 / f64::from(bytes_per_second)))
            }
            Self::Lossy { broken, .. } if rng.random_range(0..1000) < broken => None,
            Self::Lossy { lost, .. } => {
                let times = (0..LOST_IN_A_ROW).take_while(|_| rng.random_range(0..1000) < lost).count();
                Some((0..times).map(|nth| SEND_AGAIN * (1 << nth)).sum())
            }
        }
    }
}

/// Stands before a TCP server and passes on what comes, as well as the [`Weather`] lets it. Dropped, it closes every
/// connection and its port.
#[derive(Debug)]
pub struct Proxy {
    relay: Relay,
    weather: Arc<Mutex<Weather>>,
}

impl Proxy {
    /// One that listens at `at` and stands before `to`, both on that host, or on this machine if there is none. What it
    /// does to connections is drawn by the seed.
    pub fn start(host: Option<&Host>, at: SocketAddr, to: SocketAddr, seed: u64) -> io::Result<Self> {
        let weather = Arc::<Mutex<Weather>>::default();
        let (namespace, has) = (host.map(|host| host.namespace.clone()), weather.clone());
        // A thread takes its sockets, and the threads that it begins, to the network it is on.
        let bind = move || namespace.map_or(Ok(()), |name| enter(&name)).and_then(|()| TcpListener::bind(at));
        let relay = Relay::start(bind, to, move |accepted| {
            let far = accepted.connect()?;
            let rng = |way| SmallRng::seed_from_u64(seed ^ accepted.number.rotate_left(32) ^ way);
            let (near, there, back) = (&accepted.near, rng(0), rng(1));
            std::thread::scope(|scope| {
                scope.spawn(|| passes_on(near, &far, &has, there));
                passes_on(&far, near, &has, back);
            });
            Some(())
        })?;
        Ok(Self { relay, weather })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// From now on, for connections that are open too.
    pub fn has(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }
}

/// Until one of the two ends closes, or the weather breaks the connection.
fn passes_on(mut from: &TcpStream, mut to: &TcpStream, weather: &Mutex<Weather>, mut rng: SmallRng) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let weather = *lock(weather);
        let Some(held) = weather.holds(read, &mut rng) else { break };
        if !held.is_zero() {
            std::thread::sleep(held);
        }
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    close(from);
    close(to);
}

/// Moves the calling thread into that network.
fn enter(namespace: &str) -> io::Result<()> {
    let file = File::open(format!("/run/netns/{namespace}"))?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use super::*;
    use crate::{PATIENCE, relay};

    /// A server that sends back what it gets, and a proxy before it.
    fn echo(seed: u64) -> Proxy {
        Proxy::start(None, "127.0.0.1:0".parse().unwrap(), relay::echo(), seed).unwrap()
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// How long it takes there and back.
    fn ping(mut stream: &TcpStream, bytes: usize) -> io::Result<Duration> {
        let begin = Instant::now();
        let sent: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        stream.write_all(&sent)?;
        let mut back = vec![0; bytes];
        stream.read_exact(&mut back)?;
        assert_eq!(back, sent);
        Ok(begin.elapsed())
    }

    #[test]
    fn in_fine_weather_everything_arrives() {
        let proxy = echo(1);
        let stream = connect(&proxy);
        assert!((0..50).all(|_| ping(&stream, 10_000).is_ok()));
    }

    #[test]
    fn on_a_slow_way_everything_arrives_later() {
        let proxy = echo(1);
        let stream = connect(&proxy);
        let delay = Duration::from_millis(30);
        proxy.has(Weather::Slow { delay, bytes_per_second: 100_000 });
        assert!(ping(&stream, 10).unwrap() >= delay * 2, "there and back");
        assert!(ping(&stream, 10_000).unwrap() >= Duration::from_millis(200), "so many bytes fit into a second");
    }

    #[test]
    fn what_is_lost_arrives_when_it_was_sent_again() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut waits = |lost| -> BTreeSet<u128> {
            let weather = Weather::Lossy { lost, broken: 0 };
            (0..1000).filter_map(|_| Some(weather.holds(10, &mut rng)?.as_millis())).collect()
        };
        assert_eq!(waits(0), BTreeSet::from([0]));
        assert_eq!(waits(300), BTreeSet::from([0, 200, 600, 1400]));
        assert_eq!(waits(1000), BTreeSet::from([1400]));
    }

    #[test]
    fn connections_break_and_new_ones_can_be_made() {
        let proxy = echo(1);
        proxy.has(Weather::Lossy { lost: 0, broken: 200 });
        let broken = (0..20).filter(|_| {
            let stream = connect(&proxy);
            (0..20).any(|_| ping(&stream, 10).is_err())
        });
        assert!(broken.count() > 10);
    }

    #[test]
    fn whoever_stands_behind_it_may_be_gone_and_come_back() {
        let port = crate::Port::reserve();
        let proxy = Proxy::start(None, "127.0.0.1:0".parse().unwrap(), port.address(), 1).unwrap();
        assert!(ping(&connect(&proxy), 10).is_err());
        let server = TcpListener::bind(port.address()).unwrap();
        let stream = connect(&proxy);
        let (behind, _) = server.accept().unwrap();
        std::thread::spawn(move || io::copy(&mut &behind, &mut &behind));
        ping(&stream, 10).unwrap();
        let address = proxy.address();
        drop(proxy);
        assert!(ping(&stream, 10).is_err() && TcpStream::connect(address).is_err());
    }
}
