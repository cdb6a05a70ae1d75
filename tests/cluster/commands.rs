//! What an operator asks for.

use std::time::Duration;

use crate::world::{
    fleet, fleet_with_operators, formed, formed_with_operators, other_than, put, read, run_at, says, serves_nothing,
    store, store_for,
};

#[test]
fn any_member_takes_commands_and_refuses_nonsense_with_a_sentence() {
    let (mut fleet, status) = formed(3);
    let leader = status.leader.clone().unwrap();
    let follower = other_than(&fleet, &leader);
    for words in [
        &["cluster", "promote", "n9"][..],
        &["cluster", "remove", "n9"],
        &["cluster", "replace", "n1", "n9"],
        &["cluster", "transfer-leader", "n9"],
        &["cluster", "set-address", "n9", "127.0.0.1:1"],
    ] {
        for at in [&leader, &follower] {
            let said = fleet.refused(words, at);
            assert!(said.stderr.contains("n9"), "it names what it does not know: {said:?}");
        }
    }
    // It has a cluster already: refused, or as it was.
    fleet.run(&["cluster", "init"], &follower);
    let after = fleet.wait_until_formed();
    assert_eq!((&after.cluster_id, after.membership_index), (&status.cluster_id, status.membership_index));

    // Asked at a node that does not lead.
    fleet.succeed(&["cluster", "transfer-leader", &follower], &follower);
    fleet.wait_until("who was named leads", |fleet| {
        fleet.agreed().filter(|status| status.leader.as_ref() == Some(&follower))
    });

    // Nobody there, and nobody who is told otherwise.
    fleet.kill(&leader);
    assert_ne!(fleet.run(&["status", "--json"], &leader).code, Some(0));
}

#[test]
fn a_command_says_what_answers_where_no_node_does() {
    let (mut fleet, status) = formed_with_operators(3);
    let [http, grpc] = [fleet.http("n1"), fleet.grpc("n1")].map(|address| address.to_string());
    for words in [&["status"][..], &["cluster", "remove", "n3"], &["cluster", "watch"]] {
        let said = run_at(&fleet, words, &http);
        let sentence = format!("sessile: {http} is an HTTP port of a node, and commands go to its gRPC port");
        assert!(said.code == Some(69) && said.stderr.starts_with(&sentence), "{words:?}: {said:?}");
    }
    fleet.freeze("n3");
    let frozen = fleet.grpc("n3").to_string();
    let said = run_at(&fleet, &["status", "--timeout", "500ms"], &frozen);
    let sentence = format!("sessile: {frozen} has not answered within 500ms: it accepts connections and says nothing");
    assert!(said.code == Some(75) && said.stderr.starts_with(&sentence), "{said:?}");

    // Of several the first that answers is asked; the others need not be there.
    fleet.kill("n2");
    let absent = fleet.grpc("n2").to_string();
    let said = run_at(&fleet, &["status", "--json"], &[&*http, &absent, &frozen, &grpc].join(","));
    assert!(said.stdout.contains(status.cluster_id.as_ref().unwrap()), "{said:?}");
    let all = [&*http, &absent, &frozen];
    let said = run_at(&fleet, &["status", "--timeout", "500ms"], &all.join(","));
    assert!(said.stderr.starts_with("sessile: none of the 3 nodes that are named answers: "), "{said:?}");
    assert!(all.iter().all(|address| said.stderr.contains(address)), "{said:?}");
    let said = run_at(&fleet, &["cluster", "init"], &[&*absent, &grpc].join(","));
    assert!(said.code == Some(64) && said.stderr.contains("name one with --server"), "{said:?}");
    fleet.thaw("n3");
}

#[test]
fn a_member_is_named_by_as_much_of_its_id_as_no_other_has() {
    let (mut fleet, status) = formed(3);
    let follower = other_than(&fleet, status.leader.as_ref().unwrap());
    let id = &status.member(&follower).unwrap().id;
    fleet.succeed(&["cluster", "transfer-leader", &id[..8]], "n1");
    fleet.wait_until("who was named leads", |fleet| {
        fleet.agreed().filter(|status| status.leader.as_ref() == Some(&follower))
    });
    fleet.succeed(&["cluster", "remove", &id[..8]], "n1");
    fleet.wait_until("who was named is no member", |fleet| {
        fleet.status(&other_than(fleet, &follower)).filter(|status| status.member(&follower).is_none())
    });
    let at = other_than(&fleet, &follower);
    fleet.succeed(&["cluster", "remove", &id[..8]], &at);
}

