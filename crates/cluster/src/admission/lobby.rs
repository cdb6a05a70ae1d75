use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use sessile_store::{ClusterId, NodeId, PristineStore, Reservation, Store, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a node knows and has promised while it belongs to no cluster. Of a member it is empty.
#[derive(Default)]
pub(crate) struct Lobby {
    store: Mutex<Option<PristineStore>>,
    heard: Mutex<Heard>,
    changed: Notify,
}

#[derive(Default)]
struct Heard {
    /// The clusters whose members called here, and where they are reached.
    clusters: BTreeMap<ClusterId, Knocking>,
    /// The cluster that takes this node, by its id, for a member.
    called_by: Option<ClusterId>,
    /// The cluster that said, with the join token, that this node is admitted.
    admitted_to: Option<ClusterId>,
    /// An operator's word to make a cluster of this node alone.
    init: Option<ClusterId>,
    /// The cluster that this node is entering, which takes a moment on the disk.
    entering: Option<ClusterId>,
    waiting_for: Vec<String>,
}

/// How many clusters, and addresses of each, are remembered: anybody may knock.
const MAX_CLUSTERS: usize = 8;
const MAX_ADDRESSES: usize = 32;
/// How long a knock counts. Members of a living cluster knock every second or sooner.
const KNOCK_COUNTS: Duration = Duration::from_secs(30);

/// The members of one cluster that called.
#[derive(Debug, Clone)]
struct Knocking {
    addresses: BTreeSet<String>,
    last: Instant,
}

impl Lobby {
    pub(crate) fn pristine(store: PristineStore) -> Self {
        Self { store: Mutex::new(Some(store)), ..Self::default() }
    }

    /// Whether this node belongs to no cluster.
    pub(crate) fn is_open(&self) -> bool {
        self.store.lock().is_some()
    }

    pub(crate) fn former(&self) -> bool {
        self.store.lock().as_ref().is_some_and(|store| store.former().is_some())
    }

    pub(super) fn reservation(&self) -> Option<Reservation> {
        self.store.lock().as_ref()?.reservation()
    }

    /// Reserves this node's place, unless it is taken; says whose it is. `None` if it has none to give.
    pub(crate) fn reserve(&self, wanted: Reservation) -> Result<Option<Reservation>, StoreError> {
        // Whoever knows of a cluster makes no other one. The one that is asked for may be known already: its initiator may
        // have been stopped after it had entered it, and before it had made it.
        if self.clusters().keys().any(|known| *known != wanted.cluster) {
            return Ok(None);
        }
        let store = self.store.lock();
        let Some(store) = store.as_ref().filter(|store| store.former().is_none()) else { return Ok(None) };
        let reserved = store.reserve(wanted)?;
        self.changed.notify_waiters();
        Ok(Some(reserved))
    }

    /// Takes a reservation back, if it is in force.
    pub(super) fn release(&self, reservation: Reservation) -> Result<(), StoreError> {
        let store = self.store.lock();
        if let Some(store) = store.as_ref().filter(|store| store.reservation() == Some(reservation)) {
            store.release()?;
        }
        self.changed.notify_waiters();
        Ok(())
    }

    /// An operator wants a cluster of this node alone. Says which one that is.
    pub(crate) fn init(&self, node: NodeId) -> Result<Option<ClusterId>, StoreError> {
        let store = self.store.lock();
        let Some(store) = store.as_ref() else { return Ok(None) };
        let mut heard = self.heard.lock();
        let cluster = *heard.init.get_or_insert_with(ClusterId::random);
        store.release()?;
        store.reserve(Reservation { cluster, initiator: node })?;
        drop(heard);
        self.changed.notify_waiters();
        Ok(Some(cluster))
    }

    pub(super) fn wanted_by_operator(&self) -> Option<ClusterId> {
        self.heard.lock().init
    }

    /// A member of a cluster called, and told where it is reached.
    pub(super) fn heard_of(&self, cluster: ClusterId, address: &str) {
        let mut heard = self.heard.lock();
        heard.clusters.retain(|_, knocking| knocking.last.elapsed() < KNOCK_COUNTS);
        if heard.clusters.len() >= MAX_CLUSTERS && !heard.clusters.contains_key(&cluster) {
            return;
        }
        let now = Instant::now();
        let knocking = heard.clusters.entry(cluster).or_insert(Knocking { addresses: BTreeSet::new(), last: now });
        knocking.last = now;
        if knocking.addresses.len() < MAX_ADDRESSES {
            knocking.addresses.insert(address.to_owned());
        }
        drop(heard);
        self.changed.notify_waiters();
    }

    pub(super) fn clusters(&self) -> BTreeMap<ClusterId, BTreeSet<String>> {
        let heard = self.heard.lock();
        let lately = heard.clusters.iter().filter(|(_, knocking)| knocking.last.elapsed() < KNOCK_COUNTS);
        lately.map(|(cluster, knocking)| (*cluster, knocking.addresses.clone())).collect()
    }

    /// A member of a cluster sent something that is meant for this node, by its id.
    pub(crate) fn called_by(&self, cluster: ClusterId) {
        self.heard.lock().called_by = Some(cluster);
        self.changed.notify_waiters();
    }

    pub(super) fn admitted_to(&self, cluster: ClusterId) {
        self.heard.lock().admitted_to = Some(cluster);
        self.changed.notify_waiters();
    }

    /// The cluster that this node may enter without asking again: it was admitted, or the cluster that its place is
    /// reserved for calls it.
    pub(super) fn may_enter(&self) -> Option<ClusterId> {
        let reserved = self.reservation().map(|reservation| reservation.cluster);
        let heard = self.heard.lock();
        let admitted = heard.admitted_to.filter(|cluster| reserved.is_none_or(|reserved| reserved == *cluster));
        admitted.or(heard.called_by.filter(|cluster| reserved == Some(*cluster)))
    }

    pub(super) fn entering(&self) -> Option<ClusterId> {
        self.heard.lock().entering
    }

    /// Returns when something was heard.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What this node waits for; says whether that is news.
    pub(crate) fn wait_for(&self, sentences: Vec<String>) -> bool {
        let mut heard = self.heard.lock();
        let news = heard.waiting_for != sentences;
        heard.waiting_for = sentences;
        news
    }

    pub(crate) fn waiting_for(&self) -> Vec<String> {
        self.heard.lock().waiting_for.clone()
    }

    /// Enters a cluster, durably. Afterwards the lobby is empty.
    pub(super) fn adopt(&self, cluster: ClusterId) -> Result<Option<Store>, StoreError> {
        self.heard.lock().entering = Some(cluster);
        let store = self.store.lock().take();
        let store = store.map(|store| store.adopt(cluster)).transpose()?;
        self.heard.lock().waiting_for.clear();
        Ok(store)
    }
}
