//! KASK.md and what Sessile adds, once more end to end: socket, log, state, socket.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sessile_testkit::{Answer, Client, Process, eventually};

use crate::ledger::{Ledger, Tried};
use crate::world::{BASE, ENGINES, Place, seed};

/// So many at once: more than cores, so that they meet in one batch.
const CONCURRENT: usize = 12;

fn request(address: SocketAddr, method: &str, key: &str, headers: &str, body: &[u8]) -> Answer {
    Client::connect(address).unwrap().request(method, &format!("{BASE}{key}"), headers, body).unwrap()
}

/// What each of many got who asked at the same moment.
fn all_at_once(address: SocketAddr, ask: impl Fn(usize, &mut Client) -> Answer + Sync) -> Vec<Answer> {
    let start = Barrier::new(CONCURRENT);
    thread::scope(|scope| {
        let (start, ask) = (&start, &ask);
        let one = |number| {
            move || {
                let mut client = Client::connect(address).unwrap();
                start.wait();
                ask(number, &mut client)
            }
        };
        let threads: Vec<_> = (0..CONCURRENT).map(|number| scope.spawn(one(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

#[test]
fn the_table_of_the_contract_holds_end_to_end() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = place.start();
        let address = node.ready();
        // Who refuses a request may close the connection, so each has its own.
        let ask = |method: &str, target: &str, headers: &str, body: &[u8]| {
            let answer = Client::connect(address).unwrap().request(method, target, headers, body).unwrap();
            (answer.status, answer)
        };
        let key = "/sessions/v1/enwiki%3AMWSession%3A0123";
        let plain = "/sessions/v1/enwiki:MWSession:0123";

        assert_eq!(ask("GET", key, "", b"").0, 404);
        let (status, stored) = ask("POST", key, "Content-Type: application/octet-stream\r\n", b"PHP..a:0:{}");
        assert_eq!((status, stored.header("content-length"), stored.body.len()), (201, Some("0"), 0));
        assert_eq!(stored.header("ttl"), Some("86400"));
        let (status, read) = ask("GET", plain, "", b"");
        assert_eq!((status, read.body.as_slice()), (200, &b"PHP..a:0:{}"[..]));
        assert_eq!(read.header("content-type"), Some("application/octet-stream"));
        assert_eq!(
            (read.header("etag"), read.header("cache-control")),
            (stored.header("etag"), Some("no-store, no-transform"))
        );
        let (status, head) = ask("HEAD", key, "", b"");
        assert_eq!(
            (status, head.header("content-length"), head.header("etag")),
            (200, Some("11"), read.header("etag"))
        );

        let tag = read.header("etag").unwrap().to_owned();
        assert_eq!(ask("GET", key, &format!("If-None-Match: {tag}\r\n"), b"").0, 304);
        assert_eq!(ask("PUT", key, "If-None-Match: *\r\n", b"x").0, 412);
        let (status, written) = ask("PUT", key, &format!("If-Match: {tag}\r\n"), b"second");
        assert_eq!(status, 201);
        assert_ne!(written.header("etag"), Some(tag.as_str()));
        assert_eq!(ask("PUT", key, &format!("If-Match: {tag}\r\n"), b"third").0, 412);
        assert_eq!(ask("DELETE", key, &format!("If-Match: {tag}\r\n"), b"").0, 412);
        assert_eq!(ask("GET", key, "", b"").1.body, b"second");
        let (status, taken) = ask("DELETE", key, "Prefer: return=representation\r\n", b"");
        assert_eq!((status, taken.body.as_slice()), (200, &b"second"[..]));
        assert_eq!(ask("GET", key, "", b"").0, 404);
        assert_eq!(ask("DELETE", key, "", b"").0, 204, "also when the key is absent");
        assert_eq!(ask("DELETE", key, "Prefer: return=representation\r\n", b"").0, 204);

        let long = format!("{BASE}{}", "k".repeat(1024));
        let longer = format!("{BASE}{}", "k".repeat(1025));
        for (method, target, headers, body, status) in [
            ("POST", key, "", &b""[..], 400),
            ("GET", "/sessions/v1/k?x=1", "", b"", 400),
            ("GET", "/sessions/v1/%zz", "", b"", 400),
            ("POST", "/sessions/v1/%ff", "", b"v", 400),
            ("PUT", key, "TTL: -1\r\n", b"v", 400),
            ("PUT", key, "TTL: 0\r\n", b"v", 400),
            ("GET", "/sessions/v1/", "", b"", 404),
            ("POST", "/sessions/v1/foo%2Fsessions%2Fv1%2Fbar", "", b"v", 404),
            ("LINK", key, "", b"v", 405),
            ("PATCH", key, "TTL: 60\r\n", b"v", 400),
            ("PATCH", key, "TTL: 60\r\n", b"", 404),
            ("PUT", &long, "", b"v", 201),
            ("PATCH", &long, "TTL: 60\r\n", b"", 204),
            ("GET", &long, "", b"", 200),
            ("PUT", &longer, "", b"v", 414),
        ] {
            let (found, answer) = ask(method, target, headers, body);
            assert_eq!(found, status, "{engine}: {method} {target} {headers:?}");
            if status >= 400 {
                let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert!(problem["type"].as_str().unwrap().starts_with("https://www.mediawiki.org/wiki/Kask/errors/"));
            }
        }
        for (target, status) in
            [("/healthz", 200), ("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/openapi", 200)]
        {
            assert_eq!(ask("GET", target, "", b"").0, status, "{target}");
        }
    }
}

#[test]
fn what_expired_is_gone_for_good() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = place.start();
        let address = node.ready();
        let begin = Instant::now();
        let stored = request(address, "PUT", "short", "TTL: 1\r\n", b"v");
        assert_eq!((stored.status, stored.header("ttl")), (201, Some("1")));
        assert_eq!(request(address, "PUT", "long", "TTL: 100\r\n", b"v").status, 201);
        let mut client = Client::connect(address).unwrap();
        eventually("a lifetime of a second ends", || {
            let read = client.request("GET", &format!("{BASE}short"), "", b"").unwrap();
            (read.status == 404).then_some(())
        });
        assert!(begin.elapsed() >= Duration::from_secs(1), "a TTL is a lower bound");
        assert_eq!(request(address, "PUT", "short", "If-Match: *\r\n", b"w").status, 412);
        node.kill();
        let mut node = place.start();
        let address = node.ready();
        assert_eq!(request(address, "GET", "short", "", b"").status, 404, "whoever saw it gone never sees it again");
        assert_eq!(request(address, "DELETE", "short", "Prefer: return=representation\r\n", b"").status, 204);
        let left: u64 = request(address, "GET", "long", "", b"").header("ttl").unwrap().parse().unwrap();
        assert!(left < 100, "the clock goes on where it was: {left}");
    }
}

#[test]
fn exactly_one_of_many_adders_wins() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = place.start();
        let address = node.ready();
        for round in 0..10 {
            let target = format!("{BASE}add{round}");
            let answers = all_at_once(address, |number, client| {
                client.request("PUT", &target, "If-None-Match: *\r\n", format!("{number}").as_bytes()).unwrap()
            });
            assert_eq!((count(&answers, 201), count(&answers, 412)), (1, CONCURRENT - 1), "{engine}");
            let winner = answers.iter().position(|answer| answer.status == 201).unwrap();
            let read = request(address, "GET", &format!("add{round}"), "", b"");
            assert_eq!(read.text(), winner.to_string());
            assert_eq!(read.header("etag"), answers[winner].header("etag"));
        }
    }
}

