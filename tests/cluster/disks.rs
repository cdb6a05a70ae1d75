//! States that are damaged, on one node and on all.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use sessile_testkit::{Client, Fleet, eventually};

use crate::world::{WATCHED, formed, formed_with_short_logs, read, says, serves_nothing, store};

/// As in the program: how much of the log one file holds, and how many entries stay behind what is durable.
const SEGMENT_BYTES: usize = 16 << 20;
const KEPT_ENTRIES: usize = 5_000;
/// How many values fill a file of the log.
const FAT: usize = 512;
const WRITERS: usize = 48;
/// In how many places of a file a byte is flipped.
const FLIPS: usize = 16;

/// All files below a directory; a socket is none.
fn files(below: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(below) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.append(&mut files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// What a file holds, wherever it is.
fn content(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(path).unwrap().hash(&mut hasher);
    hasher.finish()
}

/// Flips bytes in the largest files of a node's state. It does not run. Gives what these files hold then.
fn damage_state(fleet: &Fleet, name: &str) -> BTreeSet<u64> {
    let mut files = files(&fleet.data_dir(name).join("state"));
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    assert!(!files.is_empty(), "{name} has a state");
    files.truncate(4);
    for path in &files {
        let mut bytes = fs::read(path).unwrap();
        // Not in what is preallocated and zero.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for nth in 0..FLIPS.min(used) {
            bytes[used * nth / FLIPS.min(used)] ^= 0x55;
        }
        fs::write(path, bytes).unwrap();
    }
    files.iter().map(|path| content(path)).collect()
}

/// Writes more than the log keeps for members that lag, until no node has its beginning any more: first what fills one
/// of its files, then as many entries as stay in any case.
fn until_purged(fleet: &mut Fleet) {
    let (fat, thin) = (vec![b'x'; SEGMENT_BYTES / FAT], b"v".to_vec());
    write_all(fleet, FAT + FAT / 4, &fat);
    write_all(fleet, KEPT_ENTRIES + KEPT_ENTRIES / 10, &thin);
    for name in fleet.names() {
        let first = fleet.data_dir(&name).join("log/0000000001.seg");
        fleet.wait_until(&format!("the log of {name} is purged"), |fleet| {
            fleet.succeed(&["cluster", "snapshot"], &name);
            (!first.exists()).then_some(())
        });
    }
}

/// So many values, by many clients at once at all nodes that run.
fn write_all(fleet: &Fleet, count: usize, value: &[u8]) {
    let addresses: Vec<_> = fleet.running().iter().map(|name| fleet.http(name)).collect();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let address = addresses[writer % addresses.len()];
            scope.spawn(move || {
                let mut client = Client::connect(address).unwrap();
                for nth in 0..count.div_ceil(WRITERS) {
                    let target = format!("/sessions/v1/filler{writer}x{}", nth % 10);
                    // It is there to fill the logs: what a busy machine did not do in time is sent again.
                    let answer = eventually("a write is answered", || {
                        let answer = client.request("POST", &target, "", value).unwrap();
                        (answer.status != 503).then_some(answer)
                    });
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            });
        }
    });
}

#[test]
fn a_member_that_missed_a_file_of_the_log_and_thousands_of_entries_catches_up_from_the_log() {
    let (mut fleet, _) = formed(3);
    fleet.stop("n3");
    let (fat, thin) = (vec![b'x'; SEGMENT_BYTES / FAT], b"v".to_vec());
    write_all(&fleet, FAT + FAT / 4, &fat);
    write_all(&fleet, KEPT_ENTRIES + KEPT_ENTRIES / 10, &thin);
    store(&fleet, "n1", "late", "v");
    for name in ["n1", "n2"] {
        // What may go behind a durable state goes with this.
        fleet.succeed(&["cluster", "snapshot"], name);
    }
    fleet.start("n3");
    fleet.wait_until("n3 has caught up", |fleet| {
        let status = fleet.status("n1")?;
        status.members.iter().any(|member| member.name == "n3" && member.reachable && member.lag == 0).then_some(())
    });
    assert_eq!(read(&fleet, "n3", "late").as_deref(), Some("v"));
    let words = fleet.words("n3");
    assert!(!words.contains("the state of another member was received"), "n3 needed a snapshot");
    for name in fleet.names() {
        assert!(fleet.data_dir(&name).join("log/0000000001.seg").exists(), "the log of {name} begins at its beginning");
    }
}

#[test]
fn a_state_damaged_on_one_node_is_fetched_from_a_member() {
    let (mut fleet, before) = formed_with_short_logs(3);
    store(&fleet, "n1", "k", "v");
    until_purged(&mut fleet);
    store(&fleet, "n1", "late", "v");
    fleet.kill("n2");
    damage_state(&fleet, "n2");
    fleet.start("n2");
    let after = fleet.wait_until_formed();
    assert_eq!(after.voter("n2").unwrap().id, before.voter("n2").unwrap().id, "its log is whole: it is the same node");
    for key in ["k", "late"] {
        assert_eq!(read(&fleet, "n2", key).as_deref(), Some("v"));
    }
    let aside = fs::read_dir(fleet.data_dir("n2")).unwrap().map(|entry| entry.unwrap().file_name());
    let aside: Vec<_> = aside.filter(|name| name.to_string_lossy().starts_with("state")).collect();
    assert!(aside.len() > 1, "a damaged state is set aside, never deleted: {aside:?}");
    fleet.wait_until("all agree on checksum and count", |fleet| {
        let status = fleet.status("n2")?;
        let first = status.members.first()?;
        let same = |m: &sessile_testkit::Member| {
            (&m.checksum, m.checksum_index, m.sessions) == (&first.checksum, first.checksum_index, first.sessions)
        };
        (status.members.len() == 3 && status.members.iter().all(same)).then_some(())
    });
}

#[test]
fn states_damaged_on_all_nodes_at_once_are_kept_and_a_sentence_says_what_to_do() {
    let (mut fleet, _) = formed_with_short_logs(3);
    store(&fleet, "n1", "k", "v");
    until_purged(&mut fleet);
    fleet.kill_all();
    let names = fleet.names();
    let damaged: Vec<_> = names.iter().map(|name| damage_state(&fleet, name)).collect();
    fleet.start_all();
    for name in &names {
        says(&mut fleet, name, "restore");
        serves_nothing(&fleet, name);
    }
    fleet.holds_for(WATCHED, |fleet| {
        for name in &names {
            assert!(fleet.readiness(name) != Some(200), "{name} serves what nobody can vouch for");
        }
    });
    fleet.kill_all();
    for (name, before) in names.iter().zip(damaged) {
        let after: BTreeSet<_> = files(&fleet.data_dir(name)).iter().map(|path| content(path)).collect();
        let lost = before.difference(&after).count();
        assert_eq!(lost, 0, "{name} discarded {lost} of {} damaged files", before.len());
        assert!(fleet.data_dir(name).join("log").exists());
    }
}
