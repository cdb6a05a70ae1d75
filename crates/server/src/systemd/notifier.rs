use std::env;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// How long a message may wait for the manager to read: it restarts what it has not heard of for far longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the service manager how this process is doing. Cheap to clone; clones speak on one socket. Without a manager it is
/// silent.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
    is_ready: Arc<AtomicBool>,
}

impl Notifier {
    /// To whom the environment says. One that cannot be reached is named in the log, and nothing is said to it.
    pub fn from_environment() -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let socket = connect(path.as_bytes()).map(Arc::new);
        let socket = socket.inspect_err(|error| warn!("NOTIFY_SOCKET cannot be reached: {error}")).ok();
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
        Self { socket, watchdog, is_ready: Arc::default() }
    }

    /// How long the manager waits for a sign of life before it takes this process for hung; `None` if it does not.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// The start is over.
    pub(crate) fn started(&self, status: &str) {
        self.is_ready.store(true, Ordering::Relaxed);
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// What goes on, in a few words.
    pub(crate) fn status(&self, status: &str) {
        self.say(&format!("STATUS={status}"));
    }

    /// The configuration is being read anew, until [`Notifier::ready`].
    pub(crate) fn reloading(&self) {
        if !self.is_ready.load(Ordering::Relaxed) {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let mut message = "RELOADING=1".to_owned();
        // A String takes all that is written to it.
        let _ = write!(message, "\nMONOTONIC_USEC={}{:06}", now.tv_sec, now.tv_nsec / 1_000);
        self.say(&message);
    }

    /// It was read. Says nothing before the start is over.
    pub(crate) fn ready(&self) {
        if self.is_ready.load(Ordering::Relaxed) {
            self.say("READY=1");
        }
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    /// A sign of life.
    pub(crate) fn is_alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen cannot be told that it does not.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// A path, or with an `@` in front a name in the abstract namespace (unix(7)).
fn connect(address: &[u8]) -> io::Result<UnixDatagram> {
    let address = match address.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(address))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}
