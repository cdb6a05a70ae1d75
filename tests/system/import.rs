//! `sessile import` from a source that does what a real one does seldom. The real ones are in `tests/import`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use sessile_testkit::Client;

use crate::world::{BASE, Place, sessile};

/// How many keys a SCAN of the source below names.
const PAGE: usize = 10;

/// A source of strings that live for an hour, as far as an import asks it.
#[derive(Default)]
struct Redis {
    keys: BTreeMap<String, String>,
    run_id: &'static str,
    /// The cursor at which it breaks the connection.
    breaks_at: Option<usize>,
    /// What it answers to SCAN instead.
    scan: Option<Vec<u8>>,
    /// What it has forgotten when it is asked for it by EXISTS.
    forgets: Vec<String>,
    /// Which cursors it was asked for.
    scanned: Vec<usize>,
}

impl Redis {
    fn of(keys: usize) -> Self {
        let key = |nth| (format!("wiki:secret-{nth:03}"), format!("secret value {nth}"));
        Self { keys: (0..keys).map(key).collect(), run_id: "first", ..Self::default() }
    }

    /// The answer to a command; `None` breaks the connection.
    fn answer(&mut self, words: &[String]) -> Option<Vec<u8>> {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let value = words.get(1).and_then(|key| self.keys.get(key)).cloned().unwrap_or_default();
        let text = match &*words[0] {
            "INFO" => bulk(&format!("# Server\r\nrun_id:{}\r\n", self.run_id)),
            "DBSIZE" => format!(":{}\r\n", self.keys.len()),
            "SCAN" => {
                let cursor: usize = words[1].parse().unwrap();
                self.scanned.push(cursor);
                if self.breaks_at == Some(cursor) {
                    return None;
                }
                if let Some(scan) = &self.scan {
                    return Some(scan.clone());
                }
                let page: Vec<_> = self.keys.keys().skip(cursor).take(PAGE).map(|key| bulk(key)).collect();
                let next = if cursor + PAGE < self.keys.len() { cursor + PAGE } else { 0 };
                format!("*2\r\n{}*{}\r\n{}", bulk(&next.to_string()), page.len(), page.concat())
            }
            "STRLEN" => format!(":{}\r\n", value.len()),
            "GETRANGE" => bulk(&value),
            "PTTL" => ":3600000\r\n".to_owned(),
            "EXISTS" => format!(":{}\r\n", u8::from(!self.forgets.contains(&words[1]))),
            other => panic!("{other} was not expected"),
        };
        Some(text.into_bytes())
    }
}

/// Serves it until the test ends.
fn serve(redis: Redis) -> (SocketAddr, Arc<Mutex<Redis>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, redis) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(redis)));
    let shared = redis.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            converse(&client.unwrap(), &shared);
        }
    });
    (address, redis)
}

fn converse(client: &TcpStream, redis: &Mutex<Redis>) {
    let mut reader = BufReader::new(client);
    while let Some(words) = command(&mut reader) {
        let Some(answer) = redis.lock().unwrap().answer(&words) else { return };
        if (&*client).write_all(&answer).is_err() {
            return;
        }
    }
}

fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let number = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        line[1..].trim().parse::<usize>().ok()
    };
    let count = number(reader)?;
    let word = |_| {
        let mut word = vec![0; number(reader)? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        String::from_utf8(word).ok()
    };
    (0..count).map(word).collect()
}

fn import(source: SocketAddr, node: SocketAddr, more: &[&str]) -> Output {
    let (source, to) = (format!("redis://{source}"), format!("http://{node}{BASE}"));
    sessile().args(["import", &source, "--to", &to, "--json"]).args(more).output().unwrap()
}

/// The report, after a look at all that was said.
#[track_caller]
fn report(output: &Output, code: i32) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("secret") && !report.contains("secret"), "a key or a value was said:\n{said}\n{report}");
    serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}{said}"))
}

#[test]
fn an_import_that_broke_off_goes_on_where_it_stood_unless_the_source_was_started_again() {
    let place = Place::new("fjall");
    let mut process = place.start();
    let node = process.ready();
    let state = place.path().join("import.state");
    let state = ["--state", state.to_str().unwrap()];
    let (address, redis) = serve(Redis { breaks_at: Some(20), ..Redis::of(35) });

    let broken = import(address, node, &state);
    let told = report(&broken, 69);
    assert_eq!((&told["copied"], &told["finished"], &told["unchecked"]), (&20.into(), &false.into(), &20.into()));
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(said.contains("20 keys were looked at, 20 copied, 0 were there already"), "{said}");
    let line = said.trim_end().rsplit_once("to go on: ").unwrap().1;
    assert!(line.starts_with("sessile import redis://") && line.contains(" --state /"), "{line}");

    // Its keys have another order now, and the cursor leads nowhere.
    *redis.lock().unwrap() = Redis { breaks_at: Some(30), run_id: "second", ..Redis::of(35) };
    let told = report(&import(address, node, &state), 69);
    assert_eq!((&told["copied"], &told["already_there"]), (&30.into(), &20.into()));
    assert_eq!(redis.lock().unwrap().scanned, [0, 10, 20, 30]);

    *redis.lock().unwrap() = Redis { run_id: "second", ..Redis::of(35) };
    let told = report(&import(address, node, &state), 0);
    assert_eq!((&told["copied"], &told["finished"], &told["unchecked"]), (&35.into(), &true.into(), &0.into()));
    assert_eq!(redis.lock().unwrap().scanned, [30], "it went on where it stood");
}

#[test]
fn a_session_that_the_source_loses_while_it_is_copied_is_lost_here_too() {
    let place = Place::new("fjall");
    let mut process = place.start();
    let node = process.ready();
    let (address, _) = serve(Redis { forgets: vec!["wiki:secret-001".to_owned()], ..Redis::of(3) });
    let told = report(&import(address, node, &[]), 0);
    assert_eq!((&told["copied"], &told["taken_back"]), (&3.into(), &1.into()));
    let status = |key: &str| {
        let path = format!("{BASE}{key}");
        Client::connect(node).unwrap().request("GET", &path, "", b"").unwrap().status
    };
    assert_eq!(["wiki:secret-000", "wiki:secret-001", "wiki:secret-002"].map(status), [200, 404, 200]);
}

#[test]
fn a_source_that_answers_nonsense_or_without_end_is_left_with_a_sentence() {
    let place = Place::new("fjall");
    let mut process = place.start();
    let node = process.ready();
    let key = format!("$1000\r\n{}\r\n", "k".repeat(1000));
    for (answer, said) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "its answer is not the protocol of Redis"),
        (b"-NOAUTH Authentication required: secret\r\n".to_vec(), "refuses the password, or wants one (NOAUTH)"),
        (b"-MOVED 1 secret:1\r\n".to_vec(), "answers SCAN with the error MOVED; it is a part of a cluster"),
        (b"*2\r\n$1\r\n0\r\n*9223372036854775807\r\n$1\r\nk\r\n:1\r\n".to_vec(), "a key was expected"),
        (
            [b"*2\r\n$1\r\n0\r\n*100000\r\n".to_vec(), key.repeat(80_000).into_bytes()].concat(),
            "its answer is larger than 67108864 bytes",
        ),
    ] {
        let (address, _) = serve(Redis { scan: Some(answer), ..Redis::of(0) });
        let output = import(address, node, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("sessile: ") && last.contains(said) && !stderr.contains("secret"), "{stderr}");
        assert!([69, 77].contains(&output.status.code().unwrap()), "{output:?}");
    }
}
