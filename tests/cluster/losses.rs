//! Losing members.

use sessile_testkit::{Client, Fleet};

use crate::world::{fleet, formed, other_than, put, read, serves_nothing, store};

#[test]
fn five_nodes_serve_without_two_and_not_without_three() {
    let (mut fleet, before) = formed(5);
    store(&fleet, "n1", "k", "before");
    let leader = before.leader.clone().unwrap();
    fleet.kill(&leader);
    let another = other_than(&fleet, &leader);
    fleet.kill(&another);
    let left = fleet.running();
    // At once: a request waits for the next leader inside its deadline.
    for name in &left {
        assert_eq!(read(&fleet, name, "k").as_deref(), Some("before"));
        store(&fleet, name, name, "written without two");
    }
    let third = left[0].clone();
    fleet.kill(&third);
    let (status, kind) = put(&fleet, &left[1], "k", b"after");
    assert!(status == 503 && ["no_quorum", "outcome_unknown"].contains(&kind.as_str()), "{status} {kind}");
    for name in &left[1..] {
        fleet.wait_until(&format!("{name} is not ready"), |fleet| (fleet.readiness(name) == Some(503)).then_some(()));
        serves_nothing(&fleet, name);
    }
    fleet.start_all();
    assert_eq!(fleet.wait_until_formed().voters().len(), 5);
    for name in &left {
        assert_eq!(read(&fleet, &third, name).as_deref(), Some("written without two"));
    }
}

/// Three nodes that take one for dead after a second, and a fourth that is not started.
fn soon_dead() -> Fleet {
    let mut fleet = fleet(3);
    fleet.add("n4");
    for name in fleet.names() {
        fleet.settings(&name).dead_after_ms = Some(1_000);
    }
    for name in ["n1", "n2", "n3"] {
        fleet.start(name);
    }
    fleet
}

#[test]
fn a_dead_voter_gives_its_place_to_a_newcomer_of_another_name() {
    let mut fleet = soon_dead();
    let leader = fleet.wait_for_leader();
    let dead = other_than(&fleet, &leader);
    store(&fleet, &leader, "k", "v");
    fleet.kill(&dead);
    fleet.start("n4");
    let after = fleet.wait_until("n4 votes in the place of the dead", |fleet| {
        fleet.status(&leader).filter(|status| status.voter("n4").is_some() && !status.joint)
    });
    assert!(after.voters().len() == 3 && after.member(&dead).is_none(), "{after:?}");
    let history = fleet.succeed(&["cluster", "history"], &leader).stdout;
    assert!(history.contains(&format!("has taken the place of {dead} (node ")), "{history}");
    // One may be lost again.
    fleet.kill(&leader);
    store(&fleet, "n4", "k", "written without both");
}

/// A machine that was away for longer than `dead_after_ms`. Its supervisor starts it again when it ends.
#[test]
fn a_voter_that_was_replaced_while_it_was_away_comes_back_by_itself_as_a_new_node() {
    let mut fleet = soon_dead();
    let leader = fleet.wait_for_leader();
    let before = fleet.status(&leader).unwrap();
    let away = other_than(&fleet, &leader);
    store(&fleet, &leader, "k", "v");
    fleet.kill(&away);
    fleet.start("n4");
    fleet.wait_until("n4 votes in its place", |fleet| {
        fleet.status(&leader).filter(|status| status.voter("n4").is_some() && status.member(&away).is_none())
    });
    fleet.start(&away);
    assert_eq!(fleet.ends(&away).code(), Some(1), "it is told");
    assert!(fleet.words(&away).contains("was replaced in cluster"), "{}", fleet.words(&away));
    fleet.start(&away);
    let after = fleet.wait_until("it votes again", |fleet| {
        fleet.status(&leader).filter(|status| status.voter(&away).is_some() && !status.joint)
    });
    assert_ne!(after.member(&away).unwrap().id, before.member(&away).unwrap().id, "it is a new node");
    assert!(fleet.data_dir(&away).join("discarded-1").join("log").exists(), "nothing of the old one is deleted");
    assert_eq!(read(&fleet, &away, "k").as_deref(), Some("v"));
}

#[test]
fn a_voter_that_an_operator_replaced_stays_out_until_an_operator_says_otherwise() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    let away = other_than(&fleet, &leader);
    fleet.kill(&away);
    fleet.add("n4");
    fleet.start("n4");
    fleet.wait_until("n4 is there", |fleet| fleet.status(&leader)?.member("n4").map(drop));
    fleet.wait_until("an operator puts it in the place of the other", |fleet| {
        fleet.run(&["cluster", "replace", &away, "n4"], &leader).code.filter(|code| *code == 0)
    });
    for _ in 0..2 {
        fleet.start(&away);
        assert_eq!(fleet.ends(&away).code(), Some(1));
        assert!(fleet.words(&away).contains("was removed"), "{}", fleet.words(&away));
    }
    assert!(fleet.data_dir(&away).join("log").exists(), "nothing is set aside");
}

#[test]
fn while_a_voter_may_come_back_a_newcomer_gets_no_vote_that_raises_the_quorum() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    let silent = other_than(&fleet, &leader);
    fleet.kill(&silent);
    fleet.add("n4");
    fleet.start("n4");
    let waits = format!("n4 waits for a vote: {silent} does not answer");
    fleet.wait_until("status says why n4 has no vote", |fleet| {
        let status = fleet.status(&leader)?;
        assert!(status.voter("n4").is_none(), "with four voters and one dead no other may be lost");
        status.alerts.iter().any(|alert| alert.contains(&waits)).then_some(())
    });
    fleet.start(&silent);
    assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3", "n4"]);
}

/// An election that waits for the leader's silence takes longer than the question that follows its end.
#[test]
fn a_leader_that_is_told_to_stop_hands_over_first() {
    let (mut fleet, mut status) = formed(3);
    for _ in 0..3 {
        let leader = status.leader.unwrap();
        let follower = other_than(&fleet, &leader);
        let mut client: Client = fleet.client(&follower);
        fleet.stop(&leader);
        let left = fleet.status(&follower).unwrap();
        assert!(left.leader.as_ref().is_some_and(|now| *now != leader), "it handed over before it ended: {left:?}");
        assert!(left.ready);
        assert_eq!(client.request("POST", "/sessions/v1/k", "", b"v").unwrap().status, 201);
        fleet.start(&leader);
        status = fleet.wait_until_formed();
    }
}

#[test]
fn a_frozen_leader_is_replaced_and_serves_nothing_stale_when_it_thaws() {
    let (mut fleet, status) = formed(3);
    let leader = status.leader.unwrap();
    store(&fleet, &leader, "k", "old");
    fleet.freeze(&leader);
    let follower = other_than(&fleet, &leader);
    store(&fleet, &follower, "k", "new");
    // Sent while it sleeps, answered when it wakes: by then it must ask before it answers.
    let mut asked = fleet.client(&leader);
    asked.send(b"GET /sessions/v1/k HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    fleet.thaw(&leader);
    let answer = asked.answer("GET").unwrap();
    assert!(answer.status == 503 || (answer.status, answer.text().as_str()) == (200, "new"), "{answer:?}");
    fleet.wait_until_formed();
    assert_eq!(read(&fleet, &leader, "k").as_deref(), Some("new"));
}
