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

/// The pages of the runbook: what stands under each heading of the third level.
fn pages() -> BTreeMap<String, String> {
    let runbook = read("docs/runbook.md");
    let pages = runbook.split("\n### ").skip(1).filter_map(|page| page.split_once('\n'));
    pages.map(|(name, page)| (name.to_owned(), page.split("\n## ").next().unwrap().to_owned())).collect()
}

/// The command lines of a page: what is indented.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| line.strip_prefix("    "))
}

#[test]
fn every_alert_has_a_page_that_tells_all_that_is_asked_at_night() {
    let pages = pages();
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(name).collect();
    assert_eq!(pages.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    for (name, page) in &pages {
        let parts = ["**Means:**", "**Users notice:**", "**Look at**", "**Wake somebody else"];
        let places: Vec<_> =
            parts.iter().map(|part| page.find(part).unwrap_or_else(|| panic!("{name}: {part}"))).collect();
        assert!(
            places.is_sorted() && (page.contains("**Do:**") || page.contains("**Do** ") || page.contains("**do** ")),
            "{name}"
        );
        assert!(commands(page).next().is_some(), "{name} has no command");
    }
    for alert in &alerts {
        let link = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(link, format!("docs/runbook.md#{}", name(alert).to_lowercase()));
    }
}

#[test]
fn every_command_and_every_metric_of_the_runbook_is_there() {
    let runbook = read("docs/runbook.md");
    let mut tried = 0;
    for line in commands(&runbook).filter(|line| line.starts_with("sessile ")) {
        let line = line.split(" | ").next().unwrap();
        let (path, rest): (Vec<&str>, Vec<&str>) = line.split(' ').skip(1).partition(|word| !word.starts_with('-'));
        // What names a member, a namespace, a file or a time is no command.
        let nested = ["cluster", "namespace"].contains(&path[0]);
        let path = &path[..if nested { 2 } else { 1 }];
        let (code, help, said) = run(sessile().args(path).arg("--help"));
        assert_eq!(code, Some(0), "`{line}`: {said}");
        for flag in rest {
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "`{line}` has no {flag}"
            );
        }
        tried += 1;
    }
    assert!(tried > 30, "there were more once: {tried}");
    let exact = asked(&runbook).into_iter().filter(|name| name.ends_with("_total") || name == "sessile_ready");
    assert_there_are(&exact.collect(), "the runbook");
}

#[test]
fn every_panel_of_the_dashboard_asks_for_metrics_that_there_are_and_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/sessile.json")).unwrap();
    let mut ids = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().unwrap().ends_with('.'), "{title} has no sentence");
        for target in panel["targets"].as_array().unwrap() {
            let asked = asked(target["expr"].as_str().unwrap());
            assert!(!asked.is_empty(), "{title} asks for nothing");
            assert_there_are(&asked, title);
            shown.extend(asked);
        }
    }
    // Whoever is sent here by an alert finds what it is about, but for what is a matter of its own sentence.
    let about = alerts().iter().flat_map(|alert| asked(alert["expr"].as_str().unwrap())).collect::<BTreeSet<_>>();
    let missing: Vec<_> = about.difference(&shown).map(String::as_str).collect();
    let by_status = [
        "process_start_time_seconds",
        "sessile_backup_every_seconds",
        "sessile_backup_last_success_timestamp_seconds",
        "sessile_clock_jump_seconds",
        "sessile_clock_waits",
        "sessile_disk_low",
        "sessile_disk_refuses",
        "sessile_member_heard_age_seconds",
        "sessile_member_rolled_back",
        "sessile_member_state_differs",
        "sessile_tls_reloads_total",
        "sessile_voters",
    ];
    assert_eq!(missing, by_status);
}
