//! Who changed what about a cluster.

use serde_json::Value;
use sessile_testkit::Fleet;

use crate::world::{fleet, formed_with_short_logs, other_than, store};

/// The history, as that node tells it.
fn history(fleet: &Fleet, at: &str) -> Vec<Value> {
    let said = fleet.run(&["cluster", "history", "--json"], at);
    let document: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(document["kept"], true, "{document:#}");
    document["entries"].as_array().unwrap().clone()
}

/// The entry of which one text says that.
#[track_caller]
fn entry<'a>(history: &'a [Value], what: &str) -> &'a Value {
    let says = |entry: &&Value| entry["what"].as_str().is_some_and(|text| text.contains(what));
    history.iter().find(says).unwrap_or_else(|| panic!("nothing of {what:?} in {history:#?}"))
}

#[test]
fn every_change_is_in_the_history_of_all_members_with_who_from_where_when_what_and_its_result() {
    let (mut fleet, status) = formed_with_short_logs(3);
    let first = status.leader.clone().unwrap();
    let second = other_than(&fleet, &first);
    let third = fleet.names().into_iter().find(|name| *name != first && *name != second).unwrap();

    // Asked at a member that does not lead: who asked is told on.
    fleet.succeed(&["cluster", "transfer-leader", &second], &third);
    fleet.wait_until("who was named leads", |fleet| {
        fleet.agreed().filter(|status| status.leader.as_ref() == Some(&second))
    });
    fleet.refused(&["cluster", "remove", "n9"], &first);
    fleet.succeed(&["cluster", "set-address", &third, "127.0.0.1:1"], &first);
    let back = fleet.grpc(&third).to_string();
    fleet.succeed(&["cluster", "set-address", &third, &back], &first);

    // What the autopilot does by itself: the first rules with a history, and an empty disk's way to its place.
    fleet.kill(&third);
    fleet.succeed(&["cluster", "snapshot"], &second);
    for key in 0..50 {
        store(&fleet, &second, &format!("k{key}"), "v");
    }
    fleet.reimage(&third);
    fleet.start(&third);
    fleet.wait_until_formed();
    let told = fleet.wait_until("all members have the same history", |fleet| {
        let told = history(fleet, &first);
        [&second, &third].iter().all(|other| history(fleet, other) == told).then_some(told)
    });

    let moved = entry(&told, &format!("transfer leadership to {second}"));
    assert_eq!(moved["result"], format!("{second} leads"));
    assert!(moved["who"].as_str().unwrap().starts_with("uid "), "{moved}");
    assert!(moved["from"].as_str().unwrap().starts_with("the machine of n"), "{moved}");
    assert!(moved["at_ms"].as_u64().unwrap() > 1_600_000_000_000, "{moved}");
    let refused = entry(&told, "remove n9")["result"].as_str().unwrap();
    assert!(refused.starts_with("refused: ") && refused.contains("n9"), "{refused}");
    let set = entry(&told, &format!("set the address of {third} to 127.0.0.1:1"));
    assert_eq!(set["result"], format!("{third} is reached at 127.0.0.1:1 now"));
    for what in ["rules version", "has taken the place of"] {
        let by_itself = entry(&told, what);
        assert_eq!((&by_itself["who"], &by_itself["result"]), (&"autopilot".into(), &"done".into()), "{by_itself}");
    }
    assert_eq!(entry(&told, "is a learner now")["who"], format!("node {third}"));

    // One line in the log of the node that carried it out.
    let words = fleet.words(&second);
    let line = words.lines().find(|line| line.contains("a change of the cluster") && line.contains("remove n9"));
    assert!(line.is_some_and(|line| line.contains("uid ") && line.contains("the machine of n")), "{line:?}");

    // It is on the disk.
    fleet.kill_all();
    fleet.start_all();
    fleet.wait_until_formed();
    let again = history(&fleet, &first);
    assert_eq!(again[..told.len()], told[..]);
}

#[test]
fn a_cluster_begins_its_history_with_who_made_it_and_shows_it_to_people() {
    let mut fleet = fleet(1);
    fleet.settings("n1").expect = None;
    fleet.settings("n1").seeds = Vec::new();
    fleet.settings("n1").lines = "admin: { listen: '127.0.0.1:0' }\n".to_owned();
    fleet.start("n1");
    fleet.process("n1").says("answering operators on this machine");
    let mut began = fleet.ask_to_begin("n1");
    assert!(began.ends().success(), "{}", began.stderr());
    let said = fleet.succeed(&["cluster", "history"], "n1").stdout;
    let line = said.lines().find(|line| line.contains("make the node n1 the first of a new cluster"));
    assert!(line.is_some_and(|line| line.contains("uid ") && line.contains("(the machine of n1, pid ")), "{said}");
}
