use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::History;

mod client;
#[cfg(test)]
mod tests;
mod values;

use client::{LoadClient, read_all};

/// Clients of the kind that a session store has: three reads for a write, skewed, on keys that they share, each client
/// at one node that is its home, with a pause after each request.
///
/// # When a client goes elsewhere, and what is a failure
/// A client has one connection, kept open. It opens another one when
/// - the last answer said `Connection: close`, or
/// - it finds, before it sends the first byte of a request, that the server has closed the connection.
///
/// A connection that is **refused** sends it on to the next node of the list; nothing else does, and no request was sent
/// by then. It goes home when it is told that its home is back ([`Load::is_back`]).
///
/// A request that was sent is never sent again. It **failed** if its answer is another than the API's for success (a
/// 404 to a read is one), if the connection broke before the answer was complete, or if no answer came in
/// 10 s; and if every node refuses. The one exception is what was under way at a node of which the test has said
/// before that it kills it ([`Load::is_killed`]): that is **cut off**, its outcome unknown and nobody's failure.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<(History, Vec<Sample>)>>,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// How many clients, spread evenly over the nodes.
    pub clients: usize,
    /// How many keys they share. The first hundredth of them gets a tenth of the requests.
    pub keys: usize,
    /// The pause of a client after a request, in the mean.
    pub think: Duration,
    /// What decides who does what; not when.
    pub seed: u64,
}

/// One request, as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it began, counted from the beginning of the load.
    pub start: Duration,
    /// How long it took, with every new connection that it needed.
    pub took: Duration,
    /// Which node it ended at: its place in the list.
    pub node: usize,
    /// How often it had to go on to another node first.
    pub moved: usize,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Answered,
    /// Under way when its node was killed.
    CutOff,
    /// Otherwise; and how.
    Failed(String),
}

/// All that the clients did and saw.
#[derive(Debug)]
pub struct Seen {
    /// For the check.
    pub history: History,
    /// For the report, by start.
    pub samples: Vec<Sample>,
    keys: Vec<String>,
}

struct Shared {
    targets: Vec<Target>,
    options: LoadOptions,
    keys: Vec<String>,
    begin: Instant,
    /// How many clients have written their share of the keys.
    filled: AtomicUsize,
    rest: AtomicBool,
    stop: AtomicBool,
}

struct Target {
    name: String,
    address: Mutex<SocketAddr>,
    killed: AtomicBool,
    /// How often it came back.
    back: AtomicU64,
}

impl Load {
    /// Starts it on nodes with these names and addresses. Every key is written once first.
    pub fn start(nodes: &[(String, SocketAddr)], options: LoadOptions) -> Self {
        let target = |(name, address): &(String, SocketAddr)| Target {
            name: name.clone(),
            address: Mutex::new(*address),
            killed: AtomicBool::new(false),
            back: AtomicU64::new(0),
        };
        let shared = Arc::new(Shared {
            targets: nodes.iter().map(target).collect(),
            keys: values::keys(options),
            options,
            begin: Instant::now(),
            filled: AtomicUsize::new(0),
            rest: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let client = |number: usize| {
            let client = LoadClient::new(number, shared.clone());
            std::thread::spawn(move || client.run())
        };
        Self { clients: (0..options.clients).map(client).collect(), shared }
    }

    /// How long it has been running.
    pub fn elapsed(&self) -> Duration {
        self.shared.begin.elapsed()
    }

    /// Whether every key was written once: from then on there is nothing but the mix.
    pub fn has_filled(&self) -> bool {
        self.shared.filled.load(Ordering::SeqCst) == self.clients.len()
    }

    /// From now on, until it is back, what is cut off at that node is nobody's failure. To be said before `kill -9`.
    pub fn is_killed(&self, name: &str) {
        self.target(name).killed.store(true, Ordering::SeqCst);
    }

    /// That node serves again: its clients go home.
    pub fn is_back(&self, name: &str) {
        let target = self.target(name);
        target.killed.store(false, Ordering::SeqCst);
        target.back.fetch_add(1, Ordering::SeqCst);
    }

    /// That node is somewhere else now. Clients who are still there find out when a connection is refused, or ends.
    pub fn moves(&self, name: &str, address: SocketAddr) {
        *self.target(name).address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Whether clients make no new requests, until it is said otherwise.
    pub fn rests(&self, rests: bool) {
        self.shared.rest.store(rests, Ordering::SeqCst);
    }

    /// Reads every key once at a node, as one more client, and gives what it saw, or why a read was not answered.
    pub fn read_everything(&self, client: usize, address: SocketAddr) -> Result<History, String> {
        let mut history = History::begun_at(self.shared.begin);
        read_all(&mut history, &self.shared.keys, client, address).map(|_| history)
    }

    /// Lets every client finish its request, and gives what they saw.
    pub fn stop(mut self) -> Seen {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut history = History::begun_at(self.shared.begin);
        let mut samples = Vec::new();
        for client in self.clients.drain(..) {
            match client.join() {
                Ok((seen, mut taken)) => {
                    history.merge(seen);
                    samples.append(&mut taken);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        samples.sort_by_key(|sample| sample.start);
        Seen { history, samples, keys: self.shared.keys.clone() }
    }

    fn target(&self, name: &str) -> &Target {
        let named = self.shared.targets.iter().find(|target| target.name == name);
        named.unwrap_or_else(|| panic!("the load knows no {name}"))
    }
}

impl Target {
    fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A test that has failed: they end by themselves.
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}

impl Seen {
    /// Reads every key once more at a node, as one more client. Gives how many were there. Panics if one is not answered.
    pub fn read_everything(&mut self, client: usize, address: SocketAddr) -> usize {
        let read = read_all(&mut self.history, &self.keys, client, address);
        read.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Of how many keys at most one can be there.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }
}
