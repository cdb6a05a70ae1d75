//! What members measure of each other.

use std::collections::BTreeSet;

use sessile_testkit::Fleet;

use crate::world::{formed, other_than, run, store};

fn scrape(fleet: &Fleet, name: &str) -> String {
    fleet.client(name).request("GET", "/metrics", "", b"").unwrap().text()
}

/// What a metric without labels shows at a node.
fn value(fleet: &Fleet, node: &str, metric: &str) -> f64 {
    let page = scrape(fleet, node);
    let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{metric} is missing: {page}")).parse().unwrap()
}

/// The series of a metric at a node: labels and value.
fn series(fleet: &Fleet, node: &str, metric: &str) -> Vec<(String, String)> {
    let page = scrape(fleet, node);
    let of_metric = page.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.split_once("} "));
    of_metric.map(|(labels, value)| (labels.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_dead_member_and_the_one_that_bears_its_name_are_two_series() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.clone().unwrap();
    let reimaged = other_than(&fleet, &leader);
    let third = before.voters().into_iter().find(|name| *name != leader && *name != reimaged).unwrap();
    store(&fleet, third, "k", "through a member that does not lead");
    fleet.wait_until("the leader can spare one voter", |fleet| {
        (value(fleet, &leader, "sessile_quorum_spare_voters") >= 1.0).then_some(())
    });
    assert!(value(&fleet, third, "sessile_forwarded_write_duration_seconds_count") >= 1.0);
    for metric in ["sessile_log_fsync_duration_seconds_count", "sessile_apply_duration_seconds_count"] {
        assert!(value(&fleet, &leader, metric) >= 1.0, "{metric}");
    }
    let listed: serde_json::Value = serde_json::from_str(&run(&["metrics", "--json"]).stdout).unwrap();
    let of_members = listed.as_array().unwrap().iter().filter(|metric| metric["shown"] == "for each other member");
    let of_members: Vec<&str> = of_members.map(|metric| metric["name"].as_str().unwrap()).collect();
    assert!(of_members.len() > 5, "{of_members:?}");
    for metric in of_members {
        fleet.wait_until(&format!("{metric} has a series for each of the two others"), |fleet| {
            (series(fleet, &leader, metric).len() == 2).then_some(())
        });
    }
    let named = format!("member=\"{reimaged}\"");
    fleet.kill(&reimaged);
    fleet.wait_until("the leader can spare no voter", |fleet| {
        (value(fleet, &leader, "sessile_quorum_spare_voters") < 1.0).then_some(())
    });
    fleet.reimage(&reimaged);
    fleet.start(&reimaged);
    fleet.wait_until("the newcomer is a member", |fleet| {
        fleet.status(&leader).filter(|status| status.members.len() == 4).map(drop)
    });
    // Before it has a vote, so that the dead voter stays.
    fleet.kill(&reimaged);
    let two = fleet.wait_until("two members of one name", |fleet| {
        let reachable = series(fleet, &leader, "sessile_member_reachable").into_iter();
        let of_name: BTreeSet<_> =
            reachable.map(|(labels, _)| labels).filter(|labels| labels.contains(&named)).collect();
        (of_name.len() == 2).then_some(of_name)
    });
    assert!(two.iter().all(|labels| labels.contains("id=\"")), "{two:?}");
    fleet.reimage(&reimaged);
    fleet.start(&reimaged);
    fleet.wait_until_formed();
    fleet.wait_until("the leader can spare a voter again", |fleet| {
        (value(fleet, &leader, "sessile_quorum_spare_voters") >= 1.0).then_some(())
    });
    assert_eq!(series(&fleet, &leader, "sessile_member_reachable").len(), 2, "who is no member any more shows nothing");
}

#[test]
fn a_node_without_its_quorum_says_so_in_its_metrics() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.clone().unwrap();
    fleet.wait_until("it is ready", |fleet| (value(fleet, &leader, "sessile_ready") > 0.0).then_some(()));
    for name in before.voters().into_iter().filter(|name| *name != leader) {
        fleet.kill(name);
    }
    fleet.wait_until("it is not ready, and counts what it lacks", |fleet| {
        let is_ready = value(fleet, &leader, "sessile_ready") > 0.0;
        let spare = value(fleet, &leader, "sessile_quorum_spare_voters");
        (!is_ready && spare < 0.0).then_some(())
    });
    fleet.wait_until("the quorum was heard of long ago", |fleet| {
        (value(fleet, &leader, "sessile_quorum_contact_age_seconds") >= 5.0).then_some(())
    });
    let refused = fleet.client(&leader).request("POST", "/sessions/v1/k", "", b"v").unwrap();
    assert_eq!(refused.status, 503);
    let failures = series(&fleet, &leader, "sessile_http_failures_total");
    let counted = failures.iter().filter(|(labels, value)| {
        ["no_quorum", "outcome_unknown"].iter().any(|reason| labels == &format!("reason=\"{reason}\"")) && value != "0"
    });
    assert_eq!(counted.count(), 1, "{failures:?}");
}