#[test]
fn no_increment_by_compare_and_set_is_lost() {
    const EACH: u64 = 8;
    let place = Place::new("fjall");
    let mut node = place.start();
    let address = node.ready();
    assert_eq!(request(address, "PUT", "counter", "", b"0").status, 201);
    let target = format!("{BASE}counter");
    all_at_once(address, |_, client| {
        let mut done = 0;
        loop {
            let read = client.request("GET", &target, "", b"").unwrap();
            if done == EACH {
                return read;
            }
            let next = read.text().parse::<u64>().unwrap() + 1;
            let condition = format!("If-Match: {}\r\n", read.header("etag").unwrap());
            match client.request("PUT", &target, &condition, next.to_string().as_bytes()).unwrap().status {
                201 => done += 1,
                412 => {}
                other => panic!("{other}"),
            }
        }
    });
    assert_eq!(request(address, "GET", "counter", "", b"").text(), (EACH * CONCURRENT as u64).to_string());
}

#[test]
fn exactly_one_of_many_takers_gets_the_value() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = place.start();
        let address = node.ready();
        for round in 0..10 {
            assert_eq!(request(address, "PUT", "token", "", format!("token {round}").as_bytes()).status, 201);
            let answers = all_at_once(address, |_, client| {
                client.request("DELETE", &format!("{BASE}token"), "Prefer: return=representation\r\n", b"").unwrap()
            });
            assert_eq!((count(&answers, 200), count(&answers, 204)), (1, CONCURRENT - 1), "{engine}");
            let taken = answers.iter().find(|answer| answer.status == 200).unwrap();
            assert_eq!(taken.text(), format!("token {round}"));
        }
    }
}

