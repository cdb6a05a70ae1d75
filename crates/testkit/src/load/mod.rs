use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::{Action, Answer, Client, History, Outcome, Value};

/// How long a client waits for an answer: beyond every deadline of the server, so that it is the server who gives up.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// Where the sessions are.
const BASE: &str = "/sessions/v1/";
/// Of a hundred requests of the session mix. The rest reads.
const POSTS: u32 = 25;
const DELETES: u32 = 1;
/// Of a thousand reads, so many ask for what nobody stored.
const MISSES: u32 = 35;
/// One of so many keys is CentralAuth's, with a small value.
const CENTRAL_EVERY: usize = 10;
const CENTRAL_BYTES: std::ops::RangeInclusive<usize> = 200..=300;
/// Of the others; 2 KB in the mean.
const SESSION_BYTES: std::ops::RangeInclusive<usize> = 500..=3500;
/// The first bytes of a value are its number, in hexadecimal.
const NUMBER_BYTES: usize = 16;
/// A value that is none of ours, or not whole: no write has this number.
const FOREIGN: Value = Value::MAX;
/// A client's number stands above the serial of its writes.
const SERIAL_BITS: u32 = 40;

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
    address: SocketAddr,
    killed: AtomicBool,
    /// How often it came back.
    back: AtomicU64,
}

