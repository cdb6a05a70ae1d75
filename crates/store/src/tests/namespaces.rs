//! Namespaces and truncates on disk, and on their way to another member.

use std::collections::{BTreeMap, BTreeSet};

use sessile_core::{
    BaseUri, GroupName, Idempotency, NamespaceCommand, NamespaceName, NamespaceSettings, RulesVersion, SessionRequest,
};

use super::transfer::{install, snapshot_of, transfer};
use super::*;
use crate::{Member, Membership, NodeId};

pub(super) const ENGINES: [(EngineKind, EngineKind); 2] =
    [(EngineKind::Fjall, EngineKind::Sled), (EngineKind::Sled, EngineKind::Fjall)];
const ECHO: NamespaceId = NamespaceId::new(2);

pub(super) fn settings(name: &str) -> NamespaceSettings {
    NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(name).unwrap())
}

impl Leader {
    /// A member that follows the newest rules, those rules, and two namespaces.
    fn begins_with_two_namespaces(&mut self) -> Vec<Entry> {
        self.begins_with(vec![settings("sessions"), settings("echo")])
    }

    /// A member that follows the newest rules, those rules, and these namespaces.
    pub(super) fn begins_with(&mut self, seed: Vec<NamespaceSettings>) -> Vec<Entry> {
        let node = NodeId::from(1);
        let members = BTreeMap::from([(node, Member::default())]);
        let membership = Membership::new(vec![BTreeSet::from([node])], members).unwrap();
        let first = Entry::new(log_id(1, self.index), EntryPayload::Membership(membership));
        self.index += 1;
        let raise = self.entry(&Command::RaiseRules(RulesVersion::SUPPORTED));
        let register = Register { proposer: PROPOSER, previous: 0, nonce: 3 };
        // The log index of its registration is the proposer's incarnation.
        let registered = self.entry(&Command::Register(register));
        vec![first, raise, registered, self.entry(&Command::Namespace(NamespaceCommand::Seed(seed)))]
    }

    fn put_in(&mut self, namespace: NamespaceId, key: SessionKey, value: Bytes) -> Entry {
        self.says(namespace, key, Action::Put(Put { value, ttl: day(), condition: Condition::None }), None)
    }

    pub(super) fn says(
        &mut self,
        namespace: NamespaceId,
        key: SessionKey,
        action: Action,
        idempotency: Option<Idempotency>,
    ) -> Entry {
        self.sequence += 1;
        self.entry(&Command::Session(SessionCommand {
            proposer: PROPOSER,
            incarnation: 2,
            sequence: self.sequence,
            lowest_outstanding: self.sequence,
            namespace,
            key,
            request: SessionRequest { action, idempotency },
        }))
    }

    fn truncate(&mut self, namespace: NamespaceId, group: Option<&str>) -> Entry {
        let group = group.map(|group| GroupName::new(group.as_bytes()).unwrap());
        self.entry(&Command::Namespace(NamespaceCommand::Truncate { namespace, group }))
    }
}

/// Which of the first so many keys of each namespace are there.
fn there(store: &Store, of: u64) -> [Vec<u64>; 2] {
    [NamespaceId::SESSIONS, ECHO].map(|namespace| {
        let is_there = |number: &u64| store.state().read(namespace, &key(*number)).unwrap().is_some();
        (0..of).filter(is_there).collect()
    })
}

