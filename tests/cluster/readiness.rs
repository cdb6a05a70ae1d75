//! What `/readyz` tells a balancer while leaders die.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sessile_testkit::{Client, Fleet, PATIENCE};

use crate::world::{fleet, other_than};

/// Longer than an election takes on a busy machine.
const PATIENT: &str = "http: { request_timeout_ms: 30000, ready_patience_ms: 30000 }\n";

fn nodes_with(lines: &str) -> Fleet {
    let mut fleet = fleet(3);
    for name in fleet.names() {
        fleet.settings(&name).lines = lines.into();
    }
    fleet.start_all();
    fleet.wait_until_formed();
    fleet
}

/// A balancer that takes every node out when one has died refuses what the others would have held and answered.
#[test]
fn while_a_leader_is_elected_no_survivor_says_that_it_is_not_ready() {
    let mut fleet = nodes_with(PATIENT);
    for _ in 0..3 {
        let leader = fleet.wait_for_leader();
        let survivors: Vec<_> = fleet.names().into_iter().filter(|name| *name != leader).collect();
        let mut checks: Vec<_> =
            survivors.iter().map(|name| Client::connect_patiently(fleet.http(name), PATIENCE).unwrap()).collect();
        fleet.kill(&leader);
        let is_led = AtomicBool::new(false);
        thread::scope(|scope| {
            for check in &mut checks {
                scope.spawn(|| {
                    while !is_led.load(Ordering::Relaxed) {
                        assert_eq!(check.request("GET", "/readyz", "", b"").unwrap().status, 200);
                    }
                });
            }
            fleet.wait_until("another one leads", |fleet| {
                let status = fleet.status(&survivors[0])?;
                (status.ready && status.leader.is_some_and(|now| now != leader)).then_some(())
            });
            is_led.store(true, Ordering::Relaxed);
        });
        fleet.start(&leader);
        fleet.wait_until_formed();
    }
}

#[test]
fn who_has_no_quorum_for_longer_says_at_once_that_it_is_not_ready() {
    const READY_PATIENCE: Duration = Duration::from_secs(2);
    let mut fleet = nodes_with("http: { request_timeout_ms: 30000, ready_patience_ms: 2000 }\n");
    // A leader that is cut off is another story: this one follows.
    let leader = fleet.wait_for_leader();
    let left = other_than(&fleet, &leader);
    for name in fleet.names().into_iter().filter(|name| *name != left) {
        fleet.kill(&name);
    }
    fleet.wait_until("it waits no more", |fleet| {
        let asked = Instant::now();
        let ready = fleet.readiness(&left);
        (ready == Some(503) && asked.elapsed() < READY_PATIENCE / 2).then_some(())
    });
}
