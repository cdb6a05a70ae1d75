//! Sessions in a file, and what is made of it; and a cluster of which one node is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sessile_testkit::Fleet;

use crate::world::{formed, other_than, read, serves_nothing, store};

/// Runs the program with words that need no node.
fn sessile(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sessile")).args(words).output().unwrap()
}

#[track_caller]
fn ends_with(code: i32, words: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = sessile(words);
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{words:?}: {stdout}{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (stdout, stderr)
}

/// The file that a node is configured by.
fn config(fleet: &Fleet, name: &str) -> PathBuf {
    fleet.data_dir(name).parent().and_then(Path::parent).unwrap().join("config.yaml")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn with_sessions(fleet: &Fleet, node: &str) {
    for number in 0..20 {
        store(fleet, node, &format!("enwiki:{number}"), &format!("value {number}"));
    }
}

fn has_them(fleet: &Fleet, node: &str) {
    for number in 0..20 {
        assert_eq!(read(fleet, node, &format!("enwiki:{number}")), Some(format!("value {number}")), "{node} {number}");
    }
}

#[test]
fn a_cluster_is_made_again_of_its_backup_on_empty_machines() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.backup");
    let (mut fleet, before) = formed(3);
    let leader = before.leader.clone().unwrap();
    with_sessions(&fleet, &leader);
    let at = other_than(&fleet, &leader);
    let said = fleet.succeed(&["backup", text(&file)], &at);
    assert!(said.stdout.contains("is whole: 20 sessions"), "{said:?}");
    store(&fleet, &leader, "enwiki:later", "not in it");
    let bytes = fs::read(&file).unwrap();
    assert_eq!(fleet.refused(&["backup", text(&file)], &at).code, Some(73), "it is there already");
    assert_eq!(fs::read(&file).unwrap(), bytes);
    assert!(ends_with(0, &["verify", text(&file)]).0.contains("is whole: 20 sessions"));
    let inspected: serde_json::Value =
        serde_json::from_str(&ends_with(0, &["inspect", text(&file), "--json"]).0).unwrap();
    assert_eq!(inspected["cluster_id"].as_str(), before.cluster_id.as_deref());
    assert_eq!(
        (&inspected["namespaces"][0]["name"], &inspected["namespaces"][0]["keys"]),
        (&"sessions".into(), &20.into())
    );
    assert!(fleet.succeed(&["cluster", "history"], &at).stdout.contains("back up all sessions"));

    // Into a node that runs, and into one that has its data.
    let data_dir = fleet.data_dir(&at);
    let restore = ["restore", text(&file), "--data-dir", text(&data_dir)];
    assert!(ends_with(73, &restore).1.contains("in use by another process"));
    fleet.stop(&at);
    assert!(ends_with(65, &restore).1.contains("name an empty directory"));

    fleet.kill_all();
    for name in fleet.names() {
        fleet.reimage(&name);
    }
    let (said, _) = ends_with(0, &restore);
    assert!(said.contains("20 sessions are in") && said.contains("new cluster"), "{said}");
    fleet.start(&at);
    fleet.wait_until_ready(&at);
    has_them(&fleet, &at);
    assert_eq!(read(&fleet, &at, "enwiki:later"), None);
    fleet.start_all();
    let after = fleet.wait_until_formed();
    assert_eq!(after.voters(), fleet.names());
    assert_ne!(after.cluster_id, before.cluster_id);
    for name in fleet.names() {
        has_them(&fleet, &name);
    }
    store(&fleet, &leader, "enwiki:1", "goes on");
    assert!(fleet.succeed(&["cluster", "history"], &leader).stdout.contains("restore the backup of cluster"));
}

#[test]
fn a_backup_that_is_damaged_or_no_backup_is_told_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (dir.path().join("b"), dir.path().join("data"));
    let (fleet, _) = formed(3);
    with_sessions(&fleet, "n1");
    fleet.succeed(&["backup", text(&file)], "n1");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for (bytes, said) in
        [(damaged.as_slice(), "damaged"), (&whole[..whole.len() / 2], "cut short"), (b"#!/bin/sh", "does not begin")]
    {
        fs::write(&file, bytes).unwrap();
        for words in [vec!["verify"], vec!["inspect"], vec!["restore", "--data-dir", text(&target)]] {
            let words: Vec<&str> = words.into_iter().chain([text(&file)]).collect();
            assert!(ends_with(65, &words).1.contains(said), "{words:?}");
        }
        assert!(!target.join("log").exists());
    }
    ends_with(73, &["verify", text(&dir.path().join("none"))]);
    assert_eq!(fleet.refused(&["backup", text(&dir.path().join("none/b"))], "n1").code, Some(73));
}

