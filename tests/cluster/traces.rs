//! Traces: from the client through the node that it asks to the leader, and to a collector that may be away.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::Value;

use crate::world::{fleet, other_than, read, store};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// More spans than a test makes.
const MOST: usize = 1_024;
/// How long a span may take to come: a node gathers for a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes OTLP over HTTP, and gives each span with the node that sent it.
fn collector() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (spans, taken) = sync_channel(MOST);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
            let body = loop {
                let read = stream.read(&mut piece).unwrap();
                bytes.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&bytes);
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.to_lowercase();
                    let length: usize =
                        length.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                    if body.len() == length {
                        break serde_json::from_str::<Value>(body).unwrap();
                    }
                }
                assert!(read > 0, "a message that is cut short");
            };
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let resource = &body["resourceSpans"][0];
            let node = resource["resource"]["attributes"][1]["value"]["stringValue"].as_str().unwrap().to_owned();
            for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                // Nobody may want them any more.
                let _ = spans.send((node.clone(), span.clone()));
            }
        }
    });
    (endpoint, taken)
}

#[test]
fn a_request_is_one_trace_from_its_client_to_the_leaders_log_and_nothing_else_is_traced() {
    let (endpoint, spans) = collector();
    let mut fleet = fleet(3);
    for name in fleet.names() {
        fleet.settings(&name).lines = format!("traces: {{ endpoint: \"{endpoint}\" }}\n");
    }
    fleet.start_all();
    let leader = fleet.wait_until_formed().leader.unwrap();
    let at = other_than(&fleet, &leader);
    store(&fleet, &at, "k", "not traced");
    let sampled = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let path = "/sessions/v1/enwiki:secret";
    assert_eq!(fleet.client(&at).request("POST", path, &sampled, b"a value").unwrap().status, 201);
    assert_eq!(fleet.client(&at).request("GET", path, &sampled, b"").unwrap().status, 200);
    let mut found: Vec<(String, Value)> = Vec::new();
    let has = |found: &[(String, Value)], node: &str, name: &str| {
        found.iter().any(|(of, span)| of == node && span["name"] == name)
    };
    let wanted = [
        (&at, "POST"),
        (&at, "forward to the leader"),
        (&leader, "round of the log"),
        (&at, "GET"),
        (&at, "round of reads"),
    ];
    while !wanted.iter().all(|(node, name)| has(&found, node, name)) {
        found.push(spans.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{error}: {found:?}")));
    }
    assert_eq!(found.len(), wanted.len(), "nobody asked for more: {found:?}");
    let of = |name: &str| &found.iter().find(|(_, span)| span["name"] == name).unwrap().1;
    for (child, parent) in
        [("forward to the leader", "POST"), ("round of the log", "forward to the leader"), ("round of reads", "GET")]
    {
        assert_eq!(of(child)["parentSpanId"], of(parent)["spanId"], "{child}");
    }
    assert_eq!(of("POST")["parentSpanId"], "00f067aa0ba902b7");
    for (_, span) in &found {
        assert_eq!(span["traceId"], TRACE);
        assert!(!span.to_string().contains("secret") && !span.to_string().contains("a value"), "{span}");
    }
}

#[test]
fn nobody_waits_for_a_collector_that_is_away() {
    let mut fleet = fleet(3);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for name in fleet.names() {
        fleet.settings(&name).lines = format!("traces: {{ endpoint: \"http://{nobody}/v1/traces\", one_of: 1 }}\n");
    }
    fleet.start_all();
    fleet.wait_until_formed();
    for number in 0..50 {
        store(&fleet, "n1", &format!("k{number}"), "v");
    }
    assert_eq!(read(&fleet, "n2", "k49").as_deref(), Some("v"));
    fleet.wait_until("what is lost is counted, and told once", |fleet| {
        let metrics = fleet.client("n1").request("GET", "/metrics", "", b"").unwrap().text();
        let lost = metrics.lines().find_map(|line| line.strip_prefix("sessile_trace_spans_lost_total "));
        lost.filter(|lost| lost.parse::<u64>().unwrap() >= 50).map(drop)
    });
    assert_eq!(fleet.words("n1").matches("the collector takes no traces").count(), 1);
    fleet.stop("n1");
}
