//! Who is not who it should be.

use sessile_testkit::Fleet;

use crate::world::{WATCHED, ends_anyhow, formed, read, says, serves_nothing, shows_at_most, store, waits_for};

#[test]
fn a_wrong_token_is_said_and_never_admitted() {
    let (mut fleet, before) = formed(3);
    fleet.add("n4");
    fleet.settings("n4").join_token = "another token of the tests".into();
    fleet.start("n4");
    says(&mut fleet, "n4", "token");
    serves_nothing(&fleet, "n4");
    fleet.holds_for(WATCHED, |fleet| {
        let status = fleet.status("n1").unwrap();
        assert_eq!((status.member("n4"), status.membership_index), (None, before.membership_index));
    });
    for name in fleet.names() {
        let words = fleet.words(&name);
        assert!(
            !words.contains("another token of the tests") && !words.contains("a token of the tests"),
            "{name} shows a token"
        );
    }
    ends_anyhow(&mut fleet, "n4");
    fleet.settings("n4").join_token = fleet.settings("n1").join_token.clone();
    fleet.start("n4");
    assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3", "n4"]);
}

/// On one machine, by an operator's word. What speaks TLS is not let in there, and the other way round.
#[test]
fn without_tls_is_a_cluster_of_its_own_kind() {
    let mut fleet = crate::world::fleet(3);
    for name in fleet.names() {
        fleet.settings(&name).plaintext = true;
    }
    fleet.start_all();
    fleet.wait_until_formed();
    store(&fleet, "n1", "k", "v");
    fleet.add("n4");
    fleet.settings("n4").plaintext = false;
    fleet.start("n4");
    waits_for(&mut fleet, "n4", "answers without TLS, as a node with cluster.plaintext does");
    ends_anyhow(&mut fleet, "n4");
    fleet.settings("n4").plaintext = true;
    fleet.start("n4");
    assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3", "n4"]);
    assert_eq!(read(&fleet, "n4", "k").as_deref(), Some("v"));
}

/// What cannot follow would stay among the members for ever.
#[test]
fn who_cannot_follow_is_not_written_into_the_membership() {
    let (mut fleet, before) = formed(3);
    fleet.add("n4");
    (fleet.settings("n4").join_token, fleet.settings("n4").seeds) = ("another token of the tests".into(), Vec::new());
    fleet.start("n4");
    let mut theirs = crate::world::fleet(1);
    theirs.settings("n1").expect = None;
    theirs.settings("n1").name = "other".into();
    theirs.start("n1");
    theirs.wait_until_it_is_a_cluster("n1");
    fleet.wait_until("n4 listens", |fleet| fleet.status("n4"));
    for (address, why) in [
        (fleet.grpc("n4"), "the join token is not the one of node"),
        (theirs.grpc("n1"), "node other belongs to another cluster already"),
    ] {
        let said = fleet.refused(&["cluster", "add-learner", &address.to_string()], "n1");
        assert!(said.code == Some(65) && said.stderr.contains(why), "{said:?}");
        assert!(said.stderr.contains("nothing was changed"), "{said:?}");
    }
    let status = fleet.status("n1").unwrap();
    assert_eq!((status.members.len(), status.membership_index), (3, before.membership_index));
}

/// Nobody could send the log to a node that is not where it says.
#[test]
fn who_is_not_found_where_it_says_is_not_written_into_the_membership() {
    let (mut fleet, before) = formed(3);
    fleet.add("n4");
    fleet.settings("n4").advertise = Some("127.0.0.1:1".into());
    fleet.start("n4");
    waits_for(&mut fleet, "n4", "is reached at 127.0.0.1:1, where the leader finds nobody");
    assert_eq!(fleet.status("n1").unwrap().membership_index, before.membership_index);
}

#[test]
fn a_machine_that_is_wiped_again_and_again_leaves_one_learner_at_most() {
    let (mut fleet, before) = formed(3);
    let voter = &before.member("n3").unwrap().id;
    let mut known = vec![voter.clone()];
    fleet.kill("n3");
    for _ in 0..5 {
        fleet.reimage("n3");
        fleet.start("n3");
        let newcomer = fleet.wait_until("it is a member under another id", |fleet| {
            let status = fleet.status("n1")?;
            assert!(status.members.len() <= 4, "{status:?}");
            status.members.iter().find(|member| !known.contains(&member.id) && member.name == "n3").cloned()
        });
        known.push(newcomer.id);
        fleet.kill("n3");
    }
    fleet.reimage("n3");
    fleet.start("n3");
    let after = fleet.wait_until_formed();
    assert_eq!((after.voters(), after.members.len()), (vec!["n1", "n2", "n3"], 3));
}

#[test]
fn a_name_that_is_alive_is_not_given_to_a_second_node() {
    let (mut fleet, before) = formed(3);
    fleet.add("twin");
    fleet.settings("twin").name = "n1".into();
    fleet.start("twin");
    says(&mut fleet, "twin", "n1");
    serves_nothing(&fleet, "twin");
    fleet.holds_for(WATCHED, |fleet| {
        let status = fleet.status("n1").unwrap();
        let first = status.member("n1").expect("one member of that name, and no second");
        assert_eq!(first.id, before.member("n1").unwrap().id);
        assert!(first.voter);
        assert_eq!(fleet.readiness("n1"), Some(200), "it is not disturbed");
    });
    store(&fleet, "n1", "k", "v");
    assert_eq!(read(&fleet, "n2", "k").as_deref(), Some("v"));
}

