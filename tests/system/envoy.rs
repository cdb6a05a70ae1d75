//! What `deploy/envoy/envoy.yaml` promises, read from the file: no Envoy is run here.

use std::fs;
use std::path::Path;

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

/// The longest that `/readyz` waits for a new leader by default, in seconds, as deploy/haproxy/haproxy.cfg and README say.
const READY_PATIENCE: f64 = 1.5;

enum Open {
    List(Vec<Value>),
    Mapping(Map<String, Value>, Option<String>),
}

/// A YAML document of lists, mappings and texts.
fn parsed(yaml: &str) -> Value {
    let (mut open, mut root) = (Vec::new(), None);
    let mut parser = Parser::new_from_str(yaml);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.unwrap();
        let line = span.start.line();
        let done = match event {
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop().unwrap() {
                Open::List(items) => Value::Array(items),
                Open::Mapping(entries, _) => Value::Object(entries),
            },
            Event::Alias(_) => panic!("line {line}: an alias"),
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(items)) => items.push(done),
            Some(Open::Mapping(entries, key)) => match key.take() {
                Some(key) => assert!(entries.insert(key, done).is_none(), "line {line}: a key stands there twice"),
                None => *key = done.as_str().map(str::to_owned),
            },
            None => assert!(root.replace(done).is_none(), "line {line}: a second document"),
        }
    }
    root.unwrap()
}

fn seconds(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.strip_suffix('s')).and_then(|number| number.parse().ok()).unwrap()
}

#[test]
fn envoy_asks_whether_a_node_is_ready_and_sends_again_what_may_be_sent_twice() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/envoy/envoy.yaml");
    let document = parsed(&fs::read_to_string(file).unwrap());
    let resources = &document["static_resources"];

    let http = &resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(http["access_log"], Value::Null, "a session key would stand in it");
    assert_eq!((http["normalize_path"].as_str(), http["merge_slashes"].as_str()), (Some("false"), Some("false")));
    let routes = http["route_config"]["virtual_hosts"][0]["routes"].as_array().unwrap();
    let [again, once] = &routes[..] else { panic!("{routes:?}") };
    let absent = |header: &Value| header["present_match"] == "false";
    let without: Vec<_> =
        again["match"]["headers"].as_array().unwrap().iter().filter(|header| absent(header)).collect();
    let without: Vec<_> = without.iter().map(|header| header["name"].as_str().unwrap()).collect();
    assert_eq!(without, ["if-match", "if-none-match", "prefer"]);
    assert_eq!(once["match"]["headers"], Value::Null, "all others");
    let sends = |route: &Value| route["route"]["retry_policy"]["retry_on"].as_str().unwrap().to_owned();
    assert_eq!(sends(again), "connect-failure,refused-stream,reset");
    assert_eq!(sends(once), "connect-failure,refused-stream", "what may have been begun with is not sent twice");
    for route in [again, once] {
        let retry = &route["route"]["retry_policy"];
        assert_eq!(retry["retry_host_predicate"][0]["name"], "envoy.retry_host_predicates.previous_hosts");
        assert_eq!((route["route"]["cluster"].as_str(), seconds(&route["route"]["timeout"])), (Some("sessile"), 10.0));
    }

    let nodes = &resources["clusters"][0];
    let check = &nodes["health_checks"][0];
    assert_eq!(check["http_health_check"]["path"], "/readyz");
    assert!(seconds(&check["timeout"]) > READY_PATIENCE, "it waits through an election");
    assert!(seconds(&check["no_traffic_interval"]) <= 1.0);
    assert_eq!(nodes["common_lb_config"]["healthy_panic_threshold"]["value"], "0", "only nodes that are ready");
    let limits = &nodes["circuit_breakers"]["thresholds"][0];
    for limit in ["max_connections", "max_pending_requests", "max_requests", "max_retries"] {
        assert_eq!(limits[limit], "50000", "{limit}");
    }
    let endpoints = nodes["load_assignment"]["endpoints"][0]["lb_endpoints"].as_array().unwrap();
    assert_eq!((endpoints.len(), &nodes["name"]), (3, &Value::String("sessile".to_owned())));
}
