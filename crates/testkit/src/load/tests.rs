use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use super::*;
use crate::{Action, eventually};

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
