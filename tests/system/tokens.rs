//! Tokens of namespaces: made by the command, known to every node by their hashes, and shown by clients.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use sessile_testkit::{Client, Fleet, Process, Signal};

use crate::world::{BASE, Place, sentence};

/// How long is waited for what must come. Only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client that shows that is answered; nothing is shown for an empty token.
fn status(address: SocketAddr, method: &str, token: &str, body: &[u8]) -> u16 {
    let shown = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    let mut client = Client::connect(address).unwrap();
    client.request(method, &format!("{BASE}k"), &shown, body).unwrap().status
}

/// What `sessile namespace token add` printed.
fn printed(stdout: &str) -> String {
    let token = stdout.strip_suffix('\n').unwrap();
    let digits = token.strip_prefix("sess_").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "256 bits, and nothing else");
    token.to_owned()
}

fn add(place: &Place, node: &Process, name: &str, right: &str) -> String {
    let (code, stdout, stderr) = place.ask(node, &["namespace", "token", "add", "sessions", name, "--right", right]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.starts_with(&format!("token {name} of sessions was added with the right {right}")), "{stderr}");
    printed(&stdout)
}

fn listed(place: &Place, node: &Process) -> Vec<serde_json::Value> {
    let (code, stdout, stderr) = place.ask(node, &["namespace", "token", "list", "sessions", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Every file below a directory.
fn files(directory: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.push(bytes);
        }
    }
}

#[test]
fn a_token_closes_a_namespace_for_whoever_shows_none_and_is_nowhere_but_with_its_clients() {
    let place = Place::new("fjall");
    let start = || Process::start(place.serve("log_level: debug\n")).unwrap();
    let mut node = start();
    let address = node.ready();
    assert_eq!(status(address, "PUT", "", b"v"), 201, "without tokens it is open");
    assert!(listed(&place, &node).is_empty());

    let both = add(&place, &node, "php", "both");
    let reads = add(&place, &node, "monitor", "read");
    let of_none = place.ask(&node, &["namespace", "token", "add", "sessions", "--right", "write", "--json"]);
    let of_none: serde_json::Value = serde_json::from_str(&of_none.1).unwrap();
    assert!(of_none["name"].as_str().unwrap().starts_with("token-"), "{of_none}");
    let writes = of_none["token"].as_str().unwrap();
    for (token, statuses) in [
        ("", [401, 401]),
        ("sess_nobody", [401, 401]),
        (&*reads, [200, 403]),
        (writes, [403, 201]),
        (&*both, [200, 201]),
    ] {
        assert_eq!([status(address, "GET", token, b""), status(address, "PUT", token, b"v")], statuses);
    }
    let end = Instant::now() + PATIENCE;
    let used = |tokens: &[serde_json::Value]| tokens.iter().all(|token| token["last_used"].is_string());
    let tokens = loop {
        let tokens = listed(&place, &node);
        if used(&tokens) {
            break tokens;
        }
        assert!(Instant::now() < end, "it is never told that all were used: {tokens:?}");
        thread::yield_now();
    };
    let names: Vec<_> = tokens.iter().map(|token| (token["name"].clone(), token["right"].clone())).collect();
    assert_eq!(names[..2], [("monitor".into(), "read".into()), ("php".into(), "both".into())]);
    assert!(tokens.iter().all(|token| token["added"].is_string()), "{tokens:?}");
    let (_, shown, _) = place.ask(&node, &["namespace", "show", "sessions"]);
    assert!(shown.contains("tokens      3\n"), "{shown}");

    // Stopped and killed, it knows them from its first answer on.
    let mut said = String::new();
    for ends in [Node::Stops, Node::Dies] {
        match ends {
            Node::Stops => node.signal(Signal::TERM),
            Node::Dies => node.kill(),
        }
        node.ends();
        said += &(node.stdout() + &node.stderr());
        node = start();
        // From the moment on in which it listens, long before it is ready.
        assert_eq!(status(node.address().unwrap(), "PUT", "", b"w"), 401);
        let address = node.ready();
        assert_eq!(status(address, "GET", &both, b""), 200);
        assert_eq!(listed(&place, &node), tokens);
    }

    let history = place.ask(&node, &["cluster", "history"]).1;
    assert!(history.contains("token php of sessions was added with the right both"), "{history}");
    let metrics = Client::connect(node.ready()).unwrap().request("GET", "/metrics", "", b"").unwrap().text();
    said += &(node.stdout() + &node.stderr() + &history + &metrics + &shown);
    assert!(said.contains("request refused"), "the log tells of requests");
    let mut stored = Vec::new();
    files(&place.data_dir(), &mut stored);
    for token in [&*both, &reads, writes] {
        assert!(!said.contains(token), "a token is told");
        let secret = token.as_bytes();
        let is_there = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!stored.iter().any(is_there), "a token is stored");
    }

    for token in ["monitor", "php", of_none["name"].as_str().unwrap()] {
        let (code, told, _) = place.ask(&node, &["namespace", "token", "remove", "sessions", token]);
        assert_eq!(code, Some(0));
        let is_last = listed(&place, &node).is_empty();
        assert_eq!(told.contains("the namespace is open to everybody now"), is_last, "{told}");
    }
    assert_eq!(status(node.ready(), "GET", "", b""), 200);
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Stops,
    Dies,
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence_and_no_token_is_printed() {
    let place = Place::new("fjall");
    let mut node = place.start();
    node.ready();
    let add = |namespace: &str, name: &str| {
        place.ask(&node, &["namespace", "token", "add", namespace, name, "--right", "read"])
    };
    for number in 1..=16 {
        assert_eq!(add("sessions", &format!("t{number}")).0, Some(0));
    }
    let secret = "sess_0123456789ABCDEF";
    for (namespace, name, code, said) in [
        ("sessions", "t1", 65, "a token of the namespace has that name"),
        ("sessions", "t17", 65, "the namespace has 16 tokens, and no more are taken"),
        ("echo", "php", 68, "there is no namespace \"echo\""),
        ("sessions", "PHP", 64, "a token's name is 1 to 64 of a-z 0-9 _ -"),
        ("sessions", secret, 64, "a token's name is 1 to 64 of"),
        ("sessions", &"a".repeat(65), 64, "a token's name is 1 to 64 of"),
    ] {
        let (refused, stdout, stderr) = add(namespace, name);
        assert_eq!((refused, &*stdout), (Some(code), ""), "{namespace} {name}: {stderr}");
        let sentence = sentence(&stderr);
        assert!(sentence.contains(said) && sentence.contains("nothing was changed"), "{sentence}");
        assert!(!sentence.contains(secret), "it may be one that was given in place of a name");
    }
    for (namespace, name, code, said) in [
        ("sessions", "php", 68, "the namespace has no token of that name"),
        ("echo", "t1", 68, "there is no namespace \"echo\""),
        ("sessions", secret, 64, "a token's name is 1 to 64 of"),
    ] {
        let (refused, _, stderr) = place.ask(&node, &["namespace", "token", "remove", namespace, name]);
        assert_eq!(refused, Some(code), "{stderr}");
        let sentence = sentence(&stderr);
        assert!(sentence.contains(said) && sentence.contains("nothing was changed"), "{sentence}");
    }
    let (code, _, stderr) = place.ask(&node, &["namespace", "token", "list", "echo"]);
    assert!(code == Some(68) && sentence(&stderr).contains("there are: sessions"), "{stderr}");
    assert_eq!(listed(&place, &node).len(), 16, "nothing was changed");
}

/// Clients of three nodes that show the newest token that they were told, and all of whose requests must be answered.
struct Clients {
    token: RwLock<String>,
    /// How many rounds each has made since the token was another.
    rounds: [AtomicUsize; 3],
    failed: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Clients {
    fn show(&self, token: &str) {
        let mut shown = self.token.write().unwrap();
        token.clone_into(&mut shown);
        self.rounds.iter().for_each(|rounds| rounds.store(0, Ordering::SeqCst));
    }

    fn run(&self, nth: usize, address: SocketAddr) {
        let mut client = Client::connect(address).unwrap();
        let target = format!("{BASE}load:{nth}");
        while !self.stop.load(Ordering::SeqCst) {
            let token = self.token.read().unwrap();
            let shown = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
            for (method, body, expected) in [("PUT", &b"v"[..], 201), ("GET", b"", 200)] {
                let answered = client.request(method, &target, &shown, body).map(|answer| answer.status);
                if !matches!(answered, Ok(status) if status == expected) {
                    self.failed.lock().unwrap().push(format!("{method} at node {nth}: {answered:?}"));
                    return;
                }
            }
            // Still under the lock: it is a round with this token.
            self.rounds[nth].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until each of them has made some rounds with what it shows now.
    fn go_round(&self) {
        let end = Instant::now() + PATIENCE;
        while self.rounds.iter().any(|rounds| rounds.load(Ordering::SeqCst) < 5) {
            let failed = self.failed.lock().unwrap();
            assert!(failed.is_empty() && Instant::now() < end, "{failed:?}");
            drop(failed);
            thread::yield_now();
        }
    }
}

#[test]
fn a_token_is_replaced_without_a_request_that_fails_and_what_was_removed_is_refused_at_every_node() {
    let mut fleet = Fleet::of(env!("CARGO_BIN_EXE_sessile"), 3);
    for name in fleet.names() {
        fleet.settings(&name).lines = "log_level: debug\n".to_owned();
    }
    fleet.start_all();
    fleet.wait_until_formed();
    let add = |fleet: &Fleet, name: &str, at: &str| {
        let said = fleet.run(&["namespace", "token", "add", "sessions", name, "--right", "both"], at);
        (said.code == Some(0)).then(|| printed(&said.stdout)).ok_or(said)
    };
    let old = fleet.wait_until("the rules know tokens", |fleet| add(fleet, "old", "n1").ok());
    let names = fleet.names();
    let addresses: Vec<SocketAddr> = names.iter().map(|name| fleet.http(name)).collect();
    for address in &addresses {
        assert_eq!((status(*address, "GET", &old, b""), status(*address, "GET", "", b"")), (404, 401));
    }

    let clients = Arc::new(Clients {
        token: RwLock::new(old.clone()),
        rounds: Default::default(),
        failed: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    let threads: Vec<_> = (0..3)
        .map(|nth| {
            let (clients, address) = (clients.clone(), addresses[nth]);
            thread::spawn(move || clients.run(nth, address))
        })
        .collect();
    clients.go_round();
    let mut tokens = vec![old];
    for (nth, name) in names.iter().enumerate() {
        // Shown at every node as soon as it is there, and the one before is removed as soon as nobody shows it.
        let new = add(&fleet, &format!("new-{nth}"), name).unwrap();
        clients.show(&new);
        clients.go_round();
        let before = if nth == 0 { "old".to_owned() } else { format!("new-{}", nth - 1) };
        fleet.succeed(&["namespace", "token", "remove", "sessions", &before], name);
        for address in &addresses {
            let removed = tokens.last().unwrap();
            assert_eq!(status(*address, "GET", removed, b""), 401, "it was removed");
        }
        tokens.push(new);
    }
    clients.go_round();
    clients.stop.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*clients.failed.lock().unwrap(), <[String; 0]>::default());

    fleet.kill_all();
    fleet.reimage("n3");
    fleet.start_all();
    for name in &names {
        fleet.wait_until_ready(name);
        let address = fleet.http(name);
        assert_eq!((status(address, "GET", "", b""), status(address, "PUT", &tokens[0], b"v")), (401, 401));
        assert_eq!(status(address, "PUT", tokens.last().unwrap(), b"v"), 201);
        let listed = fleet.succeed(&["namespace", "token", "list", "sessions", "--json"], name).stdout;
        assert!(listed.contains(r#""name": "new-2""#) && !listed.contains("old"), "{listed}");
    }
    fleet.wait_until_states_agree();
    for name in &names {
        let words = fleet.words(name);
        assert!(words.contains("answered") && !tokens.iter().any(|token| words.contains(token)), "a token is logged");
    }
}