#[test]
fn without_a_majority_a_command_is_refused_and_status_still_answers() {
    let (mut fleet, before) = formed(3);
    fleet.kill("n2");
    fleet.kill("n3");
    fleet.wait_until("n1 knows that it is alone", |fleet| (fleet.readiness("n1") == Some(503)).then_some(()));
    for words in
        [&["cluster", "remove", "n2", "--force"][..], &["cluster", "promote", "n2"], &["cluster", "transfer-leader"]]
    {
        fleet.refused(words, "n1");
    }
    let (status, kind) = put(&fleet, "n1", "k", b"v");
    assert!(status == 503 && ["no_quorum", "outcome_unknown"].contains(&kind.as_str()), "{status} {kind}");
    serves_nothing(&fleet, "n1");
    let status = fleet.status("n1").expect("it tells what it knows");
    assert!(!status.ready);
    assert_eq!((&status.cluster_id, status.voters()), (&before.cluster_id, vec!["n1", "n2", "n3"]));
    fleet.start_all();
    assert_eq!(fleet.wait_until_formed().membership_index, before.membership_index, "what was refused did not happen");
}

#[test]
fn a_command_waits_for_the_next_leader_and_is_done_once() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    let follower = other_than(&fleet, &leader);
    let other = fleet.names().into_iter().find(|name| *name != leader && *name != follower).unwrap();
    fleet.kill(&leader);
    // Nobody knows yet that it is gone.
    fleet.succeed(&["cluster", "promote", &other], &follower);
    fleet.succeed(&["cluster", "remove", &leader], &follower);
    fleet.wait_until("who was removed is no member", |fleet| {
        let status = fleet.status(&follower)?;
        (status.ready && !status.joint && status.voters().len() == 2 && status.member(&leader).is_none()).then_some(())
    });
    let again = fleet.refused(&["cluster", "remove", &leader], &other);
    assert!(again.stderr.contains(&leader), "{again:?}");
    let gone = &before.members.iter().find(|member| member.name == leader).unwrap().id;
    fleet.succeed(&["cluster", "remove", gone], &other);
}

#[test]
fn a_learner_that_does_not_answer_gets_no_vote() {
    let mut fleet = fleet(3);
    for name in fleet.names() {
        fleet.settings(&name).stabilise_ms = 3_000;
    }
    fleet.start_all();
    let before = fleet.wait_until_formed();
    let leader = before.leader.unwrap();
    fleet.add("n4");
    fleet.start("n4");
    fleet.wait_until("n4 is a learner", |fleet| {
        let status = fleet.status(&leader)?;
        assert!(status.voter("n4").is_none(), "it has not been well for long enough");
        status.member("n4").map(drop)
    });
    fleet.freeze("n4");
    let refused = fleet.wait_until("its promotion is refused", |fleet| {
        let said = fleet.run(&["cluster", "promote", "n4"], &leader);
        (said.code != Some(0) || fleet.status(&leader)?.voter("n4").is_some()).then_some(said)
    });
    assert!(refused.stderr.contains("n4 does not answer"), "{refused:?}");
    fleet.holds_for(Duration::from_secs(4), |fleet| {
        let status = fleet.status(&leader).unwrap();
        assert!(status.voter("n4").is_none() && status.member("n4").is_some(), "{status:?}");
    });
    store(&fleet, &leader, "k", "v");
    fleet.thaw("n4");
    assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3", "n4"]);
    assert_eq!(read(&fleet, "n4", "k").as_deref(), Some("v"));
}

#[test]
fn the_leader_can_be_removed_and_a_member_be_replaced_twice() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    store(&fleet, &leader, "k", "v");
    fleet.succeed(&["cluster", "remove", &leader], &leader);
    fleet.wait_until("another one leads, and two vote", |fleet| {
        let other = other_than(fleet, &leader);
        let status = fleet.status(&other)?;
        let done = status.ready && !status.joint && status.voters().len() == 2 && status.member(&leader).is_none();
        (done && status.leader.is_some_and(|now| now != leader)).then_some(())
    });
    says(&mut fleet, &leader, "removed");
    serves_nothing(&fleet, &leader);
    fleet.kill(&leader);
    let two = fleet.wait_until_formed();
    assert_eq!(read(&fleet, two.leader.as_ref().unwrap(), "k").as_deref(), Some("v"));

    // By command only, so that nobody else does it first.
    for name in fleet.running() {
        fleet.settings(&name).autopilot = false;
        fleet.stop(&name);
        fleet.start(&name);
        fleet.wait_until_formed();
    }
    let (at, gone) = (two.voters()[0], two.voters()[1]);
    // By its id: once it is gone, its name may be somebody else's.
    let gone_id = two.member(gone).unwrap().id.as_str();
    fleet.add("n4");
    fleet.settings("n4").autopilot = false;
    fleet.start("n4");
    fleet.wait_until("n4 listens", |fleet| fleet.status("n4"));
    let address = fleet.grpc("n4").to_string();
    fleet.succeed(&["cluster", "add-learner", &address], at);
    fleet.succeed(&["cluster", "add-learner", &address], at);
    fleet.wait_until("n4 has caught up", |fleet| {
        let status = fleet.status(at)?;
        let member = status.member("n4")?;
        (member.reachable && !member.voter && member.applied > 0 && member.lag == 0).then_some(())
    });
    fleet.succeed(&["cluster", "replace", gone_id, "n4"], at);
    fleet.kill(gone);
    let once = fleet.wait_until_formed();
    assert!(once.voter("n4").is_some() && once.member(gone).is_none(), "{once:?}");
    fleet.succeed(&["cluster", "replace", gone_id, "n4"], at);
    assert_eq!(fleet.wait_until_formed().membership_index, once.membership_index, "asked twice, done once");
    assert_eq!(read(&fleet, "n4", "k").as_deref(), Some("v"));
}

