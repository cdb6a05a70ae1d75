use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use sessile_store::{ClusterId, Member, NodeId, Reservation, Store, off_the_runtime};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tracing::{info, warn};

use super::decide::{Answer, Me, Seed, Step, decide};
use super::identity::reservation_from;
use super::join::join;
use super::newcomer::Newcomer;
use crate::config::PeersConfig;
use crate::error::StartError;
use crate::transport::{Found, cluster_from_wire, cluster_to_wire, id_to_wire, why_silent};
use crate::wire::{ReleaseRequest, ReserveRequest};

/// How often the seeds are asked.
const ROUND: Duration = Duration::from_millis(250);
/// How long a seed that is connected may take to reserve its place, which it does durably.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often what is waited for is said again while nothing changes.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// How a node came into its cluster.
pub(crate) struct Entered {
    pub(crate) store: Store,
    /// The first members, if this node is to make the cluster.
    pub(crate) first: Option<BTreeMap<NodeId, Member>>,
}

/// Finds or makes the cluster of a pristine node. That may take for ever; what it waits for is in its log and its status.
pub(crate) async fn enter(newcomer: &Newcomer) -> Result<Entered, StartError> {
    match &newcomer.config.peers {
        Some(peers) => enter_among(newcomer, peers).await,
        None => enter_alone(newcomer).await,
    }
}

/// A node without peers makes its cluster by itself.
async fn enter_alone(newcomer: &Newcomer) -> Result<Entered, StartError> {
    let own = Reservation { cluster: ClusterId::random(), initiator: newcomer.this.node() };
    // The mark by which a start that is cut short is known for what it is: the making of a cluster of one.
    let own = newcomer.lobby.reserve(own)?.filter(|reserved| reserved.initiator == newcomer.this.node());
    let own = own.ok_or_else(|| {
        let what = "its place is reserved for a cluster of several: add the `cluster` block to its configuration again, \
                    or empty its data directory";
        StartError::Raft(what.into())
    })?;
    adopt(newcomer, own.cluster, Some(BTreeMap::from([(newcomer.this.node(), newcomer.this.as_member())]))).await
}

/// A node with peers joins what it hears of, or makes a cluster with its seeds.
async fn enter_among(newcomer: &Newcomer, peers: &PeersConfig) -> Result<Entered, StartError> {
    let began = Instant::now();
    let mut said = began;
    loop {
        if let Some(cluster) = newcomer.lobby.wanted_by_operator() {
            release_seeds(newcomer, peers).await;
            return adopt(newcomer, cluster, Some(BTreeMap::from([(newcomer.this.node(), newcomer.this.as_member())])))
                .await;
        }
        if let Some(cluster) = newcomer.lobby.may_enter() {
            return adopt(newcomer, cluster, None).await;
        }
        let found = ask_seeds(newcomer, peers).await;
        let me = me(newcomer, peers, began);
        let heard = newcomer.lobby.clusters();
        let waiting = match decide(&me, &heard.keys().copied().collect(), &answers(newcomer, &found)) {
            Step::Join(cluster) => {
                let mut via: BTreeSet<String> = heard.get(&cluster).cloned().unwrap_or_default();
                via.extend(found.iter().filter(|(_, answer)| knows(answer, cluster)).map(|(at, _)| at.clone()));
                match join(newcomer, &via).await {
                    Ok(admitted) if admitted == cluster => return adopt(newcomer, cluster, None).await,
                    Ok(other) => vec![format!("cluster {other} answered instead of cluster {cluster}")],
                    Err(failures) => {
                        let mut waiting = vec![format!("to be admitted to cluster {cluster}")];
                        waiting.extend(failures);
                        waiting
                    }
                }
            }
            Step::Initiate => match initiate(newcomer, &found).await {
                Ok((cluster, first)) => return adopt(newcomer, cluster, Some(first)).await,
                Err(waiting) => waiting,
            },
            Step::Yield => {
                if let Some(own) = me.reservation {
                    release_everywhere(newcomer, peers, own).await;
                }
                vec!["another node makes the cluster".into()]
            }
            Step::Wait(waiting) => waiting,
        };
        let text = waiting.join("; ");
        if newcomer.lobby.wait_for(waiting) || said.elapsed() >= SAY_AGAIN {
            info!("this node is in no cluster yet, and waits: {text}");
            said = Instant::now();
        }
        let _ = timeout(ROUND, newcomer.lobby.changed()).await;
    }
}

pub(super) type Seeds = BTreeMap<String, Result<Found, Status>>;

pub(super) async fn ask_seeds(newcomer: &Newcomer, peers: &PeersConfig) -> Seeds {
    let others = peers.seeds.iter().filter(|seed| **seed != peers.advertise);
    join_all(others.map(|seed| async move { (seed.clone(), newcomer.probe(seed).await) })).await.into_iter().collect()
}

fn me(newcomer: &Newcomer, peers: &PeersConfig, began: Instant) -> Me {
    Me {
        node: newcomer.this.node(),
        address: peers.advertise.clone(),
        former: newcomer.lobby.former(),
        reservation: newcomer.lobby.reservation(),
        seeds: peers.seeds.iter().cloned().collect(),
        expect: peers.expect,
        has_listened: began.elapsed() >= peers.listen_for,
    }
}

