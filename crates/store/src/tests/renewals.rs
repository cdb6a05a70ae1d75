//! What a record lives by, and what was answered, on disk and on their way to another member.

use sessile_core::{ANSWERS_KEPT, Action, Idempotency, IdempotencyKey, NamespaceSettings, Renew, Renewal};

use super::namespaces::{ENGINES, settings};
use super::transfer::{install, snapshot_of, transfer};
use super::*;

fn hour() -> Ttl {
    Ttl::from_secs(3_600).unwrap()
}

impl Leader {
    fn asks(&mut self, number: u64, action: Action, name: Option<&str>) -> Entry {
        let name = name.map(|name| IdempotencyKey::new(name.to_owned()).unwrap());
        let named = name.map(|key| Idempotency { key, asked: None });
        self.says(NamespaceId::SESSIONS, key(number), action, named)
    }
}

fn put() -> Action {
    Action::Put(Put { value: value(1, 0), ttl: hour(), condition: Condition::None })
}

fn take() -> Action {
    Action::Delete(Delete { condition: Condition::None, take: true })
}

fn renew_if_due() -> Action {
    Action::Renew(Renew { ttl: hour(), condition: Condition::None, if_due: true })
}

impl Store {
    /// What is left of a record's lifetime.
    fn left(&self, number: u64) -> u64 {
        let found = self.state().read(NamespaceId::SESSIONS, &key(number)).unwrap().unwrap();
        found.record.header.expires_at.since(found.clock).as_secs()
    }
}

/// Both survive a start, by what is stored and by the log, and go with a snapshot; and an answer is forgotten in time.
#[test]
fn lifetimes_and_answers_are_there_after_a_start_and_at_another_member() {
    for (from, to) in ENGINES {
        let (dir, target_dir, cluster) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
        let (store, _) = open_in(dir.path(), from, cluster).unwrap();
        let mut leader = Leader::new();
        let sessions = NamespaceSettings { renewal: Renewal::Half, ..settings("sessions") };
        store.commit(leader.begins_with(vec![sessions]));
        let written = [leader.asks(1, put(), None), leader.asks(2, put(), None)];
        store.commit(written);
        let taken = store.commit([leader.asks(2, take(), Some("once"))]);
        assert!(
            matches!(&taken[..], [Some(Outcome::Deleted { taken: Some(taken), .. })] if taken.value == value(1, 0))
        );
        // One part is durable in the state, the other in the log alone.
        store.state().persist().unwrap();
        store.commit([leader.asks(3, put(), Some("twice"))]);
        store.close().unwrap();

        let (store, _) = open_in(dir.path(), from, cluster).unwrap();
        store.replay();
        let (meta, snapshot) = snapshot_of(&store);
        let (target, _) = open_in(target_dir.path(), to, cluster).unwrap();
        let chunks: Vec<Bytes> = snapshot.chunks().map(Result::unwrap).collect();
        let received = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap();
        install(&target, &meta, received).unwrap();
        assert_eq!(target.state().summary(), store.state().summary());
        target.state().check().unwrap();

        leader.clock += 599_000;
        let (again, twice) = (leader.asks(2, take(), Some("once")), leader.asks(3, put(), Some("twice")));
        leader.clock += 1_201_000;
        let (read, late) = (leader.asks(1, renew_if_due(), None), leader.asks(2, take(), Some("once")));
        for store in [&store, &target] {
            let told = store.state().apply(&[again.clone(), twice.clone()]).unwrap();
            assert_eq!(told[0], taken[0], "the value that is gone");
            assert!(
                matches!(told[1], Some(Outcome::Written { version }) if version.log_index() < meta.last_log_id.unwrap().index + 1)
            );
            let told = store.state().apply(&[read.clone(), late.clone()]).unwrap();
            assert!(matches!(told[0], Some(Outcome::Renewed { version: Some(_) })));
            assert_eq!(store.left(1), 3_600, "it kept by what it is renewed");
            assert_eq!(told[1], Some(Outcome::Deleted { existed: false, taken: None }), "after {ANSWERS_KEPT:?}");
            store.state().check().unwrap();
        }
        assert_eq!(target.state().summary(), store.state().summary());
    }
}