#[test]
fn without_a_quorum_a_backup_is_made_only_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (file, behind) = (dir.path().join("b"), dir.path().join("behind"));
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    with_sessions(&fleet, &leader);
    let left = other_than(&fleet, &leader);
    for name in fleet.names().into_iter().filter(|name| *name != left) {
        fleet.kill(&name);
    }
    let refused = fleet.refused(&["backup", text(&file)], &left);
    assert!(refused.code == Some(75) && refused.stderr.contains("--even-behind") && !file.exists(), "{refused:?}");
    fleet.succeed(&["backup", text(&behind), "--even-behind"], &left);
    assert!(ends_with(0, &["verify", text(&behind)]).0.contains("20 sessions"));
}

#[test]
fn a_node_makes_backups_by_itself_where_its_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut fleet = crate::world::fleet(3);
    let directory = dir.path().join("backups");
    fleet.settings("n1").lines = format!("backup: {{ directory: {}, every: 60, keep: 2 }}\n", directory.display());
    fleet.start_all();
    let made = fleet.wait_until("a backup is there", |_| {
        let entries = fs::read_dir(&directory).ok()?;
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "backup"))
    });
    assert!(ends_with(0, &["verify", text(&made)]).0.contains("is whole"));
    let metrics = fleet.client("n1").request("GET", "/metrics", "", b"").unwrap().text();
    assert!(metrics.contains("sessile_backup_every_seconds 60") && metrics.contains("sessile_backup_failures_total 0"));
}

#[test]
fn what_is_left_of_a_cluster_is_made_a_new_one_and_nobody_comes_back_with_what_he_had() {
    let (mut fleet, before) = formed(3);
    let leader = before.leader.clone().unwrap();
    with_sessions(&fleet, &leader);
    let survivor = other_than(&fleet, &leader);
    let others: Vec<String> = fleet.names().into_iter().filter(|name| *name != survivor).collect();
    let file = config(&fleet, &survivor);
    let cluster = before.cluster_id.clone().unwrap();
    let rescue = |more: &[&str], code| {
        let words: Vec<&str> = ["cluster", "rescue", "--config", text(&file)].iter().chain(more).copied().collect();
        ends_with(code, &words)
    };
    assert!(rescue(&["--cluster", &cluster], 73).1.contains("in use by another process"), "it runs");
    fleet.stop(&survivor);
    let (plan, refused) = rescue(&["--cluster", &cluster], 65);
    assert!(plan.contains("answers") && refused.contains("a majority lives"), "{plan}{refused}");
    fleet.start(&survivor);
    fleet.wait_until_formed();

    for name in &others {
        fleet.kill(name);
    }
    fleet.kill(&survivor);
    let (plan, _) = rescue(&["--plan"], 0);
    for said in
        [&*cluster, "What may be missing", "Who must never come back", "20 sessions", "does not answer", &others[0]]
    {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    assert!(rescue(&[], 65).1.contains("nothing was changed"), "nobody is at a terminal");
    assert!(rescue(&["--cluster", "1"], 65).1.contains("names another one"));
    let (said, _) = rescue(&["--cluster", &cluster], 0);
    assert!(said.contains("the only member of the new cluster"), "{said}");

    fleet.start(&survivor);
    fleet.wait_until_ready(&survivor);
    has_them(&fleet, &survivor);
    // With what it had it is nobody's member.
    fleet.start(&others[0]);
    serves_nothing(&fleet, &others[0]);
    assert_eq!(fleet.status(&survivor).unwrap().voters(), [&*survivor]);
    fleet.kill(&others[0]);
    for name in &others {
        fleet.reimage(name);
    }
    fleet.start_all();
    let after = fleet.wait_until_formed();
    assert_eq!(after.voters(), fleet.names());
    assert_ne!(after.cluster_id.as_deref(), Some(&*cluster));
    for name in fleet.names() {
        has_them(&fleet, &name);
    }
    assert!(fleet.succeed(&["cluster", "history"], &survivor).stdout.contains("rescue "));
}

#[test]
fn a_backup_whose_node_is_killed_says_so_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b");
    let (mut fleet, before) = formed(3);
    let leader = before.leader.unwrap();
    // More than what is on its way at a time: the node is still sending when it is killed.
    let value = "x".repeat(1 << 20);
    for number in 0..48 {
        store(&fleet, &leader, &format!("large:{number}"), &value);
    }
    let backup = fleet.ask(&["backup", text(&file)], &leader);
    let partial = dir.path().join("b.partial");
    fleet.wait_until("the backup has begun", |_| fs::metadata(&partial).ok().filter(|file| file.len() > 0).map(drop));
    fleet.kill(&leader);
    let mut backup = backup;
    assert_eq!(backup.ends().code(), Some(69), "{}", backup.stderr());
    assert!(backup.stderr().contains("ask again, or another node"), "{}", backup.stderr());
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing of it stays");
}