fn answers(newcomer: &Newcomer, found: &Seeds) -> BTreeMap<String, Answer> {
    let answer = |answer: &Result<Found, Status>| match answer {
        Ok(found) if newcomer.this.is_copy(found) => Answer::Silent(format!(
            "has the id of this node, {}: one data directory is a copy of the other; empty one of them, and start its node \
             again",
            found.node
        )),
        Ok(Found { node, identity, .. }) => Answer::Node(Seed {
            node: *node,
            name: identity.name.clone(),
            cluster: cluster_from_wire(&identity.cluster).or(cluster_from_wire(&identity.joining)),
            former: identity.former,
            reservation: reservation_from(&identity.reserved, &identity.initiator),
            expect: identity.expect as usize,
        }),
        Err(status) => Answer::Silent(why_silent(status)),
    };
    found.iter().map(|(address, found)| (address.clone(), answer(found))).collect()
}

fn knows(answer: &Result<Found, Status>, cluster: ClusterId) -> bool {
    answer.as_ref().is_ok_and(|found| cluster_from_wire(&found.identity.cluster) == Some(cluster))
}

/// Reserves a cluster id at every seed, this node first. Only when each has done so durably is it made.
async fn initiate(newcomer: &Newcomer, found: &Seeds) -> Result<(ClusterId, BTreeMap<NodeId, Member>), Vec<String>> {
    let wanted = Reservation { cluster: ClusterId::random(), initiator: newcomer.this.node() };
    let own = newcomer.lobby.reserve(wanted).map_err(|error| vec![error.to_string()])?;
    let Some(own) = own.filter(|own| own.initiator == newcomer.this.node()) else {
        return Err(vec!["another node makes the cluster".into()]);
    };
    let mut first = BTreeMap::from([(newcomer.this.node(), newcomer.this.as_member())]);
    for (address, answer) in found {
        let Ok(found) = answer else { return Err(vec![format!("seed {address} is gone again")]) };
        reserve(newcomer, address, found.node, own).await?;
        first.insert(found.node, found.as_member(address));
    }
    if newcomer.lobby.reservation() != Some(own) {
        return Err(vec!["an operator has asked for another cluster meanwhile".into()]);
    }
    info!(cluster = %own.cluster, members = first.len(), "every seed is there and has reserved its place: the cluster is made");
    Ok((own.cluster, first))
}

pub(super) async fn reserve(
    newcomer: &Newcomer,
    address: &str,
    node: NodeId,
    wanted: Reservation,
) -> Result<(), Vec<String>> {
    let silent = |status: &Status| vec![format!("seed {address} {}", why_silent(status))];
    let request = ReserveRequest { cluster: cluster_to_wire(wanted.cluster), initiator: id_to_wire(wanted.initiator) };
    let (this, within) = (&newcomer.this, reserve_within(newcomer));
    let answer = timeout(within, async {
        let mut stranger = this.stranger_at(address).await?;
        let request = stranger.request(this.door(), Some(node), request, within);
        this.door().receive_stranger(stranger.client.reserve(request).await)
    });
    let answer = answer.await.map_err(|_| vec![format!("seed {address} does not answer in time")])?;
    let (from, answer) = answer.map_err(|status| silent(&status))?;
    if from != node {
        return Err(vec![format!("seed {address} has just become another node")]);
    }
    if reservation_from(&answer.cluster, &answer.initiator) != Some(wanted) {
        return Err(vec![format!("seed {address} has reserved its place for another node")]);
    }
    Ok(())
}

/// Takes back what was reserved for this node, here and at the seeds that can be reached.
async fn release_everywhere(newcomer: &Newcomer, peers: &PeersConfig, own: Reservation) {
    for seed in peers.seeds.iter().filter(|seed| **seed != peers.advertise) {
        release(newcomer, seed, own).await;
    }
    if let Err(error) = newcomer.lobby.release(own) {
        warn!("the reservation cannot be taken back: {error}");
    }
}

/// By an operator's word a cluster is made: what the seeds had reserved before is void.
async fn release_seeds(newcomer: &Newcomer, peers: &PeersConfig) {
    for (address, answer) in ask_seeds(newcomer, peers).await {
        if let Ok(Found { identity, .. }) = answer
            && let Some(reservation) = reservation_from(&identity.reserved, &identity.initiator)
        {
            release(newcomer, &address, reservation).await;
        }
    }
}

async fn release(newcomer: &Newcomer, address: &str, reservation: Reservation) {
    let request =
        ReleaseRequest { cluster: cluster_to_wire(reservation.cluster), initiator: id_to_wire(reservation.initiator) };
    let (this, within) = (&newcomer.this, reserve_within(newcomer));
    let released = timeout(within, async {
        let mut stranger = this.stranger_at(address).await?;
        let request = stranger.request(this.door(), None, request, within);
        stranger.client.release(request).await
    });
    let released = released.await;
    if !matches!(released, Ok(Ok(_))) {
        info!(address, "a reservation could not be taken back; it is tried again");
    }
}

/// How long a seed may take to reserve its place, or to release it, with the connection that this needs.
fn reserve_within(newcomer: &Newcomer) -> Duration {
    newcomer.config.timing.probe() + RESERVE_TIMEOUT
}

/// Enters a cluster, durably and for good.
async fn adopt(
    newcomer: &Newcomer,
    cluster: ClusterId,
    first: Option<BTreeMap<NodeId, Member>>,
) -> Result<Entered, StartError> {
    let lobby = newcomer.lobby.clone();
    let adopted = off_the_runtime(move || lobby.adopt(cluster)).await;
    let store = adopted.map_err(|_| StartError::EngineGaveUp(newcomer.config.data_dir.clone()))??;
    let store = store.ok_or_else(|| StartError::Raft("a node entered its cluster twice; this is a defect".into()))?;
    newcomer.this.door().enter(cluster);
    info!(%cluster, node = %newcomer.this.node(), "this node has entered its cluster");
    Ok(Entered { store, first })
}
