//! What dashboards and alerts are built on: what a node serves, and what `sessile metrics` lists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sessile_testkit::Client;

use crate::world::{BASE, Place, run, sessile};

/// Each metric of a scrape, with its type and the names of its labels.
fn served(metrics: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: BTreeMap<String, (String, BTreeSet<String>)> =
        types.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new()))).collect();
    for sample in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = sample.split_once('{').unwrap_or((sample.split(' ').next().unwrap(), ""));
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = if families.contains_key(name) { name } else { of_histogram.unwrap_or(name) };
        let (_, known) = families.get_mut(family).unwrap_or_else(|| panic!("{name} has no type"));
        let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        known.extend(names.filter(|name| name != "le"));
    }
    families
}

/// The same of what is listed, and when each is served.
fn listed() -> BTreeMap<String, (String, BTreeSet<String>, String)> {
    let (code, document, _) = run(sessile().args(["metrics", "--json"]));
    assert_eq!(code, Some(0));
    let document: Value = serde_json::from_str(&document).unwrap();
    let word = |metric: &Value, field: &str| metric[field].as_str().unwrap().to_owned();
    let entry = |metric: &Value| {
        let labels = metric["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned());
        assert!(metric["max_series"].as_u64().unwrap() > 0, "{metric}");
        (word(metric, "name"), (word(metric, "type"), labels.collect(), word(metric, "shown")))
    };
    document.as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn what_a_node_serves_is_listed_and_what_is_listed_is_served() {
    let place = Place::new("fjall");
    let mut node = place.start();
    let address = node.ready();
    let mut client = Client::connect(address).unwrap();
    assert_eq!(client.request("PUT", &format!("{BASE}wiki:k"), "", b"v").unwrap().status, 201);
    assert_eq!(client.request("GET", &format!("{BASE}wiki:k"), "", b"").unwrap().status, 200);
    // What is counted by its labels shows once there is something to count, such as a connection that ended.
    drop(Client::connect(address).unwrap());
    let found = sessile_testkit::eventually("a connection that ended is counted", || {
        let metrics = client.request("GET", "/metrics", "", b"").unwrap().text();
        metrics.contains("sessile_http_connections_closed_total{").then_some(metrics)
    });
    assert!(found.contains("\nsessile_ready 1\n"), "{found}");
    let (found, listed) = (served(&found), listed());
    for (name, served) in &found {
        let (kind, labels, _) = listed.get(name).unwrap_or_else(|| panic!("{name} is served and not listed"));
        assert_eq!(&(kind.clone(), labels.clone()), served, "{name}");
    }
    let without_condition =
        listed.iter().filter(|(_, (_, _, shown))| ["always", "once the node is a member"].contains(&&**shown));
    for (name, _) in without_condition {
        assert!(found.contains_key(name), "{name} is listed and not served");
    }
    for name in ["sessile_state_tables", "sessile_keys", "http_requests_total", "process_resident_memory_bytes"] {
        assert!(found.contains_key(name), "the condition of {name} holds here, and yet it is not served");
    }
}
