use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use crate::{Client, LOOK_AGAIN, PATIENCE, eventually, looks_for};

pub use rustix::process::Signal;

/// The program, running. Its output is kept; dropped, it is killed.
pub struct Process {
    child: Child,
    stdout: Captured,
    stderr: Captured,
    readers: Vec<JoinHandle<()>>,
}

/// Whether a thread of `/proc` was stopped by a signal, or has ended (proc(5): the state follows the name in brackets).
fn stands_still(thread: &Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
}

/// What a stream brought so far, and whoever waits for more.
#[derive(Clone, Default)]
struct Captured(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Process {
    /// Starts it. Standard input is empty.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(stdout.follow(stream));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(stderr.follow(stream));
        }
        Ok(Self { child, stdout, stderr, readers })
    }

    /// Where it says that it listens. `None` if it ends without saying so.
    pub fn address(&self) -> Option<SocketAddr> {
        self.stdout.find("it should say where it listens", listening_address)
    }

    /// Waits until it says that it is ready, and gives where it listens. Panics, with its words, if it ends before.
    pub fn ready(&mut self) -> SocketAddr {
        let Some(address) = self.address() else { panic!("it ended instead of listening\n{}", self.words()) };
        let ready = |client: &mut Client| client.request("GET", "/readyz", "", b"").is_ok_and(|a| a.status == 200);
        let mut client = None;
        let became_ready = eventually("a node that has no fault becomes ready", || {
            client = client.take().or_else(|| Client::connect(address).ok());
            if client.as_mut().is_some_and(ready) {
                return Some(true);
            }
            client = None;
            self.has_ended().then_some(false)
        });
        assert!(became_ready, "it ended instead of becoming ready\n{}", self.words());
        address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal. It may have ended already.
    pub fn signal(&mut self, signal: Signal) {
        // A child that was not waited for keeps its id, so this cannot reach somebody else.
        if !self.has_ended()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGSTOP, and waits until each of its threads stands still: one that is in the kernel first ends what it does there.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        eventually("all threads stand still", || {
            let mut threads = fs::read_dir(&tasks).ok()?.flatten();
            threads.all(|thread| stands_still(&thread.path())).then_some(())
        });
    }

    /// `kill -9`, and waits until it is gone and all that it said is here.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.drain();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits until it ends by itself; `None` if it does not within that time.
    pub fn ends_within(&mut self, time: Duration) -> Option<ExitStatus> {
        looks_for(time, LOOK_AGAIN, || self.child.try_wait().ok().flatten())
    }

    /// Waits until it ends by itself. Panics, with its words, if it does not.
    pub fn ends(&mut self) -> ExitStatus {
        let Some(status) = self.ends_within(PATIENCE) else {
            panic!("it did not end within {PATIENCE:?}\n{}", self.words())
        };
        self.drain();
        status
    }

    /// Waits until a line of its standard output holds that, and gives the line. Panics if it ends before.
    pub fn says(&self, what: &str) -> String {
        let line = |text: &str| whole_lines(text).find(|line| line.contains(what)).map(str::to_owned);
        self.stdout.find(what, line).unwrap_or_else(|| panic!("it ended without saying {what:?}\n{}", self.words()))
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to standard error so far; all of it after [`Process::ends`].
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn drain(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    fn words(&self) -> String {
        format!("--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Captured {
    fn follow(&self, mut stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let captured = self.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                captured.add(&buffer[..read]);
            }
            captured.end();
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: &[u8]) {
        self.lock().bytes.extend_from_slice(bytes);
        self.0.1.notify_all();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until there is something in it; `None` if the stream ends without. Panics after [`PATIENCE`].
    fn find<T>(&self, because: &str, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&String::from_utf8_lossy(&state.bytes)) {
                return Some(found);
            }
            if state.ended {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not within {PATIENCE:?}: {because}");
            state = self.0.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// From the banner of `dev` or the log of `serve`.
fn listening_address(stdout: &str) -> Option<SocketAddr> {
    whole_lines(stdout).find_map(|line| {
        let banner = line.strip_prefix("sessile listens on http://").and_then(|rest| rest.split('/').next());
        let logged = || {
            let rest = line.contains(r#""msg":"listening""#).then(|| line.split_once(r#""address":""#)).flatten()?;
            rest.1.split('"').next()
        };
        banner.or_else(logged)?.parse().ok()
    })
}
