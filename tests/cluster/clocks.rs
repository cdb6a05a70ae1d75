//! Clocks that are wrong.

use std::time::{Duration, Instant};

use sessile_testkit::{Fleet, WrongClock, eventually};

use crate::world::{fleet, read, store_for};

const HOUR: i64 = 3_600;
const YEAR: i64 = 365 * 24 * HOUR;
/// What a session lives that is to expire while the story is told, and how much later at most that shows: the time that
/// the clock of an idle cluster may lag, and a machine that is busy.
const SHORT_TTL: Duration = Duration::from_secs(3);
const AT_LATEST: Duration = Duration::from_secs(20);

#[test]
fn one_wrong_clock_ends_no_session_early_and_keeps_none_for_ever() {
    let mut fleet = fleet(3);
    let clock = WrongClock::build().unwrap();
    // n1 is told apart by its clock only. It is right so far.
    fleet.settings("n1").environment = clock.environment();
    fleet.start_all();
    fleet.wait_until_formed();
    store_for(&fleet, "n2", "long", "v", Duration::from_secs(1_800));
    for (leader, seconds) in [("n1", HOUR), ("n2", YEAR), ("n1", -YEAR), ("n2", -HOUR)] {
        fleet.succeed(&["cluster", "transfer-leader", leader], "n3");
        clock.is_wrong_by(seconds).unwrap();
        let what = format!("{leader} leads, the clock of n1 is wrong by {seconds} s");
        sessions_live_as_long_as_they_should(&mut fleet, &what);
        fleet.wait_until(&format!("{what}: that is said"), |fleet| {
            fleet.status("n3").filter(|status| status.says("the clock of n1 is"))
        });
        // Its own clock is right again when the next one has to bear it.
        clock.is_wrong_by(0).unwrap();
        fleet.wait_until("nobody complains any more", |fleet| {
            fleet.status("n3").filter(|status| !status.says("the clock of n1 is"))
        });
    }
    assert_eq!(read(&fleet, "n3", "long").as_deref(), Some("v"));
}

#[test]
fn a_time_that_is_ahead_of_all_clocks_is_told_by_all_until_they_have_reached_it() {
    let mut fleet = fleet(3);
    let clock = WrongClock::build().unwrap();
    for name in ["n1", "n2", "n3"] {
        fleet.settings(name).environment = clock.environment();
    }
    clock.is_wrong_by(24 * HOUR).unwrap();
    fleet.start_all();
    fleet.wait_until_formed();
    store_for(&fleet, "n1", "short", "v", SHORT_TTL);
    clock.is_wrong_by(0).unwrap();
    for name in ["n1", "n2", "n3"] {
        fleet.wait_until("it says why nothing expires", |fleet| {
            fleet.status(name).filter(|status| status.says("ahead of its members' clocks"))
        });
    }
    assert_eq!(read(&fleet, "n2", "short").as_deref(), Some("v"), "it was promised to live for a while");
    clock.is_wrong_by(24 * HOUR + 60).unwrap();
    eventually("time goes on when the clocks have reached it", || read(&fleet, "n3", "short").is_none().then_some(()));
    fleet.wait_until("nobody complains any more", |fleet| {
        fleet.status("n3").filter(|status| !status.says("ahead of its members' clocks"))
    });
}

fn sessions_live_as_long_as_they_should(fleet: &mut Fleet, what: &str) {
    let begin = Instant::now();
    store_for(fleet, "n3", "short", "v", SHORT_TTL);
    let stored = Instant::now();
    eventually(format!("{what}: the short session ends"), || {
        let asked = Instant::now();
        if read(fleet, "n2", "short").is_none() {
            assert!(begin.elapsed() >= SHORT_TTL, "{what}: a session ended after {:?}", begin.elapsed());
            return Some(());
        }
        assert!(asked - stored < SHORT_TTL + AT_LATEST, "{what}: a session lives on");
        assert_eq!(read(fleet, "n1", "long").as_deref(), Some("v"), "{what}");
        None
    });
}

/// A certificate's dates are of no interest to a member.
#[test]
fn members_whose_clocks_are_decades_apart_recognise_each_other() {
    let mut fleet = fleet(3);
    let clock = WrongClock::build().unwrap();
    fleet.settings("n1").environment = clock.environment();
    clock.is_wrong_by(-30 * YEAR).unwrap();
    fleet.start_all();
    fleet.wait_until_formed();
    clock.is_wrong_by(30 * YEAR).unwrap();
    fleet.stop("n1");
    fleet.start("n1");
    fleet.wait_until_formed();
    store_for(&fleet, "n1", "k", "v", Duration::from_secs(1_800));
    assert_eq!(read(&fleet, "n2", "k").as_deref(), Some("v"));
}
