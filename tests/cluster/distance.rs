//! Voters that are far from each other.

use std::sync::Arc;
use std::time::Duration;

use sessile_testkit::{DelayLine, Fleet, Status};

use crate::world::{WATCHED, fleet, put, read, says, store};

/// Three nodes, each at the end of a way that takes so long there and back; and the ways.
fn apart(round_trip: Duration, max_rtt_ms: Option<u64>) -> (Fleet, Vec<DelayLine>) {
    let mut fleet = fleet(3);
    let names = fleet.names();
    let lines: Vec<_> = names.iter().map(|name| DelayLine::to(fleet.grpc(name), round_trip).unwrap()).collect();
    let addresses: Vec<_> = lines.iter().map(|line| line.address().to_string()).collect();
    for (name, address) in names.iter().zip(&addresses) {
        let settings = fleet.settings(name);
        (settings.advertise, settings.seeds) = (Some(address.clone()), addresses.clone());
        settings.max_rtt_ms = max_rtt_ms;
        // A busy machine makes no answer wrong.
        settings.lines = "http: { request_timeout_ms: 30000 }\n".into();
    }
    fleet.start_all();
    (fleet, lines)
}

fn stores_everywhere(fleet: &Fleet, names: &[String], time: &str) {
    for name in names {
        (0..5).for_each(|nth| store(fleet, name, &format!("{time}-{name}-{nth}"), time));
    }
    for (writer, reader) in names.iter().zip(names.iter().cycle().skip(1)) {
        assert_eq!(read(fleet, reader, &format!("{time}-{writer}-4")).as_deref(), Some(time), "{reader}");
    }
}

fn term(fleet: &Fleet, name: &str) -> String {
    let metrics = fleet.client(name).request("GET", "/metrics", "", b"").unwrap().text();
    metrics.lines().find(|line| line.starts_with("sessile_raft_term ")).unwrap().to_owned()
}

/// Nobody wants to lead while nothing happens, and nobody has to.
fn stays(fleet: &mut Fleet, formed: &Status) {
    let terms = |fleet: &Fleet| fleet.names().iter().map(|name| term(fleet, name)).collect::<Vec<_>>();
    let before = terms(fleet);
    fleet.holds_for(2 * WATCHED, |_| {});
    assert_eq!(terms(fleet), before, "a new term, though nothing is wrong");
    assert_eq!(fleet.wait_for_leader(), formed.leader.clone().unwrap());
}

fn works(round_trip: u64, max_rtt_ms: Option<u64>) {
    let (mut fleet, _lines) = apart(Duration::from_millis(round_trip), max_rtt_ms);
    let formed = fleet.wait_until_formed();
    let names = fleet.names();
    stores_everywhere(&fleet, &names, "formed");
    stays(&mut fleet, &formed);
    stores_everywhere(&fleet, &names, "idle");
    let leader = fleet.wait_for_leader();
    fleet.kill(&leader);
    stores_everywhere(&fleet, &fleet.running(), "bereft");
    fleet.start(&leader);
    fleet.wait_until_formed();
    stores_everywhere(&fleet, &names, "whole");
}

#[test]
fn voters_that_are_forty_milliseconds_apart_need_no_setting() {
    works(40, None);
}

#[test]
fn voters_that_are_as_far_apart_as_was_set_are_a_cluster_as_any_other() {
    works(150, Some(150));
}

/// It still reads, by votes, and its followers hear it, so that nobody campaigns.
#[test]
fn where_no_write_would_pass_because_no_quorum_answers_the_leader_in_time_nobody_is_ready() {
    let (mut fleet, lines) = apart(Duration::from_millis(2), None);
    fleet.wait_until_formed();
    let (names, leader) = (fleet.names(), fleet.wait_for_leader());
    store(&fleet, &leader, "near", "v");
    let are = |round_trip: u64| {
        lines.iter().for_each(|line| line.is(Arc::new(move |_| Duration::from_millis(round_trip))));
    };
    are(500);
    fleet.wait_until("nobody is ready who would refuse a write", |fleet| {
        names.iter().all(|name| fleet.readiness(name) == Some(503)).then_some(())
    });
    says(&mut fleet, &leader, "and cluster.max_rtt_ms is 40");
    are(2);
    fleet.wait_until_formed();
    for name in names {
        assert_eq!(put(&fleet, &name, "near-again", b"v").0, 201);
    }
}
