//! Becoming one cluster, and never two.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::world::{WATCHED, fleet, formed, put, read, serves_nothing, store, waits_for};

/// `listen_ms` where it matters who is heard of first.
const LISTEN_MS: u64 = 2500;

#[test]
fn two_of_three_wait_say_for_whom_and_serve_when_the_third_comes() {
    let mut fleet = fleet(3);
    fleet.start("n1");
    fleet.start("n2");
    let absent = fleet.grpc("n3").to_string();
    for name in ["n1", "n2"] {
        waits_for(&mut fleet, name, &absent);
        serves_nothing(&fleet, name);
        let (status, kind) = put(&fleet, name, "k", b"v");
        assert_eq!((status, kind.as_str()), (503, "no_quorum"));
    }
    fleet.holds_for(WATCHED, |fleet| {
        for name in ["n1", "n2"] {
            assert_eq!(fleet.status(name).and_then(|status| status.cluster_id), None, "two of three are no cluster");
        }
    });
    fleet.start("n3");
    let status = fleet.wait_until_formed();
    assert_eq!(status.voters(), ["n1", "n2", "n3"]);
    assert_eq!(status.waiting_for, Vec::<String>::new());
    store(&fleet, "n1", "k", "v");
    assert_eq!(read(&fleet, "n3", "k").as_deref(), Some("v"));
}

#[test]
fn a_number_of_first_members_that_their_list_does_not_name_is_refused_at_the_start() {
    let mut fleet = fleet(2);
    for name in fleet.names() {
        fleet.settings(&name).expect = Some(3);
        fleet.start(&name);
        assert_eq!(fleet.ends(&name).code(), Some(64));
        let words = fleet.words(&name);
        assert!(words.contains("`cluster.expect` is 3, but `cluster.seeds` names 2"), "{words}");
        assert!(!fleet.data_dir(&name).exists(), "nothing was begun");
    }
}

/// Takes connections and answers nothing that a node would.
fn stranger(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(words);
            if words.is_empty() {
                // Open, and silent for ever.
                kept.push(stream);
            }
        }
    });
    address
}

#[test]
fn a_seed_that_is_nobody_or_somebody_else_is_waited_for_by_name() {
    let mut fleet = fleet(3);
    let real = fleet.settings("n1").seeds.clone();
    let strange = [
        "no-such-node.invalid:7081".to_owned(),
        stranger(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").to_string(),
        stranger(b"SSH-2.0-OpenSSH_9.2\r\n").to_string(),
        stranger(b"").to_string(),
    ];
    for third in strange {
        for name in ["n1", "n2"] {
            fleet.settings(name).seeds = vec![real[0].clone(), real[1].clone(), third.clone()];
            fleet.start(name);
        }
        for name in ["n1", "n2"] {
            waits_for(&mut fleet, name, &third);
            assert_eq!(fleet.status(name).unwrap().cluster_id, None);
        }
        assert_eq!(fleet.readiness("n1"), Some(503));
        fleet.stop("n1");
        fleet.stop("n2");
    }
    // None of it has left a mark.
    for name in fleet.names() {
        fleet.settings(&name).seeds = real.clone();
    }
    fleet.start_all();
    assert_eq!(fleet.wait_until_formed().voters(), ["n1", "n2", "n3"]);
}

#[test]
fn a_node_that_lost_its_disk_while_the_others_are_down_waits_for_them() {
    let (mut fleet, before) = formed(3);
    store(&fleet, "n1", "k", "v");
    fleet.kill_all();
    fleet.reimage("n1");
    fleet.start("n1");
    for absent in ["n2", "n3"] {
        let absent = fleet.grpc(absent).to_string();
        waits_for(&mut fleet, "n1", &absent);
    }
    serves_nothing(&fleet, "n1");
    fleet.holds_for(WATCHED, |fleet| {
        assert_eq!(fleet.status("n1").and_then(|status| status.cluster_id), None, "it makes no cluster of its own");
    });
    fleet.start("n2");
    fleet.start("n3");
    let after = fleet.wait_until_formed();
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_ne!(after.voter("n1").unwrap().id, before.voter("n1").unwrap().id, "an empty disk is a new node");
    assert_eq!((after.voters(), after.members.len()), (vec!["n1", "n2", "n3"], 3));
    assert_eq!(read(&fleet, "n1", "k").as_deref(), Some("v"));
}

#[test]
fn seeds_that_are_wiped_all_at_once_make_no_second_cluster() {
    let mut fleet = fleet(3);
    for name in fleet.names() {
        // Longer than the pause between two knocks of those who live, as the default is.
        fleet.settings(&name).listen_ms = LISTEN_MS;
    }
    fleet.start_all();
    fleet.wait_until_formed();
    for name in ["n4", "n5", "n6"] {
        fleet.add(name);
        fleet.start(name);
        // One after the other: each is a voter before the next one comes.
        fleet.wait_until_formed();
    }
    let before = fleet.wait_until_formed();
    assert_eq!(before.voters().len(), 6);
    store(&fleet, "n5", "k", "v");
    let seeds = ["n1", "n2", "n3"];
    for name in seeds {
        fleet.kill(name);
        fleet.reimage(name);
    }
    for name in seeds {
        fleet.start(name);
    }
    for name in seeds {
        fleet.wait_until(&format!("{name} says what it waits for"), |fleet| {
            fleet.status(name).filter(|status| !status.waiting_for.is_empty())
        });
    }
    fleet.holds_for(Duration::from_millis(LISTEN_MS) + WATCHED, |fleet| {
        for name in seeds {
            let status = fleet.status(name).unwrap();
            assert!(
                status.cluster_id.is_none() || status.cluster_id == before.cluster_id,
                "a second cluster: {status:?}"
            );
            assert!(!status.ready, "three of six are no majority: {status:?}");
        }
    });
    // One of those that were wiped, and one that was not.
    serves_nothing(&fleet, "n1");
    serves_nothing(&fleet, "n5");
    let survivor = fleet.status("n5").unwrap();
    assert_eq!(survivor.cluster_id, before.cluster_id);
    assert!(!survivor.ready);
}