#[test]
fn many_connections_each_see_their_own_writes() {
    let seed = seed("many connections");
    let place = Place::new("fjall");
    let mut node = place.start();
    let address = node.ready();
    all_at_once(address, |number, client| {
        let mut ledger = Ledger::new(number, 5, seed);
        let mut rng = SmallRng::seed_from_u64(seed ^ number as u64);
        for _ in 0..40 {
            assert!(matches!(ledger.act(client), Tried::Answered));
            if rng.random_bool(0.1) {
                *client = Client::connect(address).unwrap();
            }
        }
        ledger.verify(client);
        client.request("GET", "/readyz", "", b"").unwrap()
    });
}

#[test]
fn a_full_disk_refuses_writes_while_reads_and_deletes_work() {
    let place = Place::new("fjall");
    let start = |reserve_mb: u64| {
        let data_dir = place.data_dir();
        let storage = format!("storage: {{ data_dir: {}, reserve_mb: {reserve_mb} }}\n", data_dir.display());
        Process::start(place.serve_file(&format!("listen_port: 0\n{storage}"))).unwrap()
    };
    let mut node = start(0);
    let address = node.ready();
    for key in ["kept", "deleted", "taken"] {
        assert_eq!(request(address, "PUT", key, "", b"v").status, 201);
    }
    node.kill();
    // More than any disk has.
    let mut node = start(1 << 30);
    let address = node.ready();
    node.says("the disk is nearly full");
    for method in ["PUT", "POST"] {
        let refused = request(address, method, "new", "", b"v");
        assert_eq!(refused.status, 507);
        let problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(problem["instance"], "/sessions/v1/new");
    }
    assert_eq!(request(address, "GET", "new", "", b"").status, 404);
    assert_eq!(request(address, "GET", "kept", "", b"").body, b"v");
    assert_eq!(request(address, "DELETE", "deleted", "", b"").status, 204);
    assert_eq!(request(address, "GET", "deleted", "", b"").status, 404);
    assert_eq!(request(address, "DELETE", "taken", "Prefer: return=representation\r\n", b"").body, b"v");
    assert_eq!(Client::connect(address).unwrap().request("GET", "/readyz", "", b"").unwrap().status, 200);
}

#[test]
fn a_value_may_be_as_long_as_the_limit_and_survives() {
    const MAX: usize = 1 << 20;
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut node = place.start();
        let address = node.ready();
        let value: Vec<u8> = (0..MAX + 1).map(|n| u8::try_from(n % 251).unwrap()).collect();
        assert_eq!(request(address, "PUT", "over", "", &value).status, 413);
        assert_eq!(request(address, "PUT", "max", "", &value[..MAX]).status, 201);
        assert_eq!(request(address, "PUT", "below", "", &value[..MAX - 1]).status, 201);
        node.kill();
        let mut node = place.start();
        let address = node.ready();
        assert_eq!(request(address, "GET", "over", "", b"").status, 404);
        assert!(request(address, "GET", "max", "", b"").body == value[..MAX]);
        assert!(request(address, "GET", "below", "", b"").body == value[..MAX - 1]);
    }
}

#[test]
fn http_1_0_is_understood() {
    let place = Place::new("fjall");
    let mut node = place.start();
    let address = node.ready();
    let mut one = Client::connect(address).unwrap();
    one.send(b"POST /sessions/v1/old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    assert_eq!(one.answer("POST").unwrap().status, 201);
    assert!(one.is_closed());
    let mut two = Client::connect(address).unwrap();
    two.send(b"GET /sessions/v1/old HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(two.answer("GET").unwrap().body, b"abc");
    assert!(two.is_closed());
}

/// Half of them have asked something before they fell idle, half never did.
#[test]
fn ten_thousand_idle_connections_hinder_nobody_and_are_kept() {
    const IDLE: usize = 10_000;
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let place = Place::new("fjall");
    let mut node = place.start();
    let address = node.ready();
    let mut next = Client::connect(address).unwrap();
    assert_eq!(next.request("POST", "/sessions/v1/k", "", b"v").unwrap().status, 201);
    let mut idle: Vec<Client> = (0..IDLE).map(|_| Client::connect(address).unwrap()).collect();
    for client in idle.iter_mut().step_by(2) {
        assert_eq!(client.request("GET", "/sessions/v1/k", "", b"").unwrap().body, b"v");
    }
    for _ in 0..100 {
        assert_eq!(next.request("GET", "/sessions/v1/k", "", b"").unwrap().body, b"v");
    }
    let mut late = Client::connect(address).unwrap();
    assert_eq!(late.request("GET", "/sessions/v1/k", "", b"").unwrap().body, b"v", "a new one is served");
    for client in [0, 1, IDLE / 2, IDLE - 1] {
        let answer = idle[client].request("GET", "/sessions/v1/k", "", b"").unwrap();
        assert_eq!(answer.body, b"v", "the idle ones are still there");
    }
}