#[test]
fn a_removed_node_is_turned_away_until_it_discards_what_it_has() {
    let (mut fleet, before) = formed(3);
    store(&fleet, "n3", "k", "v");
    fleet.stop("n3");
    let leader = fleet.wait_for_leader();
    fleet.succeed(&["cluster", "remove", "n3"], &leader);
    let removed = fleet.wait_until_formed();
    assert_eq!(removed.voters(), ["n1", "n2"]);

    fleet.start("n3");
    says(&mut fleet, "n3", "removed");
    serves_nothing(&fleet, "n3");
    fleet.holds_for(WATCHED, |fleet| {
        for name in ["n1", "n2"] {
            let status = fleet.status(name).unwrap();
            assert_eq!(status.membership_index, removed.membership_index);
            assert_eq!(fleet.readiness(name), Some(200), "{name} is not disturbed");
        }
    });
    let kept = fleet.data_dir("n3").join("log");
    assert!(kept.exists(), "nothing is discarded unasked");
    ends_anyhow(&mut fleet, "n3");

    fleet.settings("n3").arguments = vec!["--discard-data-and-rejoin".into()];
    fleet.start("n3");
    let after = fleet.wait_until_formed();
    assert_eq!(after.voters(), ["n1", "n2", "n3"]);
    assert_ne!(after.member("n3").unwrap().id, before.member("n3").unwrap().id, "it is a new node");
    assert_eq!(read(&fleet, "n3", "k").as_deref(), Some("v"));
}

/// Its log is empty, so it knows nobody who could tell it.
#[test]
fn a_learner_that_was_removed_before_it_received_anything_is_told_when_it_asks() {
    let (mut fleet, _) = formed(3);
    fleet.add("n4");
    fleet.start("n4");
    while !fleet.words("n4").contains("this node has entered its cluster") {
        assert!(!fleet.process("n4").has_ended());
    }
    fleet.kill("n4");
    let id = fleet.status("n1").unwrap().member("n4").unwrap().id.clone();
    fleet.succeed(&["cluster", "remove", &id], "n1");
    fleet.start("n4");
    assert_eq!(fleet.ends("n4").code(), Some(1));
    assert!(fleet.words("n4").contains(&format!("node {id} was removed from cluster")));
    fleet.settings("n4").arguments = vec!["--discard-data-and-rejoin".into()];
    fleet.start("n4");
    assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3", "n4"]);
}

/// An operator gives each cluster the address of the other one's n3.
#[test]
fn two_clusters_whose_addresses_were_mixed_up_keep_their_data_apart() {
    let ((mut ours, our_status), (mut theirs, their_status)) = (formed(3), formed(3));
    assert_ne!(our_status.cluster_id, their_status.cluster_id);
    let addresses = [&ours, &theirs].map(|fleet| fleet.grpc("n3").to_string());
    for (fleet, value, wrong) in [(&mut ours, "ours", &addresses[1]), (&mut theirs, "theirs", &addresses[0])] {
        store(fleet, "n1", "k", value);
        // Whoever leads must be where the others look for it: another one does from now on.
        fleet.succeed(&["cluster", "transfer-leader", "n3"], "n1");
        fleet.succeed(&["cluster", "set-address", "n3", wrong], "n1");
    }
    for (fleet, status, value) in [(&mut ours, &our_status, "ours"), (&mut theirs, &their_status, "theirs")] {
        for name in ["n1", "n2"] {
            says(fleet, name, "the addresses of two clusters are mixed up");
            fleet.wait_until("it is named", |fleet| fleet.status(name)?.says("the address of n3").then_some(()));
        }
        fleet.holds_for(WATCHED, |fleet| keeps_its_own(fleet, status.cluster_id.as_ref(), value));
        for name in ["n1", "n2"] {
            led_where_it_is_found(fleet, name);
            store(fleet, name, "k", value);
        }
    }
    for ((fleet, value), right) in [(&mut ours, "ours"), (&mut theirs, "theirs")].into_iter().zip(&addresses) {
        fleet.succeed(&["cluster", "set-address", "n3", right], "n1");
        assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3"]);
        assert_eq!(read(fleet, "n3", "k").as_deref(), Some(value));
    }
}

/// Waits until that node is ready. On a busy machine n3, which hears of no leader, may have come to lead again, where the
/// others do not look for it.
fn led_where_it_is_found(fleet: &mut Fleet, name: &str) {
    fleet.wait_until(&format!("{name} is ready"), |fleet| {
        let ready = fleet.readiness(name) == Some(200);
        if !ready {
            fleet.run(&["cluster", "transfer-leader", "n1"], "n3");
        }
        ready.then_some(())
    });
}

/// Two of three are enough; the third serves what its own cluster knows, or nothing.
fn keeps_its_own(fleet: &mut Fleet, cluster_id: Option<&String>, value: &str) {
    for name in ["n1", "n2"] {
        assert_eq!(fleet.status(name).unwrap().cluster_id.as_ref(), cluster_id, "{name}");
        led_where_it_is_found(fleet, name);
        assert_eq!(read(fleet, name, "k").as_deref(), Some(value), "{name}");
    }
    // It hears nothing from its leader, and goes on by what it was.
    if let Some(status) = fleet.status("n3") {
        assert_eq!(status.cluster_id.as_ref(), cluster_id);
    }
    shows_at_most(fleet, "n3", "k", value);
}