impl Load {
    /// Starts it on nodes with these names and addresses. Every key is written once first.
    pub fn start(nodes: &[(String, SocketAddr)], options: LoadOptions) -> Self {
        let target = |(name, address): &(String, SocketAddr)| Target {
            name: name.clone(),
            address: *address,
            killed: AtomicBool::new(false),
            back: AtomicU64::new(0),
        };
        let shared = Arc::new(Shared {
            targets: nodes.iter().map(target).collect(),
            keys: keys(options),
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

struct LoadClient {
    number: usize,
    shared: Arc<Shared>,
    rng: SmallRng,
    serial: u64,
    /// Where it is, and the connection to there.
    node: usize,
    connection: Option<Client>,
    /// How often its home had come back when it left.
    home_was_back: u64,
    history: History,
    samples: Vec<Sample>,
}

/// A request that got no answer.
enum Unanswered {
    /// Nobody took the connection.
    NobodyListens,
    /// The connection broke, or nothing came for too long.
    Broken(io::Error),
}

impl LoadClient {
    fn new(number: usize, shared: Arc<Shared>) -> Self {
        Self {
            number,
            rng: SmallRng::seed_from_u64(shared.options.seed.wrapping_add(number as u64)),
            serial: 0,
            node: number % shared.targets.len(),
            connection: None,
            home_was_back: 0,
            history: History::begun_at(shared.begin),
            samples: Vec::new(),
            shared,
        }
    }

    fn run(mut self) -> (History, Vec<Sample>) {
        let shared = self.shared.clone();
        for key in shared.keys.iter().skip(self.number).step_by(shared.options.clients) {
            let value = self.next_value();
            self.act(key, Action::Put(value));
        }
        shared.filled.fetch_add(1, Ordering::SeqCst);
        while !shared.stop.load(Ordering::SeqCst) {
            std::thread::sleep(self.pause());
            if shared.rest.load(Ordering::SeqCst) {
                continue;
            }
            let (key, action) = self.choose();
            self.act(&key, action);
        }
        (self.history, self.samples)
    }

    /// Exponential, so that clients do not march in step.
    fn pause(&mut self) -> Duration {
        let unit: f64 = self.rng.random();
        self.shared.options.think.mul_f64(-(1.0 - unit).ln()).min(self.shared.options.think * 5)
    }

    fn choose(&mut self) -> (String, Action) {
        // Squared: few keys get many requests.
        let skewed = self.rng.random::<f64>().powi(2);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of keys")]
        let nth = (skewed * self.shared.keys.len() as f64) as usize;
        let key = self.shared.keys[nth.min(self.shared.keys.len() - 1)].clone();
        match self.rng.random_range(0..100) {
            dice if dice < POSTS => (key, Action::Put(self.next_value())),
            dice if dice < POSTS + DELETES => (key, Action::Delete),
            _ if self.rng.random_range(0..1000) < MISSES => {
                (format!("enwiki:MWSession:{:032x}", self.rng.random_range(0..1000)), Action::Get(None))
            }
            _ => (key, Action::Get(None)),
        }
    }

    fn next_value(&mut self) -> Value {
        self.serial += 1;
        (self.number as u64 + 1) << SERIAL_BITS | self.serial
    }

    /// One request, from its first connection to its end, with all that is written down about it.
    fn act(&mut self, key: &str, action: Action) {
        let start = Instant::now();
        let (method, body) = match action {
            Action::Put(value) => ("POST", value_bytes(value, key)),
            Action::Delete => ("DELETE", Vec::new()),
            Action::Get(_) => ("GET", Vec::new()),
            other => unreachable!("the session mix has no {other:?}"),
        };
        self.go_home_if_it_is_back();
        let mut moved = 0;
        let answered = loop {
            match self.request(method, key, &body) {
                Err(Unanswered::NobodyListens) if moved < self.shared.targets.len() => {
                    moved += 1;
                    self.node = (self.node + 1) % self.shared.targets.len();
                }
                other => break other,
            }
        };
        let target = &self.shared.targets[self.node];
        let (action, outcome, verdict) = match answered {
            Ok(answer) => {
                let (outcome, failure) = judge(method, &answer);
                let action = if method == "GET" { Action::Get(read_value(&answer, key)) } else { action };
                (action, outcome, failure.map_or(Verdict::Answered, Verdict::Failed))
            }
            Err(Unanswered::NobodyListens) => {
                (action, Outcome::Failed, Verdict::Failed("every node refuses connections".into()))
            }
            Err(Unanswered::Broken(_)) if target.killed.load(Ordering::SeqCst) => {
                (action, Outcome::Ambiguous, Verdict::CutOff)
            }
            Err(Unanswered::Broken(error)) => {
                let failure = format!("{method}: the connection to {} broke: {error}", target.name);
                (action, Outcome::Ambiguous, Verdict::Failed(failure))
            }
        };
        self.history.record(self.number, key, action, start, outcome);
        let took = start.elapsed();
        let start = start.duration_since(self.shared.begin);
        self.samples.push(Sample { start, took, node: self.node, moved, verdict });
    }

    /// Sends it once, on a connection that is open as far as can be known.
    fn request(&mut self, method: &str, key: &str, body: &[u8]) -> Result<Answer, Unanswered> {
        let kept = self.connection.take().filter(|connection| !connection.has_been_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => match Client::connect_patiently(self.shared.targets[self.node].address, CLIENT_PATIENCE) {
                Ok(connection) => connection,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(Unanswered::NobodyListens);
                }
                Err(error) => return Err(Unanswered::Broken(error)),
            },
        };
        let answer = connection.request(method, &target_of(key), "", body).map_err(Unanswered::Broken)?;
        let stays = answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        self.connection = stays.then_some(connection);
        Ok(answer)
    }

    fn go_home_if_it_is_back(&mut self) {
        let home = self.number % self.shared.targets.len();
        let back = self.shared.targets[home].back.load(Ordering::SeqCst);
        if back != self.home_was_back {
            self.home_was_back = back;
            if self.node != home {
                self.node = home;
                self.connection = None;
            }
        }
    }
}

/// Gives how many keys were there, or why one was not answered.
fn read_all(history: &mut History, keys: &[String], client: usize, address: SocketAddr) -> Result<usize, String> {
    let mut connection = Client::connect(address).map_err(|error| format!("{address}: {error}"))?;
    let mut found = 0;
    for key in keys {
        let start = Instant::now();
        let answer = connection.request("GET", &target_of(key), "", b"");
        let answer = answer.map_err(|error| format!("a read at {address} broke: {error}"))?;
        let (outcome, failure) = judge("GET", &answer);
        if let Some(failure) = failure {
            return Err(format!("a read at {address}: {failure}"));
        }
        let value = read_value(&answer, key);
        found += usize::from(value.is_some());
        history.record(client, key, Action::Get(value), start, outcome);
    }
    Ok(found)
}

fn keys(options: LoadOptions) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let key = |nth: usize| {
        let id: u128 = rng.random();
        match nth {
            nth if nth % CENTRAL_EVERY == CENTRAL_EVERY - 1 => format!("global:centralauth:sessions:{id:032x}"),
            nth if nth % 3 == 0 => format!("dewiki:MWSession:{id:032x}"),
            _ => format!("enwiki:MWSession:{id:032x}"),
        }
    };
    (0..options.keys).map(key).collect()
}

/// As MediaWiki sends it.
fn target_of(key: &str) -> String {
    format!("{BASE}{}", key.replace(':', "%3A"))
}

/// Its number, and then bytes that nobody else would have made of it: half a value or two mixed are none of ours.
fn value_bytes(value: Value, key: &str) -> Vec<u8> {
    let salt = key.bytes().fold(value, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = SmallRng::seed_from_u64(salt);
    let bytes = if key.starts_with("global:") { CENTRAL_BYTES } else { SESSION_BYTES };
    let mut bytes = vec![0; rng.random_range(bytes)];
    rng.fill_bytes(&mut bytes);
    bytes[..NUMBER_BYTES].copy_from_slice(format!("{value:016x}").as_bytes());
    bytes
}

/// What a read found, byte for byte.
fn read_value(answer: &Answer, key: &str) -> Option<Value> {
    if answer.status != 200 {
        return None;
    }
    let number = answer.body.get(..NUMBER_BYTES).and_then(|number| std::str::from_utf8(number).ok());
    let value = number.and_then(|number| Value::from_str_radix(number, 16).ok());
    Some(value.filter(|value| answer.body == value_bytes(*value, key)).unwrap_or(FOREIGN))
}

/// What a client knows after this answer, and why it is a failure if it is one.
fn judge(method: &str, answer: &Answer) -> (Outcome, Option<String>) {
    let expected: &[u16] = match method {
        "GET" => &[200, 404],
        "DELETE" => &[204],
        _ => &[201],
    };
    if expected.contains(&answer.status) {
        return (Outcome::Ok, None);
    }
    let problem = answer.text();
    let kind = problem.split("\"type\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let kind = kind.rsplit('/').next().unwrap_or_default();
    // A 503 changed nothing, except where it says that it does not know.
    let outcome = if answer.status == 503 && kind != "outcome_unknown" { Outcome::Failed } else { Outcome::Ambiguous };
    (outcome, Some(format!("{method}: {} {kind}", answer.status)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex;

    use super::*;
    use crate::eventually;

    /// A store in memory, as good or as bad as a test wants it.
    #[derive(Default)]
    struct Toy {
        sessions: Mutex<HashMap<String, Vec<u8>>>,
        requests: AtomicU64,
        /// Once in so many requests as it says.
        misbehaviour: Misbehaviour,
    }

    #[derive(Default, Clone, Copy, PartialEq)]
    enum Misbehaviour {
        #[default]
        None,
        LoseWrites,
        Refuse,
        Break,
    }

    impl Misbehaviour {
        /// A write that is lost shows only if a read comes before the next write of its key, and if no other write was
        /// under way with it: so many are lost that one of them shows in every run.
        fn once_in(self) -> u64 {
            if self == Self::LoseWrites { 5 } else { 100 }
        }
    }

    impl Toy {
        fn that(misbehaviour: Misbehaviour) -> Arc<Self> {
            Arc::new(Self { misbehaviour, ..Self::default() })
        }

        fn listen(self: &Arc<Self>) -> (String, SocketAddr) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let toy = self.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let toy = toy.clone();
                    std::thread::spawn(move || toy.converse(stream.unwrap()));
                }
            });
            (address.to_string(), address)
        }

        fn converse(&self, stream: TcpStream) -> Option<()> {
            let mut stream = BufReader::new(stream);
            loop {
                let mut head = Vec::new();
                while head.last().is_none_or(|line: &String| !line.trim().is_empty()) {
                    let mut line = String::new();
                    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
                    head.push(line);
                }
                let length = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")?.trim().parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                stream.read_exact(&mut body).ok()?;
                let (method, key) = head[0].split_once(' ')?;
                let nth = self.requests.fetch_add(1, Ordering::SeqCst);
                let once_in = self.misbehaviour.once_in();
                let misbehaves = nth % once_in == once_in - 1;
                let answer = match (misbehaves, self.misbehaviour) {
                    (true, Misbehaviour::Break) => return None,
                    (true, Misbehaviour::Refuse) => problem(),
                    (lose, misbehaviour) => {
                        self.answer(method, key, body, lose && misbehaviour == Misbehaviour::LoseWrites)
                    }
                };
                stream.get_mut().write_all(&answer).ok()?;
            }
        }

        fn answer(&self, method: &str, key: &str, body: Vec<u8>, lose: bool) -> Vec<u8> {
            let mut sessions = self.sessions.lock().unwrap();
            match method {
                "GET" => match sessions.get(key) {
                    Some(value) => {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", value.len());
                        [head.as_bytes(), value].concat()
                    }
                    None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
                },
                "POST" => {
                    if !lose {
                        sessions.insert(key.to_owned(), body);
                    }
                    b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n".to_vec()
                }
                _ => {
                    sessions.remove(key);
                    b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
                }
            }
        }
    }

    fn problem() -> Vec<u8> {
        let body = "{\n  \"type\": \"https://www.mediawiki.org/wiki/Kask/errors/no_quorum\"\n}\n";
        format!("HTTP/1.1 503 -\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn options(think: Duration) -> LoadOptions {
        LoadOptions { clients: 4, keys: 20, think, seed: 3 }
    }

    /// Until so many requests were made.
    fn run_for(load: Load, toy: &Toy, requests: u64) -> Seen {
        let until = toy.requests.load(Ordering::SeqCst) + requests;
        eventually("clients do not rest", || (toy.requests.load(Ordering::SeqCst) >= until).then_some(()));
        load.stop()
    }

    fn failures(seen: &Seen) -> Vec<&str> {
        let failure =
            |sample| if let &Sample { verdict: Verdict::Failed(ref why), .. } = sample { Some(&**why) } else { None };
        seen.samples.iter().filter_map(failure).collect()
    }

    #[test]
    fn a_good_store_has_no_failures_and_a_linearizable_history() {
        let toy = Toy::that(Misbehaviour::None);
        let nodes = [toy.listen(), toy.listen()];
        let mut seen = run_for(Load::start(&nodes, options(Duration::from_micros(100))), &toy, 3000);
        assert_eq!(failures(&seen), Vec::<&str>::new());
        assert!(seen.read_everything(4, nodes[0].1) > 0);
        seen.history.assert_linearizable();
        let count = |wanted: fn(Action) -> bool| seen.history.operations().iter().filter(|o| wanted(o.action)).count();
        let (gets, puts) = (count(|a| matches!(a, Action::Get(_))), count(|a| matches!(a, Action::Put(_))));
        assert!((2..5).contains(&(gets / puts)) && count(|a| a == Action::Delete) > 0, "{gets} {puts}");
    }

    #[test]
    fn a_store_that_loses_an_acknowledged_write_is_caught() {
        let toy = Toy::that(Misbehaviour::LoseWrites);
        let nodes = [toy.listen()];
        let mut seen = run_for(Load::start(&nodes, options(Duration::from_micros(100))), &toy, 3000);
        seen.read_everything(4, nodes[0].1);
        assert!(seen.history.check().is_err());
    }

    #[test]
    fn an_error_status_and_a_broken_connection_are_failures_unless_the_node_was_killed() {
        for (misbehaviour, said) in [(Misbehaviour::Refuse, "503 no_quorum"), (Misbehaviour::Break, "broke")] {
            for killed in [false, true] {
                let toy = Toy::that(misbehaviour);
                let node = toy.listen();
                let load = Load::start(std::slice::from_ref(&node), options(Duration::from_micros(100)));
                if killed {
                    load.is_killed(&node.0);
                }
                let seen = run_for(load, &toy, 1000);
                let failures = failures(&seen);
                let excused = killed && misbehaviour == Misbehaviour::Break;
                assert!(failures.iter().all(|why| why.contains(said)), "{failures:?}");
                let cut_off = seen.samples.iter().filter(|sample| sample.verdict == Verdict::CutOff).count();
                // The first one may have come before it was said.
                assert!(if excused { cut_off > 0 && failures.len() < 2 } else { cut_off == 0 && !failures.is_empty() });
                seen.history.assert_linearizable();
            }
        }
    }

    #[test]
    fn clients_go_on_where_a_connection_is_refused_and_come_home() {
        let toy = Toy::that(Misbehaviour::None);
        let taken = crate::Port::reserve();
        let nodes = [("away".to_owned(), taken.address()), toy.listen()];
        let load = Load::start(&nodes, options(Duration::from_micros(100)));
        eventually("every key is written", || load.has_filled().then_some(()));
        eventually("they go on", || (toy.requests.load(Ordering::SeqCst) > 500).then_some(()));
        let home = TcpListener::bind(taken.address()).unwrap();
        load.is_back("away");
        let (stream, _) = home.accept().unwrap();
        let toy_at_home = toy.clone();
        std::thread::spawn(move || toy_at_home.converse(stream));
        let (stream, _) = home.accept().unwrap();
        let toy_at_home = toy.clone();
        std::thread::spawn(move || toy_at_home.converse(stream));
        let seen = run_for(load, &toy, 500);
        assert_eq!(failures(&seen), Vec::<&str>::new());
        assert_eq!(seen.samples.iter().map(|sample| sample.moved).sum::<usize>(), 2, "each of the two at home once");
        assert!(seen.samples.iter().any(|sample| sample.node == 0));
        seen.history.assert_linearizable();
    }

    #[test]
    fn a_value_that_is_not_whole_is_nobodys() {
        let whole = Answer { status: 200, headers: Vec::new(), body: value_bytes(77, "k") };
        assert_eq!(read_value(&whole, "k"), Some(77));
        assert_eq!(read_value(&whole, "another"), Some(FOREIGN));
        let half = Answer { body: whole.body[..100].to_vec(), ..whole };
        assert_eq!(read_value(&half, "k"), Some(FOREIGN));
    }
}
