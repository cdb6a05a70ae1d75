//! SIGTERM and Ctrl-C; and the signals that end nothing.

use std::net::SocketAddr;

use sessile_testkit::{Client, PATIENCE, Process, Signal, eventually};

use crate::world::{BASE, ENGINES, Place};

/// A request whose body is under way: the server reads it, and waits for the rest.
fn half_a_request(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).unwrap();
    let head = format!("PUT {BASE}slow HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n");
    client.send(head.as_bytes()).unwrap();
    assert_eq!(client.answer("PUT").unwrap().status, 100, "said when somebody wants the body");
    client.send(b"half").unwrap();
    client
}

/// No new connection gets in any more.
fn has_stopped_listening(address: SocketAddr) {
    eventually("a node that stops takes no more connections", || Client::connect(address).is_err().then_some(()));
}

#[test]
fn what_is_in_flight_is_finished_and_the_stop_is_clean() {
    for engine in ENGINES {
        for signal in [Signal::TERM, Signal::INT] {
            let place = Place::new(engine);
            let mut node = place.start();
            let address = node.ready();
            let mut idle = Client::connect(address).unwrap();
            assert_eq!(idle.request("GET", "/readyz", "", b"").unwrap().status, 200);
            let mut slow = half_a_request(address);
            node.signal(signal);
            node.says("stopping; a second signal ends the process at once");
            has_stopped_listening(address);
            // Who is connected may still ask, for a moment, and then learns it; never that it is ready.
            if let Ok(answer) = idle.request("GET", "/readyz", "", b"") {
                assert_eq!(answer.status, 503);
                assert_eq!(answer.header("connection"), Some("close"));
            }
            drop(idle);
            assert!(!node.has_ended(), "it waits for the upload");
            slow.send(b"done").unwrap();
            let answer = slow.answer("PUT").unwrap();
            assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
            assert!(slow.is_closed());
            assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""));
            node.says(r#""msg":"stopped""#);

            let mut node = place.start();
            let mut client = Client::connect(node.ready()).unwrap();
            assert_eq!(client.request("GET", &format!("{BASE}slow"), "", b"").unwrap().body, b"halfdone");
            // sled cannot be trusted to notice damage since, so it is counted each time.
            node.says(if engine == "fjall" { "the last stop was clean" } else { "the state was checked and is whole" });
        }
    }
}

/// A balancer needs a few of its checks to look away; until then every connection, old or new, is served.
#[test]
fn it_serves_on_for_a_notice_period_and_is_not_ready() {
    let place = Place::new("fjall");
    let file = format!(
        "listen_port: 0\nshutdown: {{ notice_ms: 600000 }}\nadmin: {{ listen: '127.0.0.1:0' }}\nstorage: {{ data_dir: {}, \
         cache_mb: 16, reserve_mb: 0 }}\n",
        place.data_dir().display()
    );
    let mut node = Process::start(place.serve_file(&file)).unwrap();
    let address = node.ready();
    let mut old = Client::connect(address).unwrap();
    assert_eq!(old.request("GET", "/readyz", "", b"").unwrap().status, 200);
    node.signal(Signal::TERM);
    node.says("not ready any more, and serving on until the notice period is over");
    let mut new = Client::connect(address).unwrap();
    for client in [&mut old, &mut new] {
        assert_eq!(client.request("GET", "/readyz", "", b"").unwrap().status, 503);
        let stored = client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap();
        assert_eq!((stored.status, stored.header("connection")), (201, None), "and goes on with the connection");
        assert_eq!(client.request("GET", &format!("{BASE}k"), "", b"").unwrap().body, b"v");
    }
    assert!(!node.has_ended());
    node.signal(Signal::TERM);
    assert_eq!(node.ends().code(), Some(143), "a second signal waits for nothing");
}

#[test]
fn after_the_notice_period_it_stops() {
    let place = Place::new("fjall");
    let file = format!(
        "listen_port: 0\nshutdown: {{ notice_ms: 50 }}\nstorage: {{ data_dir: {}, cache_mb: 16, reserve_mb: 0 }}\n",
        place.data_dir().display()
    );
    let mut node = Process::start(place.serve_file(&file)).unwrap();
    node.ready();
    node.signal(Signal::TERM);
    node.says("not ready any more");
    assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""));
    node.says(r#""msg":"stopped""#);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second, code) in
        [(Signal::INT, Signal::INT, 130), (Signal::TERM, Signal::TERM, 143), (Signal::TERM, Signal::INT, 130)]
    {
        let place = Place::new("fjall");
        let mut node = place.start();
        let address = node.ready();
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
        let slow = half_a_request(address);
        node.signal(first);
        node.says("stopping; a second signal ends the process at once");
        assert!(node.ends_within(std::time::Duration::ZERO).is_none(), "the upload is in flight");
        node.signal(second);
        assert_eq!(node.ends().code(), Some(code));
        drop((slow, client));

        let mut node = place.start();
        let mut client = Client::connect(node.ready()).unwrap();
        assert_eq!(client.request("GET", &format!("{BASE}k"), "", b"").unwrap().body, b"v");
        assert_eq!(client.request("GET", &format!("{BASE}slow"), "", b"").unwrap().status, 404);
        node.says("the state was checked and is whole");
    }
}

#[test]
fn the_grace_period_ends() {
    let place = Place::new("fjall");
    let file = format!(
        "listen_port: 0\nshutdown: {{ grace_ms: 0 }}\nhttp: {{ body_timeout_ms: 60000 }}\nstorage: {{ data_dir: {} }}\n",
        place.data_dir().display()
    );
    let mut node = Process::start(place.serve_file(&file)).unwrap();
    let address = node.ready();
    let mut slow = half_a_request(address);
    node.signal(Signal::TERM);
    assert!(slow.is_closed(), "cut off");
    assert!(node.ends_within(PATIENCE).unwrap().success());
    node.says("requests were cut off");
}

#[test]
fn a_signal_that_asks_for_something_else_ends_no_node() {
    let place = Place::new("fjall");
    let mut node = place.start();
    let mut client = Client::connect(node.ready()).unwrap();
    for signal in [Signal::USR1, Signal::USR2, Signal::PIPE, Signal::HUP] {
        node.signal(signal);
    }
    node.says("reloaded: configuration: log_level is info, as before");
    assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
    drop(client);
    node.signal(Signal::TERM);
    assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""), "and the next signal is the first");
}
