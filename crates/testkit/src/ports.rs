use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux and BSD hand to outgoing connections by themselves (32768 and 49152 up), above what services use:
/// nobody takes such a port by accident while the node that owns it is down.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
/// A prime that is no divisor of the range's length: processes that start one after the other begin far apart.
const STRIDE: u32 = 7919;

/// How many were handed out by this process.
static HANDED_OUT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that is this test's alone, as long as this value lives, whether something listens on it or not: a
/// node that is restarted finds its own port again. Tests of other processes on this machine respect it, by a lock file.
#[derive(Debug)]
pub struct Port {
    number: u16,
    // Held, not read. The system lets go of it when the process ends, however it ends; children do not inherit it. The
    // file itself stays, because removing it would let two processes lock two files of one name.
    _lock: File,
}

impl Port {
    /// One that nobody uses. Panics if there is none, or no place for the lock files.
    pub fn reserve() -> Self {
        let dir = lock_dir().unwrap_or_else(|error| panic!("no directory for the locks on ports: {error}"));
        let count = RANGE.end - RANGE.start;
        for _ in 0..count {
            let nth = u32::from(HANDED_OUT.fetch_add(1, Ordering::Relaxed));
            let offset = (std::process::id().wrapping_mul(STRIDE).wrapping_add(nth)) % u32::from(count);
            let number = RANGE.start + u16::try_from(offset).unwrap_or(0);
            // Locked first and looked at then: whoever finds it free holds it already.
            let lock = File::options().create(true).truncate(false).write(true).open(dir.join(number.to_string()));
            let Ok(lock) = lock else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("every port of {RANGE:?} is taken");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// It on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// One for each user: nobody can lock another user's files.
fn lock_dir() -> io::Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let dir = std::env::temp_dir().join(format!("sessile-test-ports-{user}"));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_port_is_handed_out_once_while_it_is_held_although_nobody_listens_on_it() {
        let held: Vec<_> = (0..50).map(|_| Port::reserve()).collect();
        let numbers: BTreeSet<_> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());
        assert!(numbers.iter().all(|number| RANGE.contains(number)));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_handed_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!((0..20).all(|_| Port::reserve().number() != taken));
    }

    #[test]
    fn a_port_can_be_bound_again_after_a_connection_was_left_behind() {
        let port = Port::reserve();
        for _ in 0..2 {
            let listener = TcpListener::bind(port.address()).unwrap();
            let client = std::net::TcpStream::connect(port.address()).unwrap();
            // Closed by the server first, as by one that was killed: its end of the connection lingers in the system.
            drop(listener.accept().unwrap());
            drop(client);
        }
    }
}