/// The newcomer counts for the quorum that is left: two of three voters answer before and after.
#[test]
fn a_leader_is_replaced_while_another_voter_is_down() {
    let mut fleet = fleet(3);
    fleet.add("n4");
    // By command only, so that nobody else does it first.
    for name in fleet.names() {
        fleet.settings(&name).autopilot = false;
    }
    for name in ["n1", "n2", "n3"] {
        fleet.start(name);
    }
    let leader = fleet.wait_for_leader();
    fleet.start("n4");
    fleet.wait_until("n4 listens", |fleet| fleet.status("n4"));
    let address = fleet.grpc("n4").to_string();
    fleet.succeed(&["cluster", "add-learner", &address], &leader);
    let down = ["n1", "n2", "n3"].into_iter().find(|name| **name != *leader).unwrap();
    fleet.kill(down);
    fleet.wait_until("n4 has caught up, and one does not answer", |fleet| {
        let status = fleet.status(&leader)?;
        let member = status.member("n4")?;
        let ready = member.reachable && member.applied > 0 && member.lag == 0;
        (ready && !status.member(down)?.reachable).then_some(())
    });
    fleet.succeed(&["cluster", "replace", &leader, "n4"], &leader);
    let status = fleet.wait_until("n4 is in its place", |fleet| {
        fleet.status("n4").filter(|status| status.voter("n4").is_some() && status.ready)
    });
    assert!(status.member(&leader).is_none(), "{status:?}");
    store(&fleet, "n4", "k", "v");
}

#[test]
fn a_node_can_move_to_another_address() {
    let (mut fleet, before) = formed(3);
    fleet.stop("n3");
    let address = fleet.move_to_another_port("n3").to_string();
    fleet.succeed(&["cluster", "set-address", "n3", &address], "n1");
    fleet.start("n3");
    let after = fleet.wait_until_formed();
    let (was, is) = (before.member("n3").unwrap(), after.member("n3").unwrap());
    assert_eq!((&is.address, &is.id), (&address, &was.id));
    store(&fleet, "n3", "k", "v");
    assert_eq!(read(&fleet, "n1", "k").as_deref(), Some("v"));
}

/// A change that cannot be committed would hold up everything until it can.
#[test]
fn what_could_not_be_committed_is_refused_at_once_whoever_insists() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    let live = other_than(&fleet, &leader);
    let dead = fleet.names().into_iter().find(|name| *name != leader && *name != live).unwrap();
    fleet.kill(&dead);
    // Also before anybody has noticed that it is gone.
    for _ in 0..3 {
        let said = fleet.refused(&["cluster", "remove", &live, "--force"], &leader);
        assert_eq!(said.code, Some(65), "{said:?}");
        assert!(
            said.stderr.contains("would leave 2 voters, of which 1 answer")
                && said.stderr.contains("remove that one first")
        );
    }
    store(&fleet, &leader, "k", "v");
    let status = fleet.status(&leader).unwrap();
    assert_eq!((status.joint, status.membership_index), (false, before.membership_index));
    // The way out that it names.
    fleet.succeed(&["cluster", "remove", &dead], &leader);
    fleet.succeed(&["cluster", "remove", &live], &leader);
    assert_eq!(read(&fleet, &leader, "k").as_deref(), Some("v"));
}

#[test]
fn what_is_asked_of_nodes_of_two_clusters_is_asked_of_neither() {
    let (ours, _) = formed_with_operators(3);
    let mut theirs = fleet_with_operators(1);
    theirs.settings("n1").expect = None;
    theirs.settings("n1").name = "other".into();
    theirs.start("n1");
    theirs.wait_until_it_is_a_cluster("n1");
    let [one, other] = [ours.grpc("n1"), theirs.grpc("n1")].map(|address| address.to_string());
    for words in [&["status"][..], &["cluster", "remove", "n3"]] {
        for servers in [format!("{one},{other}"), format!("{other},{one}")] {
            let said = run_at(&ours, words, &servers);
            assert_eq!(said.code, Some(64), "{words:?}: {said:?}");
            for (address, fleet) in [(&one, &ours), (&other, &theirs)] {
                let name = if address == &one { "n1" } else { "other" };
                let cluster = fleet.status("n1").unwrap().cluster_id.unwrap();
                assert!(said.stderr.contains(&format!("{address} ({name}) is of cluster {cluster}")), "{said:?}");
            }
        }
    }
    assert!(ours.status("n1").unwrap().member("n3").is_some(), "nothing was done");
}

