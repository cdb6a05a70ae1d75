//! A session key is a credential.

use sessile_testkit::{Client, Process, Signal};

use crate::world::{BASE, ENGINES, Place};

/// Nothing else in this program is called so. The group may show, the rest of a key may not.
const KEY: &str = "enwiki:KeyThatNobodyMaySee";
const VALUE: &str = "ValueThatNobodyMaySee";

#[track_caller]
fn assert_silent(what: &str, text: &str) {
    let telling = text.lines().find(|line| line.to_lowercase().contains("nobodymaysee"));
    assert_eq!(telling, None, "{what} tells a secret");
}

#[test]
fn neither_keys_nor_values_are_told_to_logs_or_metrics() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = Process::start(place.serve("log_level: debug\n")).unwrap();
        let address = node.ready();
        let mut metrics = String::new();
        for round in 0..40 {
            let target = format!("{BASE}{KEY}{round}");
            let encoded = target.replace(':', "%3A");
            let value = format!("{VALUE}{round}").repeat(1 + round * 10);
            let large = VALUE.repeat((1 << 20) / VALUE.len() + 1);
            for (method, target, headers, body) in [
                ("POST", target.as_str(), "X-Request-ID: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\r\n", value.as_bytes()),
                ("PUT", &encoded, "TTL: 60\r\n", value.as_bytes()),
                ("GET", &encoded, "", b""),
                ("PUT", &target, "If-None-Match: *\r\n", value.as_bytes()),
                ("PUT", &target, &format!("If-Match: {VALUE}\r\n"), value.as_bytes()),
                ("PUT", &target, &format!("TTL: {VALUE}\r\n"), value.as_bytes()),
                ("GET", &format!("{target}?{KEY}"), "", b""),
                ("GET", &format!("{target}%zz"), "", b""),
                ("GET", &format!("{target}%2F"), "", b""),
                ("GET", &format!("{target}{}", "x".repeat(1024)), "", b""),
                ("KEYTHATNOBODYMAYSEE", &target, "", b""),
                ("DELETE", &target, if round % 2 == 0 { "Prefer: return=representation\r\n" } else { "" }, b""),
                ("PUT", &target, "", value.as_bytes()),
            ] {
                Client::connect(address).unwrap().request(method, target, headers, body).unwrap();
            }
            if round % 20 == 0 {
                // Refused while it is sent, or after: either way the connection may be gone.
                let _ = Client::connect(address).unwrap().request("POST", &target, "", large.as_bytes());
                let mut broken = Client::connect(address).unwrap();
                broken.send(format!("GET {target} {KEY}\r\n\r\n").as_bytes()).unwrap();
                let mut cut_off = Client::connect(address).unwrap();
                let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{VALUE}");
                cut_off.send(head.as_bytes()).unwrap();
            }
            let mut other = Client::connect(address).unwrap();
            metrics = other.request("GET", "/metrics", "", b"").unwrap().text();
        }
        assert!(metrics.contains(r#"group="enwiki""#), "the metrics are not what this test takes them for:\n{metrics}");
        assert_silent("/metrics", &metrics);
        node.kill();
        assert!(node.stdout().contains(r#""level":"DEBUG""#), "the log is not what this test takes it for");
        assert_silent("the log", &node.stdout());
        assert_silent("standard error", &node.stderr());

        // Replay, check and a clean stop are no more talkative.
        let mut node = Process::start(place.serve("log_level: debug\n")).unwrap();
        node.ready();
        node.signal(Signal::TERM);
        assert!(node.ends().success());
        assert_silent("the log after kill -9", &node.stdout());
        assert_silent("standard error after kill -9", &node.stderr());
    }
}

#[test]
fn a_stored_key_that_is_damaged_is_not_quoted() {
    // A record that cannot be read any more is what tempts a program to print it.
    let place = Place::new("fjall");
    let mut node = Process::start(place.serve("log_level: debug\n")).unwrap();
    let mut client = Client::connect(node.ready()).unwrap();
    for round in 0..20 {
        let stored = client.request("PUT", &format!("{BASE}{KEY}{round}"), "", VALUE.repeat(50).as_bytes()).unwrap();
        assert_eq!(stored.status, 201);
    }
    node.kill();
    let mut spoiled = 0;
    for entry in walk(&place.data_dir()) {
        let mut bytes = std::fs::read(&entry).unwrap();
        if let Some(at) = bytes.windows(VALUE.len()).position(|window| window == VALUE.as_bytes()) {
            bytes[at] ^= 1;
            std::fs::write(&entry, bytes).unwrap();
            spoiled += 1;
        }
    }
    assert!(spoiled > 0, "the values lie somewhere in the clear");
    let mut node = Process::start(place.serve("log_level: debug\n")).unwrap();
    assert!(!node.ends().success(), "a damaged log is refused");
    assert!(node.stderr().contains("is damaged"), "{}", node.stderr());
    assert_silent("the log of a damaged node", &node.stdout());
    assert_silent("the last sentence of a damaged node", &node.stderr());
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_dir() || path.is_file());
    files.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
