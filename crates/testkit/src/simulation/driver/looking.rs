//! What the nodes show of themselves, and what must hold of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::invariants::{Always, FollowedRules, RemovedForGood, Seen, newest_rules, whole};
use super::super::world::Host;
use super::{Driver, LAGS};

impl Driver {
    /// The one that is down or cut off from all others.
    pub(super) fn silent(&self) -> Option<String> {
        let is_heard = |name: &String| {
            let hears = |other: &String| !self.cuts.contains(&(name.clone(), other.clone()));
            !self.down.contains(name) && self.others(name).iter().any(hears)
        };
        let mut silent = self.names.iter().filter(|name| !is_heard(name));
        silent.next().filter(|_| silent.next().is_none()).cloned()
    }

    /// Who is named by an alert, because its disk shows an older image.
    pub(super) fn alerts_of_older_images(&self) -> BTreeSet<String> {
        let alerts = self.running().into_iter().flat_map(|(_, status)| status.alerts);
        let named = alerts.filter(|alert| alert.contains("shows an older image"));
        named.filter_map(|alert| Some(alert.split_once(' ')?.0.to_owned())).collect()
    }

    /// Who lags, and is named by an alert for that.
    pub(super) fn shows_an_older_image(&self) -> Option<String> {
        let names = self.alerts_of_older_images();
        let newest = self.names.iter().map(|name| self.applied(name)).max().unwrap_or(0);
        names.into_iter().find(|name| self.names.contains(name) && self.applied(name) + LAGS < newest)
    }

    /// What the nodes say of themselves.
    pub(super) fn words(&self) -> String {
        let words = self.world.hosts().map(|host| match (host.cluster(), host.ended()) {
            (Some(cluster), _) => format!("{}: {:?}", host.name, cluster.status()),
            (None, Some(ended)) => format!("{}: {ended}", host.name),
            (None, None) => format!("{}: starts", host.name),
        });
        words.collect::<Vec<_>>().join("\n")
    }

    /// What must hold at every moment.
    pub(super) fn look(&mut self) -> Result<(), String> {
        if let Some(wrong) = self.world.wrong_answers().first() {
            return Err(wrong.clone());
        }
        if let Some(twice) = self.world.twice() {
            return Err(twice);
        }
        let running = self.running();
        let seen = self.seen(&running);
        for Seen { name, status, .. } in &seen {
            self.world.traces(&format!(
                "{name} in term {} with {:?} applied, {:?}",
                status.term, status.applied, status.leads_in
            ));
        }
        self.rare.look(&seen);
        let invariants: [&mut dyn Always; 7] = [
            &mut self.one_leader,
            &mut self.one_cluster,
            &mut self.equal_states,
            &mut self.log_matching,
            &mut self.promoted,
            &mut RemovedForGood,
            &mut FollowedRules,
        ];
        invariants.into_iter().try_for_each(|invariant| invariant.look(&seen))
    }

    pub(super) fn running(&self) -> Vec<(Arc<Host>, sessile_cluster::Status)> {
        self.world.hosts().filter_map(|host| Some((host.clone(), host.cluster()?.status()))).collect()
    }

    pub(super) fn seen<'a>(&self, running: &'a [(Arc<Host>, sessile_cluster::Status)]) -> Vec<Seen<'a>> {
        let now = self.sim.elapsed();
        let seen = |(host, status): &'a (Arc<Host>, sessile_cluster::Status)| Seen {
            name: &host.name,
            start: host.starts.load(Ordering::Relaxed),
            now,
            status,
            follows: host.follows(),
            rows: host.cluster().map(|cluster| cluster.digest_of_rows()).unwrap_or_default(),
            log: host.cluster().map(|cluster| cluster.log_ids()).unwrap_or_default(),
        };
        running.iter().map(seen).collect()
    }

    pub(super) fn is_whole(&self) -> Result<(), String> {
        let running = self.running();
        let seen = self.seen(&running);
        whole(&seen, self.names.len())
    }

    /// Whether the newest rules are in force that all know.
    pub(super) fn goes_by_newest_rules(&self) -> Result<(), String> {
        newest_rules(&self.seen(&self.running()))
    }

    pub(super) fn leader(&self) -> Option<String> {
        let leads = |host: &&Arc<Host>| host.cluster().is_some_and(|cluster| cluster.status().leads_in.is_some());
        self.world.hosts().find(leads).map(|host| host.name.clone())
    }

    pub(super) fn applied(&self, name: &str) -> u64 {
        self.world.host(name).cluster().and_then(|cluster| cluster.status().applied).unwrap_or(0)
    }

    pub(super) fn up(&self) -> Vec<String> {
        self.names.iter().filter(|name| !self.down.contains(*name)).cloned().collect()
    }

    pub(super) fn all_is_well(&self) -> bool {
        let quiet = self.down.is_empty() && self.cuts.is_empty() && self.held.is_none() && self.slow.is_none();
        quiet && self.is_settled().is_ok()
    }

    /// Whole, and no operator has asked for a change of that: a member that is being removed is missed by whoever loses its
    /// disk meanwhile.
    pub(super) fn is_settled(&self) -> Result<(), String> {
        match self.world.operators.load(Ordering::Relaxed) {
            0 => self.is_whole(),
            asked => Err(format!("{asked} operators have no answer yet")),
        }
    }

    /// Whether it takes itself for the leader, and another one leads in a newer term.
    pub(super) fn is_deposed(&self, name: &str) -> bool {
        let running = self.running();
        let own = running.iter().find(|(host, _)| host.name == name).and_then(|(_, status)| status.leads_in);
        own.is_some_and(|own| running.iter().any(|(_, status)| status.leads_in > Some(own)))
    }

    /// The newest term that anybody knows.
    pub(super) fn term(&self) -> u64 {
        self.running().iter().map(|(_, status)| status.term).max().unwrap_or(0)
    }
}
