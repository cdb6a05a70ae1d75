//! What operators install beside the program: alerts, a dashboard, a runbook. They are about metrics and commands that there
//! are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{run, sessile};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names and types of all metrics.
fn metrics() -> BTreeMap<String, String> {
    let (code, document, _) = run(sessile().args(["metrics", "--json"]));
    assert_eq!(code, Some(0));
    let document: Value = serde_json::from_str(&document).unwrap();
    let word = |metric: &Value, field: &str| metric[field].as_str().unwrap().to_owned();
    document.as_array().unwrap().iter().map(|metric| (word(metric, "name"), word(metric, "type"))).collect()
}

/// The metrics that a query in PromQL asks for.
fn asked(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| ["sessile_", "process_", "http_request"].iter().any(|of| word.starts_with(of));
    words.filter(is_metric).map(str::to_owned).collect()
}

/// Panics if one of them is none. A part of a histogram is one.
#[track_caller]
fn assert_there_are(asked: &BTreeSet<String>, of: &str) {
    let metrics = metrics();
    for name in asked {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let is_part = part.and_then(|whole| metrics.get(whole)).is_some_and(|kind| kind == "histogram");
        let is_whole = metrics.get(name).is_some_and(|kind| kind != "histogram");
        assert!(is_part || is_whole, "{of} asks for {name}, which no node shows");
    }
}

/// Each rule of the alerts.
fn alerts() -> Vec<Value> {
    let rules: Value = serde_yaml_ng::from_str(&read("deploy/prometheus/sessile.rules.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().iter().cloned()).collect()
}

fn name(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn every_alert_is_about_metrics_that_there_are_and_says_what_matters() {
    for alert in alerts() {
        let name = name(&alert);
        let asked: BTreeSet<_> =
            asked(alert["expr"].as_str().unwrap()).into_iter().filter(|metric| metric != "up").collect();
        assert_there_are(&asked, name);
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        assert!(alert["annotations"]["summary"].as_str().unwrap().ends_with('.'), "{name} has no sentence");
    }
}

#[test]
fn every_alert_fires_in_a_test_of_its_own_rule() {
    let tests = fs::read_dir(root().join("deploy/prometheus/tests")).unwrap();
    let mut fired = BTreeSet::new();
    for test in tests {
        let text = fs::read_to_string(test.unwrap().path()).unwrap();
        let document: Value = serde_yaml_ng::from_str(&text).unwrap();
        let tests = document["tests"].as_array().unwrap().iter();
        let checks = tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap());
        let firing = checks.filter(|check| check["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty()));
        fired.extend(firing.map(|check| check["alertname"].as_str().unwrap().to_owned()));
    }
    let alerts = alerts();
    let names: BTreeSet<String> = alerts.iter().map(|alert| name(alert).to_owned()).collect();
    assert_eq!(fired, names, "a rule without a test, or a test without a rule");
}
