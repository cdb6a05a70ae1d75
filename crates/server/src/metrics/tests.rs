use std::collections::BTreeSet;

use sessile_http::declared::{Kind, Unit};

use super::*;
use crate::golden;

#[test]
fn every_metric_is_listed_with_its_unit_labels_and_bound() {
    golden::check("metrics.txt", &show::page());
    let document = show::document();
    let names: Vec<_> = document.as_array().unwrap().iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert_eq!(names, all().iter().map(|metric| metric.name).collect::<Vec<_>>());
}

#[test]
fn names_follow_prometheus_conventions() {
    let mut names = BTreeSet::new();
    for Metric { name, kind, unit, help, .. } in all() {
        assert!(names.insert(name), "{name} is declared twice");
        assert!(["sessile_", "process_", "http_request"].iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        let base = match unit {
            Unit::Seconds | Unit::Timestamp => "_seconds",
            Unit::Bytes => "_bytes",
            Unit::Count | Unit::Truth => "",
        };
        assert!(name.contains(base), "{name} counts in {unit:?}");
        assert!(!help.is_empty() && help.len() < 130 && !name.contains("milli"), "{name}");
    }
}

#[test]
fn a_process_without_a_node_is_not_ready_and_says_what_it_is() {
    let page = Metrics::new(None).unwrap().render();
    assert!(page.contains("\nsessile_ready 0\n"), "{page}");
    assert!(page.contains("\nsessile_build_info{version=\"") && page.contains("\nprocess_threads "), "{page}");
}
