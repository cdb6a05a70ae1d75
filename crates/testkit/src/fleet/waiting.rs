//! Waiting for what a fleet comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Fleet;
use crate::{PATIENCE, Status, looks_for};

/// How often a cluster is looked at. Each look is a process or more, on a machine that has the cluster to carry.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Fleet {
    /// Looks until there is something, and gives it. Panics when it did not come, with what every node says of itself.
    #[track_caller]
    pub fn wait_until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let Some(found) = looks_for(PATIENCE, LOOK_AGAIN, || look(self)) else {
            // Not in a closure, which would hide the caller from who reads the panic.
            panic!("did not happen within {PATIENCE:?}: {what}")
        };
        found
    }

    /// Looks again and again for that long, at something that must hold all the while: for what must never happen, and
    /// would have happened by then.
    #[track_caller]
    pub fn holds_for(&mut self, time: Duration, mut look: impl FnMut(&mut Self)) {
        looks_for(time, LOOK_AGAIN, || -> Option<()> {
            look(self);
            None
        });
    }

    /// Waits until all that run are ready, follow one leader, and know one membership, in which they all have a vote.
    /// Gives what they agree on.
    #[track_caller]
    pub fn wait_until_formed(&mut self) -> Status {
        self.wait_until("all nodes that run are ready voters of one cluster", |fleet| {
            for name in fleet.running() {
                assert!(!fleet.process(&name).has_ended(), "{name} ended instead of becoming ready");
            }
            fleet.agreed()
        })
    }

    /// What all that run say, if they agree on it and are ready.
    pub fn agreed(&mut self) -> Option<Status> {
        let running = self.running();
        if !running.iter().all(|name| self.readiness(name) == Some(200)) {
            return None;
        }
        let mut agreed: Option<Status> = None;
        for name in &running {
            let status = self.status(name)?;
            let name = &self.node(name).settings.name;
            if !status.ready || status.joint || status.leader.is_none() || status.voter(name).is_none() {
                return None;
            }
            let same = agreed.as_ref().is_none_or(|other| {
                (&other.cluster_id, &other.leader, other.membership_index)
                    == (&status.cluster_id, &status.leader, status.membership_index)
            });
            if !same {
                return None;
            }
            agreed = Some(status);
        }
        agreed
    }

    /// Waits until every node has shown one checksum of its state at one entry, and gives both; at no entry may they
    /// differ. For a cluster without load: each shows the last entry that it has applied, and a tick a second is one.
    #[track_caller]
    pub fn wait_until_states_agree(&mut self) -> (u64, String) {
        let mut shown: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
        self.wait_until("all nodes show one checksum at one entry", |fleet| {
            let names = fleet.names();
            for name in &names {
                let status = fleet.status(name)?;
                let own = status.member(&fleet.node(name).settings.name)?;
                if own.checksum_index > 0 {
                    shown.entry(own.checksum_index).or_default().insert(name.clone(), own.checksum.clone());
                }
            }
            // All that was shown is compared before one of them is taken for good.
            for (index, of) in &shown {
                let checksums: BTreeSet<&String> = of.values().collect();
                assert_eq!(checksums.len(), 1, "states differ at entry {index}: {of:?}");
            }
            let (index, of) = shown.iter().find(|(_, of)| of.len() == names.len())?;
            Some((*index, of.values().next()?.clone()))
        })
    }

    /// Waits until a node that runs and is ready names a leader that runs.
    #[track_caller]
    pub fn wait_for_leader(&mut self) -> String {
        self.wait_until("a majority that lives has a leader", |fleet| {
            let running = fleet.running();
            running.iter().find_map(|name| {
                let status = fleet.status(name).filter(|status| status.ready)?;
                status.leader.filter(|leader| running.contains(leader))
            })
        })
    }

    /// Waits until a node is a cluster by itself, which it becomes only when it is asked to: an operator whose word got no
    /// answer says it again.
    #[track_caller]
    pub fn wait_until_it_is_a_cluster(&mut self, name: &str) {
        self.wait_until(&format!("{name} is a cluster by itself"), |fleet| {
            assert!(!fleet.process(name).has_ended(), "{name} ended instead of becoming a cluster");
            let leader = fleet.status(name)?.leader;
            if leader.is_none() {
                let _ = fleet.ask_to_begin(name).ends_within(PATIENCE);
            }
            leader.map(drop)
        });
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn wait_until_ready(&mut self, name: &str) {
        self.wait_until(&format!("{name} is ready"), |fleet| (fleet.readiness(name) == Some(200)).then_some(()));
    }
}