#[test]
fn an_operator_sets_the_time_and_is_told_what_that_ends() {
    let (mut fleet, _) = formed(3);
    store_for(&fleet, "n1", "short", "v", Duration::from_secs(600));
    store_for(&fleet, "n1", "long", "v", Duration::from_secs(80_000));
    let said = fleet.succeed(&["cluster", "set-time"], "n2");
    assert_eq!(said.stdout, "nothing to do: the cluster's time goes with its members' clocks\n");
    for (words, code, why) in [
        (
            &["cluster", "set-time", "2001-01-01T00:00:00Z", "--force"][..],
            65,
            "never goes back to 2001-01-01T00:00:00Z",
        ),
        (&["cluster", "set-time", "2999-01-01T00:00:00Z"], 65, "give --force if that is meant"),
        (&["cluster", "set-time", "tomorrow"], 64, "a date and time of RFC 3339 was expected"),
    ] {
        let said = fleet.refused(words, "n3");
        assert!(said.code == Some(code) && said.stderr.contains(why), "{said:?}");
    }
    assert!(read(&fleet, "n3", "short").is_some(), "nothing was changed");

    let document = fleet.succeed(&["status", "--json"], "n1").stdout;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let in_an_hour = document["clock_ms"].as_i64().unwrap() + 3_600_000;
    let in_an_hour = time::OffsetDateTime::from_unix_timestamp(in_an_hour / 1_000).unwrap();
    let in_an_hour = in_an_hour.format(&time::format_description::well_known::Rfc3339).unwrap();
    let said = fleet.succeed(&["cluster", "set-time", &in_an_hour, "--json"], "n2");
    let said: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said["changed"].as_bool(), said["sessions_ended"].as_u64()), (Some(true), Some(1)), "{said}");
    assert!(said["what"].as_str().unwrap().contains("until they reach it, no session expires"), "{said}");
    assert!(read(&fleet, "n1", "short").is_none() && read(&fleet, "n3", "long").is_some());
    // Whoever does not lead hears of it with the next report.
    fleet.wait_until("every member tells it", |fleet| {
        fleet.status("n1")?.says("an operator moved the cluster's time forward by").then_some(())
    });
}

/// Nobody's file says where the others are now, and nobody leads who could be told.
#[test]
fn nodes_that_came_back_at_unknown_addresses_are_told_where_the_others_are() {
    let (mut fleet, _) = formed(3);
    store(&fleet, "n1", "k", "v");
    fleet.kill_all();
    let places: Vec<(String, String)> = fleet
        .names()
        .into_iter()
        .map(|name| {
            let at = fleet.move_to_another_port(&name).to_string();
            (name, at)
        })
        .collect();
    for (name, at) in &places {
        // Its own seeds are nobody's any more.
        fleet.settings(name).seeds = vec![at.clone()];
        fleet.settings(name).expect = None;
    }
    fleet.start_all();
    fleet.wait_until("n1 says that nobody answers", |fleet| {
        fleet.status("n1").filter(|status| !status.ready && status.members.len() == 3).map(drop)
    });
    let word = |name: &str, at: &str| format!("{name}={at}");
    let at = |name: &str| places.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let (second, third) = (word("n2", &at("n2")), word("n3", &at("n3")));
    let wrong = word("n2", &at("n3"));
    let refused = fleet.refused(&["cluster", "move-addresses", &wrong], "n1");
    assert!(refused.stderr.contains("nobody answers who is n2"), "{refused:?}");
    let refused = fleet.refused(&["cluster", "move-addresses", &word("n1", &at("n1"))], "n1");
    assert!(refused.stderr.contains("the node that is asked"), "{refused:?}");
    fleet.succeed(&["cluster", "move-addresses", &second, &third], "n1");
    fleet.wait_until_formed();
    fleet.wait_until("all have told the leader where they are", |fleet| {
        let status = fleet.status("n1")?;
        let is_told = |(name, at): &(String, String)| status.member(name).is_some_and(|member| member.address == *at);
        places.iter().all(is_told).then_some(())
    });
    for (name, _) in &places {
        assert_eq!(read(&fleet, name, "k").as_deref(), Some("v"), "{name}");
    }
}
