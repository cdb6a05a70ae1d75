//! The long tests in short: a few bad days and a few power cuts, with the real binary. What they do and how it is judged
//! stands in docs/proof.md; `sessile-testkit` runs them for as long as wanted.
//!
//! ```text
//! cargo test -p sessile --test chaos -- --nocapture
//! ```
//!
//! `SESSILE_SEED` repeats the choices of a run, and `SESSILE_PROGRAM` is a binary to take instead of the one that was
//! built with the test. Networks of their own and disks whose power can be cut need root, `ip` and /dev/fuse; what a
//! machine does not have is said, and done without.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]
#![allow(clippy::print_stderr, reason = "a test tells its seed and what it had to do without")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sessile_testkit::chaos::{self, ChaosOptions};
use sessile_testkit::power_cuts::{self, Loss, PowerCutOptions};
use sessile_testkit::{Client, Honesty, Network, PowerDisk, Process};

/// One of them runs at a time: each has a cluster to carry.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program() -> PathBuf {
    std::env::var_os("SESSILE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_sessile").into()).into()
}

fn seed() -> u64 {
    let seed = std::env::var("SESSILE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    eprintln!("SESSILE_SEED={seed}");
    seed
}

fn power_cuts(loss: Loss, honesty: Honesty, nodes: usize) -> PowerCutOptions {
    PowerCutOptions {
        program: program(),
        engine: "fjall",
        loss,
        nodes: Some(nodes),
        moments: 3..=3,
        seed: seed(),
        honesty,
    }
}

/// Whether this machine has disks whose power can be cut.
fn has_power_disks() -> bool {
    let dir = tempfile::tempdir().unwrap();
    match PowerDisk::mount(dir.path(), Honesty::Honest) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: a disk whose power can be cut needs root and /dev/fuse: {error}");
            false
        }
    }
}

#[test]
fn what_clients_see_of_a_bad_day_is_linearizable() {
    let _alone = alone();
    let cuts = match Network::of(&["probe"]) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("on loopback, where nothing is cut: a network of its own needs root and `ip`: {error}");
            false
        }
    };
    let options = ChaosOptions { program: program(), engine: "fjall", cuts, faults: 4..=4, seed: seed() };
    let round = chaos::round(&options).unwrap_or_else(|story| panic!("{story}"));
    eprintln!("{:?}: {} operations, {} without an answer", round.faults, round.operations, round.unanswered);
    if let Some(error) = round.no_small_disk {
        eprintln!("no disk was filled up, which needs loop devices and mkfs.ext4: {error}");
    }
    assert!(round.operations > 0);
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let _alone = alone();
    if has_power_disks() {
        for nodes in [1, 3] {
            let options = power_cuts(Loss::Power, Honesty::Honest, nodes);
            let survived = power_cuts::round(&options).unwrap_or_else(|story| panic!("{story}"));
            eprintln!("{} operations, {} without an answer", survived.operations, survived.unanswered);
            survived.cuts.iter().for_each(|cut| eprintln!("  {cut}"));
            assert!(survived.operations > 0 && survived.cuts.len() >= 3);
        }
    }
}

/// A node as it is started for the first time: what it makes durable, down to the name of its directory, is all there is.
#[test]
fn the_first_write_to_be_acknowledged_survives_the_worst_power_cut() {
    let _alone = alone();
    if !has_power_disks() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (disk, config) = (place.path().join("disk"), place.path().join("config.yaml"));
    std::fs::create_dir(&disk).unwrap();
    let mut power = PowerDisk::mount(&disk, Honesty::Honest).unwrap();
    let yaml = format!("listen_port: 0\nstorage: {{ data_dir: {}, reserve_mb: 0 }}\n", disk.join("var/data").display());
    std::fs::write(&config, yaml).unwrap();
    let start = || {
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(&config);
        Process::start(command).unwrap()
    };
    let session = "/sessions/v1/session";
    let mut node = start();
    let mut client = Client::connect(node.ready()).unwrap();
    assert_eq!(client.request("PUT", session, "", b"v").unwrap().status, 201);
    node.kill();
    power.loses_all_unsynced().unwrap();
    let mut node = start();
    let mut client = Client::connect(node.ready()).unwrap();
    let found = client.request("GET", session, "", b"").unwrap();
    assert_eq!((found.status, found.body), (200, b"v".to_vec()));
    // From its log alone a node could make its state again, as long as the log has its beginning.
    let names = std::fs::read_dir(disk.join("var/data")).unwrap().map(|entry| entry.unwrap().file_name());
    let states: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("state")).collect();
    assert_eq!(states, ["state"], "its state was there too, and whole");
    node.kill();
}

#[test]
fn what_was_acknowledged_survives_kills_on_sled() {
    let _alone = alone();
    if has_power_disks() {
        let options = PowerCutOptions { engine: "sled", ..power_cuts(Loss::Process, Honesty::Honest, 1) };
        let survived = power_cuts::round(&options).unwrap_or_else(|story| panic!("{story}"));
        assert!(survived.operations > 0 && survived.cuts.len() >= 3);
    }
}

#[test]
fn power_cuts_on_sled_are_refused_with_the_reason() {
    let options = PowerCutOptions { engine: "sled", ..power_cuts(Loss::Power, Honesty::Honest, 1) };
    assert!(power_cuts::round(&options).unwrap_err().contains("its flush is no barrier"));
}

#[test]
fn disks_that_lie_about_what_is_durable_are_found_out() {
    let _alone = alone();
    if has_power_disks() {
        let mut options = power_cuts(Loss::Power, Honesty::Lies, 1);
        // What a lie costs is drawn: now and then it costs nothing.
        let found_out = (0..8).find_map(|_| {
            options.seed += 1;
            power_cuts::round(&options).err()
        });
        let story = found_out.expect("a disk on which nothing is ever synced passes for a good one");
        eprintln!(
            "{}",
            story
                .lines()
                .filter(|line| line.contains(" s  ") || line.contains("no order"))
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
}
