//! Which entries may go, by the stamps that stand in the log itself.

use std::time::Duration;

use openraft::RaftLogReader;

use super::*;
use crate::Retention;

const MINUTE: u64 = 60_000;

/// Bytes that the log may take, more than it does.
const AMPLE: u64 = 1 << 30;

fn off_one_thread<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}

#[test]
fn an_hour_of_entries_stays_by_their_own_stamps_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit([leader.register()]);
    // A minute passes after every 20 entries; each file of the log takes about 100 of them.
    for _ in 0..120 {
        let entries = (0..20).map(|nth| leader.put(key(nth), Bytes::from(vec![7; 2500]), day())).collect::<Vec<_>>();
        store.commit(entries);
        store.commit([leader.tick(MINUTE)]);
    }
    let last = store.state().applied().0.unwrap().index;
    let ask = |store: &Store, minutes: u64, bytes: u64| {
        let retention = Retention { entries: 0, age: Duration::from_millis(minutes * MINUTE), bytes };
        off_one_thread(store.log_store().purge_upto(retention, last, store.state().clock())).unwrap()
    };
    let asked = [(30, AMPLE), (60, AMPLE), (119, AMPLE), (600, AMPLE), (600, 2 << 20), (0, AMPLE)];
    let before: Vec<_> = asked.map(|(minutes, bytes)| ask(&store, minutes, bytes)).to_vec();
    store.close().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!(
        asked.map(|(minutes, bytes)| ask(&store, minutes, bytes)).to_vec(),
        before,
        "nothing of it is in memory"
    );

    let stamp_of = |index: u64| {
        let entries = off_one_thread(store.log_store().try_get_log_entries(index..=index)).unwrap();
        match &entries[0].payload {
            EntryPayload::Normal(proposal) => proposal.stamp,
            _ => panic!("only commands were written"),
        }
    };
    let now = store.state().clock();
    for (minutes, upto) in [(30, before[0]), (60, before[1])] {
        let upto = upto.unwrap();
        let age = Duration::from_millis(minutes * MINUTE);
        assert!(now.since(stamp_of(upto)) >= age, "what goes is older than {minutes} minutes");
        // About five minutes' entries are in a file.
        let slack = Duration::from_millis(12 * MINUTE);
        assert!(now.since(stamp_of(upto + 1)) <= age + slack, "and what stays is not much older");
    }
    assert_eq!((before[2], before[3], before[5]), (None, None, Some(last)));
    let by_bytes = before[4].unwrap();
    let kept = store.log_store().bytes_after(by_bytes);
    assert!(kept <= 2 << 20 && kept > 1 << 20, "{kept} bytes stay");
}