#[test]
fn what_was_truncated_is_gone_after_a_restart_on_another_member_and_from_the_disk() {
    const KEYS: u64 = 140;
    for (from, to) in ENGINES {
        let (dir, target_dir, cluster) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
        let (store, _) = open_in(dir.path(), from, cluster).unwrap();
        let mut leader = Leader::new();
        let mut entries = leader.begins_with_two_namespaces();
        for number in 0..KEYS {
            entries.push(leader.put_in(NamespaceId::SESSIONS, key(number), value(number, 0)));
            entries.push(leader.put_in(ECHO, key(number), value(number, 0)));
        }
        store.commit(entries);
        // Some of it is in tables, some is not.
        store.state().persist().unwrap();
        let mut entries = vec![leader.truncate(ECHO, None), leader.truncate(NamespaceId::SESSIONS, Some("wiki1"))];
        entries.push(leader.put_in(ECHO, key(3), value(3, 1)));
        entries.push(leader.put_in(NamespaceId::SESSIONS, key(8), value(8, 1)));
        store.commit(entries);
        // Of every seven keys one is of wiki1; the eighth was written again.
        let left: Vec<u64> = (0..KEYS).filter(|number| number % 7 != 1 || *number == 8).collect();
        let expected = [left, vec![3]];
        assert_eq!(there(&store, KEYS), expected);
        store.state().check().unwrap();
        let (table, counts) = (store.state().namespaces(), store.state().counts());

        let (meta, snapshot) = snapshot_of(&store);
        let (target, _) = open_in(target_dir.path(), to, cluster).unwrap();
        let chunks = snapshot.chunks().map(Result::unwrap);
        let received = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap();
        install(&target, &meta, received).unwrap();
        for (store, dir) in [(store, &dir), (target, &target_dir)] {
            assert_eq!(there(&store, KEYS), expected);
            store.close().unwrap();
            let (again, _) = open(dir.path(), if dir.path() == target_dir.path() { to } else { from }).unwrap();
            again.replay();
            assert_eq!((again.state().namespaces(), again.state().counts()), (table.clone(), counts.clone()));
            assert_eq!(there(&again, KEYS), expected);
            again.state().persist().unwrap();
            while again.state().reap(None, 10_000).unwrap().removed > 0 {}
            let records = again.state().check().unwrap().records;
            assert_eq!(records, expected.iter().map(Vec::len).sum::<usize>() as u64, "and of the rest nothing is left");
            assert_eq!(there(&again, KEYS), expected);
        }
    }
}

/// The keys of a list, page by page; `between` runs after the first.
fn listed(store: &Store, namespace: NamespaceId, group: Option<&str>, between: impl FnOnce()) -> Vec<String> {
    let group = group.map(|name| GroupName::new(name.as_bytes()).unwrap());
    let mut list = store.state().list_keys(namespace, group).unwrap();
    let (mut keys, mut between) = (Vec::new(), Some(between));
    while let Some(page) = list.next_page().unwrap() {
        keys.extend(page.into_iter().map(|listed| String::from_utf8(listed.key.as_bytes().to_vec()).unwrap()));
        between.take().into_iter().for_each(|between| between());
    }
    keys
}

#[test]
fn a_list_has_the_live_keys_of_one_moment_of_a_namespace_or_of_one_group_of_it() {
    const KEYS: u64 = 2_100;
    for (engine, _) in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
        let mut leader = Leader::new();
        let mut entries = leader.begins_with_two_namespaces();
        entries.extend((0..KEYS).map(|number| leader.put_in(ECHO, key(number), value(number, 0))));
        let plain = SessionKey::new("without a group").unwrap();
        entries.push(leader.put_in(ECHO, plain.clone(), value(1, 0)));
        entries.push(leader.put_in(NamespaceId::SESSIONS, key(1), value(1, 0)));
        entries.push(leader.truncate(ECHO, Some("wiki1")));
        entries.push(leader.put_in(ECHO, key(8), value(8, 1)));
        store.commit(entries);

        let later = [leader.put_in(ECHO, key(KEYS), value(1, 0)), leader.truncate(ECHO, None)];
        let whole = listed(&store, ECHO, None, || drop(store.commit(later)));
        let is_live = |number: &u64| number % 7 != 1 || *number == 8;
        let of = |key: &SessionKey| String::from_utf8(key.as_bytes().to_vec()).unwrap();
        let mut expected: Vec<String> = (0..KEYS).filter(is_live).map(|number| of(&key(number))).collect();
        expected.push(of(&plain));
        expected.sort_unstable();
        assert_eq!(whole, expected, "as when it was begun");
        assert!(listed(&store, ECHO, None, || ()).is_empty(), "and nothing is left now");

        store.commit([leader.put_in(ECHO, key(8), value(8, 2)), leader.put_in(ECHO, plain.clone(), value(1, 1))]);
        assert_eq!(listed(&store, ECHO, Some("wiki1"), || ()), [of(&key(8))]);
        assert_eq!(listed(&store, ECHO, Some(""), || ()), [of(&plain)], "those without a group");
        assert!(listed(&store, ECHO, Some("wiki"), || ()).is_empty());
        assert_eq!(listed(&store, NamespaceId::SESSIONS, None, || ()), [of(&key(1))]);
    }
}
