//! The names that dashboards and alerts are built on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sessile_testkit::Client;

use crate::world::{BASE, Place};

/// Set to anything, the golden file is written anew instead of compared.
const REGENERATE: &str = "SESSILE_REGENERATE_GOLDEN";

/// A line each: name, type, and the names of the labels.
fn names(metrics: &str) -> String {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut families: BTreeMap<&str, (&str, BTreeSet<&str>)> =
        types.map(|(name, kind)| (name, (kind, BTreeSet::new()))).collect();
    for sample in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = sample.split_once('{').unwrap_or((sample.split(' ').next().unwrap(), ""));
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let family = if families.contains_key(name) { name } else { of_histogram.unwrap_or(name) };
        let (_, known) = families.get_mut(family).unwrap_or_else(|| panic!("{name} has no type"));
        known.extend(labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)));
    }
    let line = |(name, (kind, labels)): (&str, (&str, BTreeSet<&str>))| {
        let labels: Vec<_> = labels.into_iter().collect();
        format!("{name} {kind} {{{}}}\n", labels.join(","))
    };
    families.into_iter().map(line).collect()
}

#[test]
fn the_names_of_the_metrics_are_what_stands_in_the_golden_file() {
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
        metrics.contains("sessile_http_connections_closed_total{").then(|| names(&metrics))
    });
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/metrics.txt");
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(found, expected, "metrics changed; if that is meant, test once with {REGENERATE}=1 and read the diff");
}
