//! `kill -9`, whenever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sessile_testkit::{Client, PATIENCE, eventually};

use crate::ledger::{Ledger, Tried};
use crate::world::{Place, seed};

const ROUNDS: u64 = 50;
const WRITERS: usize = 4;
const KEYS_PER_WRITER: usize = 12;
/// In this round the node lives until its log was purged, and the rounds after it begin with a purged log. By then so
/// much was written that it is about to be.
const PURGED_IN: u64 = 36;
/// The most acknowledged writes of one of the other rounds.
const ACKNOWLEDGED: u64 = 700;
/// Every so many rounds the values are large, and few.
const LARGE_EVERY: u64 = 8;
const ACKNOWLEDGED_LARGE: u64 = 25;
const MIB: usize = 1 << 20;

#[test]
fn no_acknowledged_write_is_lost_by_kill_9_on_fjall() {
    survive("fjall");
}

#[test]
fn no_acknowledged_write_is_lost_by_kill_9_on_sled() {
    survive("sled");
}

/// After `kill -9` the state is where the last answer left it, so only a lost one shows whether the log has it all.
fn is_made_again(engine: &'static str) {
    let seed = seed(&format!("a lost state on {engine}"));
    let place = Place::new(engine);
    let mut ledger = Ledger::new(0, KEYS_PER_WRITER, seed);
    for lost in [true, false] {
        let mut node = place.start();
        let mut client = Client::connect(node.ready()).unwrap();
        for _ in 0..150 {
            assert!(matches!(ledger.act(&mut client), Tried::Answered));
        }
        node.kill();
        let state = place.data_dir().join("state");
        if lost {
            std::fs::remove_dir_all(&state).unwrap();
        } else {
            let named = std::fs::read_dir(state.join("1/data")).unwrap().map(|entry| entry.unwrap().path());
            let vital = named
                .filter(|path| path.is_file() && !path.ends_with("lock"))
                .max_by_key(|path| path.metadata().unwrap().len());
            std::fs::write(vital.unwrap(), "rubbish").unwrap();
        }
        let mut node = place.start();
        let mut client = Client::connect(node.ready()).unwrap();
        ledger.verify(&mut client);
        node.says("the state was lost or damaged; the log, which is whole, makes it again");
        drop(client);
        node.kill();
    }
    let kept = std::fs::read_dir(place.data_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let kept: Vec<_> = kept.filter(|name| name.to_string_lossy().starts_with("state")).collect();
    assert!(kept.len() > 1, "a damaged state is set aside, never deleted: {kept:?}");
}

#[test]
fn a_lost_state_is_made_again_from_the_log_on_fjall() {
    is_made_again("fjall");
}

#[test]
fn a_lost_state_is_made_again_from_the_log_on_sled() {
    is_made_again("sled");
}

/// The moment that random ones seldom hit: the engine was writing a table that no list names yet. It deletes such a table.
#[test]
fn a_table_that_kill_9_left_half_written_is_no_damage() {
    let place = Place::new("fjall");
    let mut ledger = Ledger::new(0, KEYS_PER_WRITER, seed("a half-written table"));
    let mut node = place.start();
    let mut client = Client::connect(node.ready()).unwrap();
    for _ in 0..50 {
        assert!(matches!(ledger.act(&mut client), Tried::Answered));
    }
    node.kill();
    std::fs::write(place.data_dir().join("state/1/data/tables/77"), "the first bytes of a table").unwrap();
    let mut node = place.start();
    let mut client = Client::connect(node.ready()).unwrap();
    ledger.verify(&mut client);
    node.says("the state was checked and is whole");
}

fn survive(engine: &'static str) {
    let seed = seed(&format!("kill -9 on {engine}"));
    let begin = Instant::now();
    let place = Place::new(engine);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut ledgers: Vec<_> = (0..WRITERS).map(|writer| Ledger::new(writer, KEYS_PER_WRITER, seed)).collect();
    let first_segment = place.data_dir().join("log/0000000001.seg");
    for round in 0..=ROUNDS {
        let mut node = place.start();
        let address = node.ready();
        if round > 0 {
            // By itself, with the state that was there, and every record of it counted.
            node.says("the state was checked and is whole");
        }
        let mut reader = Client::connect(address).unwrap();
        ledgers.iter_mut().for_each(|ledger| ledger.verify(&mut reader));
        drop(reader);
        if round == ROUNDS {
            break;
        }
        let large = round % LARGE_EVERY == LARGE_EVERY - 1;
        ledgers.iter_mut().for_each(|ledger| ledger.values_of(if large { 200 << 10..=MIB } else { 1..=16 << 10 }));
        let until = rng.random_range(1..=if large { ACKNOWLEDGED_LARGE } else { ACKNOWLEDGED });
        let (acknowledged, (reached, wait)) = (AtomicU64::new(0), sync_channel(1));
        thread::scope(|scope| {
            for ledger in &mut ledgers {
                let (acknowledged, reached) = (&acknowledged, reached.clone());
                scope.spawn(move || {
                    let mut client = Client::connect(address).unwrap();
                    loop {
                        let before = ledger.acknowledged;
                        match ledger.act(&mut client) {
                            Tried::Answered => {}
                            Tried::Unanswered(_) => return,
                            refused @ Tried::Refused(_) => panic!("a healthy node refuses nothing: {refused:?}"),
                        }
                        if ledger.acknowledged > before && acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == until {
                            let _ = reached.try_send(());
                        }
                    }
                });
            }
            // Should it not come, the writers say why, once they have nobody to talk to.
            let _ = wait.recv_timeout(PATIENCE);
            if round == PURGED_IN {
                eventually("a log that grows is purged", || (!first_segment.exists()).then_some(()));
            }
            node.kill();
        });
        assert!(acknowledged.into_inner() >= until, "round {round} came to its end");
    }
    let acknowledged: u64 = ledgers.iter().map(|ledger| ledger.acknowledged).sum();
    eprintln!("{engine}: {ROUNDS} rounds, {acknowledged} acknowledged writes, {:.0?}", begin.elapsed());
}
