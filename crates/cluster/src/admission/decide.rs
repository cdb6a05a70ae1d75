use std::collections::{BTreeMap, BTreeSet};

use sessile_store::{ClusterId, NodeId, Reservation};

/// A pristine node, as it sees itself.
#[derive(Debug, Clone)]
pub(super) struct Me {
    pub(super) node: NodeId,
    pub(super) address: String,
    /// It held a cluster once: it may join, never bootstrap.
    pub(super) former: bool,
    pub(super) reservation: Option<Reservation>,
    pub(super) seeds: BTreeSet<String>,
    /// How many seeds make a cluster; `None` for a node that never makes one by itself.
    pub(super) expect: Option<usize>,
    /// Whether it has listened long enough to take part in making a cluster.
    pub(super) has_listened: bool,
}

/// What a seed answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Nothing that counts, and why.
    Silent(String),
    /// Who it is.
    Node(Seed),
}

/// A seed that answered.
#[derive(Debug, Clone)]
pub(super) struct Seed {
    pub(super) node: NodeId,
    pub(super) name: String,
    /// The cluster it belongs to, or wants to join.
    pub(super) cluster: Option<ClusterId>,
    pub(super) former: bool,
    pub(super) reservation: Option<Reservation>,
    pub(super) expect: usize,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask to be admitted.
    Join(ClusterId),
    /// Make the cluster, with all seeds as its first voters.
    Initiate,
    /// Take back every reservation made for this node: another one makes the cluster.
    Yield,
    /// Nothing, but to wait for that, in sentences.
    Wait(Vec<String>),
}

/// The rule by which there is never a second cluster: whoever hears of one joins it, and one is made only when every seed
/// answers, all are pristine, and each has reserved its place for the same initiator.
///
/// `heard` are the clusters whose members called here.
pub(super) fn decide(me: &Me, heard: &BTreeSet<ClusterId>, answers: &BTreeMap<String, Answer>) -> Step {
    let nodes = || {
        answers.iter().filter_map(|(address, answer)| match answer {
            Answer::Node(seed) => Some((address, seed)),
            Answer::Silent(_) => None,
        })
    };
    let mut clusters = heard.clone();
    clusters.extend(nodes().filter_map(|(_, seed)| seed.cluster));
    if let Some(step) = step_to_known(me, &clusters) {
        return step;
    }
    let Some(expect) = me.expect else {
        let none = "no seed knows a cluster, and cluster.expect is not set: start the members, or make a first one with \
                    `sessile cluster init`";
        // One that refuses, or is not what it should be, may know one.
        let silent = answers.iter().filter_map(|(address, answer)| match answer {
            Answer::Silent(why) => Some(format!("seed {address} {why}")),
            Answer::Node(_) => None,
        });
        return Step::Wait(std::iter::once(none.to_owned()).chain(silent).collect());
    };
    if me.former {
        return Step::Wait(vec![
            "this directory held a cluster once, so it may join one and never make one: start a member that knows the \
             cluster, or empty the directory"
                .into(),
        ]);
    }
    let waiting: Vec<String> = me
        .seeds
        .iter()
        .filter(|seed| **seed != me.address)
        .filter_map(|address| match answers.get(address) {
            None => Some(format!("seed {address} was not asked yet")),
            Some(Answer::Silent(why)) => Some(format!("seed {address} {why}")),
            Some(Answer::Node(seed)) if seed.node == me.node => {
                Some(format!("seed {address} is this node itself: cluster.advertise must be one of cluster.seeds"))
            }
            Some(Answer::Node(seed)) if seed.former => Some(format!(
                "seed {address} ({}) held a cluster once, so it does not take part in making one: start a member that \
                 knows the cluster, or empty its data directory",
                seed.name
            )),
            Some(Answer::Node(seed)) if seed.expect != expect => {
                Some(format!("seed {address} ({}) expects {} seeds and not {expect}", seed.name, seed.expect))
            }
            Some(Answer::Node(_)) => None,
        })
        .collect();
    if !waiting.is_empty() {
        return Step::Wait(waiting);
    }
    let ids: BTreeSet<NodeId> = nodes().map(|(_, seed)| seed.node).chain([me.node]).collect();
    if me.seeds.len() != expect || ids.len() < expect {
        return Step::Wait(vec![format!(
            "cluster.expect is {expect}, but cluster.seeds names {} different nodes",
            ids.len().min(me.seeds.len())
        )]);
    }
    if !me.has_listened {
        return Step::Wait(vec!["every seed is there; listening a moment for a cluster that knows them".into()]);
    }
    let reservations: Vec<Reservation> =
        nodes().filter_map(|(_, seed)| seed.reservation).chain(me.reservation).collect();
    whose_turn(me, &ids, &reservations)
}

/// What follows from the clusters that were heard of, if any was.
fn step_to_known(me: &Me, clusters: &BTreeSet<ClusterId>) -> Option<Step> {
    let mut known = clusters.iter().copied();
    let first = known.next()?;
    match (me.reservation, known.next()) {
        // Its initiator has made the cluster that this place was reserved for.
        (Some(Reservation { cluster, .. }), _) if clusters.contains(&cluster) => Some(Step::Join(cluster)),
        (Some(Reservation { cluster, .. }), _) => Some(Step::Wait(vec![format!(
            "its place is reserved for cluster {cluster}, but the seeds know cluster {first}: if that one is right, empty \
             this node's data directory, which holds no sessions yet"
        )])),
        (None, Some(second)) => Some(Step::Wait(vec![format!(
            "the seeds know two clusters, {first} and {second}: correct cluster.seeds, so that all are of one"
        )])),
        (None, None) => Some(Step::Join(first)),
    }
}

/// Who makes the cluster: whom the places are reserved for, else the lowest id.
fn whose_turn(me: &Me, ids: &BTreeSet<NodeId>, reservations: &[Reservation]) -> Step {
    let initiators: BTreeSet<NodeId> = reservations.iter().map(|reservation| reservation.initiator).collect();
    if let Some(gone) = initiators.iter().find(|initiator| !ids.contains(initiator)) {
        return Step::Wait(vec![format!(
            "a place is reserved for node {gone}, which began to make a cluster and is none of the seeds any more: once \
             you know that it made none, run `sessile cluster init` on one of them"
        )]);
    }
    // Two that began at once: the lowest goes on, every other one takes back what it reserved.
    let initiator = initiators.first().or(ids.first()).copied();
    if initiator == Some(me.node) {
        return Step::Initiate;
    }
    if initiators.contains(&me.node) {
        return Step::Yield;
    }
    Step::Wait(vec![match initiator {
        Some(initiator) => format!("node {initiator} makes the cluster"),
        None => "no seed is there".into(),
    }])
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn cluster(number: u8) -> ClusterId {
        ClusterId::from_bytes(&[number; 16]).unwrap()
    }

    /// One of three, and what the other two answer.
    fn three(reservation: Option<Reservation>) -> (Me, BTreeMap<String, Answer>) {
        let me = Me {
            node: NodeId::from(1),
            address: "a:1".into(),
            former: false,
            reservation,
            seeds: ["a:1", "b:1", "c:1"].map(str::to_owned).into(),
            expect: Some(3),
            has_listened: true,
        };
        let answers = [("b:1", 2), ("c:1", 3)].map(|(address, node)| (address.to_owned(), Answer::Node(seed(node))));
        (me, answers.into())
    }

    fn seed(node: u64) -> Seed {
        let node = NodeId::from(node);
        Seed { node, name: "n".into(), cluster: None, former: false, reservation: None, expect: 3 }
    }

    #[track_caller]
    fn waits_for(step: &Step, what: &str) {
        assert!(matches!(step, Step::Wait(why) if why.iter().any(|why| why.contains(what))), "{step:?}");
    }

    #[test]
    fn a_cluster_is_made_only_when_every_seed_answers_and_is_pristine() {
        let (me, answers) = three(None);
        let none = BTreeSet::new();
        assert_eq!(decide(&me, &none, &answers), Step::Initiate);

        let mut silent = answers.clone();
        silent.insert("c:1".into(), Answer::Silent("does not answer".into()));
        waits_for(&decide(&me, &none, &silent), "seed c:1 does not answer");

        let mut former = answers.clone();
        former.insert("c:1".into(), Answer::Node(Seed { former: true, ..seed(3) }));
        waits_for(&decide(&me, &none, &former), "seed c:1 (n) held a cluster once");

        let mut twice = answers.clone();
        twice.insert("c:1".into(), Answer::Node(seed(2)));
        waits_for(&decide(&me, &none, &twice), "names 2 different nodes");

        let mut itself = answers.clone();
        itself.insert("c:1".into(), Answer::Node(seed(1)));
        waits_for(&decide(&me, &none, &itself), "is this node itself");

        let mut fewer = answers.clone();
        fewer.insert("c:1".into(), Answer::Node(Seed { expect: 2, ..seed(3) }));
        waits_for(&decide(&me, &none, &fewer), "expects 2 seeds and not 3");

        waits_for(&decide(&Me { has_listened: false, ..me.clone() }, &none, &answers), "listening");
        waits_for(&decide(&Me { former: true, ..me.clone() }, &none, &answers), "held a cluster once");
        waits_for(&decide(&Me { expect: None, ..me }, &none, &answers), "sessile cluster init");
    }

    #[test]
    fn whoever_hears_of_a_cluster_joins_it_and_makes_none() {
        let (me, mut answers) = three(None);
        let heard = BTreeSet::from([cluster(7)]);
        assert_eq!(decide(&me, &heard, &answers), Step::Join(cluster(7)));
        assert_eq!(decide(&Me { former: true, expect: None, ..me.clone() }, &heard, &answers), Step::Join(cluster(7)));
        answers.insert("c:1".into(), Answer::Node(Seed { cluster: Some(cluster(8)), ..seed(3) }));
        assert_eq!(decide(&me, &BTreeSet::new(), &answers), Step::Join(cluster(8)));
        waits_for(&decide(&me, &heard, &answers), "two clusters");
        let reserved = Me { reservation: Some(Reservation { cluster: cluster(7), initiator: NodeId::from(2) }), ..me };
        assert_eq!(decide(&reserved, &heard, &answers), Step::Join(cluster(7)), "the one that it waits for");
        waits_for(&decide(&reserved, &BTreeSet::new(), &answers), "reserved for cluster");
    }

    #[test]
    fn a_place_that_is_reserved_for_nobody_who_lives_waits_for_a_person() {
        let (me, mut answers) = three(None);
        let gone = Reservation { cluster: cluster(7), initiator: NodeId::from(9) };
        answers.insert("c:1".into(), Answer::Node(Seed { reservation: Some(gone), ..seed(3) }));
        waits_for(&decide(&me, &BTreeSet::new(), &answers), "is none of the seeds any more");
    }

    /// A node of the simulation. Its reservation and its cluster are on its disk.
    struct Node {
        id: NodeId,
        address: String,
        reservation: Option<Reservation>,
        cluster: Option<ClusterId>,
        up: bool,
        /// Reservations that it has still to ask for before it may make its cluster, when it is about to.
        asking: Option<(ClusterId, Vec<usize>)>,
    }

    struct World {
        nodes: Vec<Node>,
        rng: SmallRng,
        made: BTreeSet<ClusterId>,
        next_id: u64,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut ids = [1, 2, 3];
            ids.shuffle(&mut rng);
            let node = |(at, id): (usize, u64)| Node {
                id: NodeId::from(id * 1_000),
                address: format!("{at}:1"),
                reservation: None,
                cluster: None,
                up: true,
                asking: None,
            };
            Self { nodes: ids.into_iter().enumerate().map(node).collect(), rng, made: BTreeSet::new(), next_id: 0 }
        }

        /// What a pristine seed says to a reservation: the first one stays.
        fn reserve(&mut self, at: usize, wanted: Reservation) -> Option<Reservation> {
            let node = &mut self.nodes[at];
            (node.up && node.cluster.is_none()).then(|| *node.reservation.get_or_insert(wanted))
        }

        fn act(&mut self, at: usize) {
            if !self.nodes[at].up || self.nodes[at].cluster.is_some() {
                return;
            }
            if let Some((cluster, mut left)) = self.nodes[at].asking.take() {
                let wanted = Reservation { cluster, initiator: self.nodes[at].id };
                match left.pop() {
                    Some(other) if self.reserve(other, wanted) == Some(wanted) => {
                        self.nodes[at].asking = Some((cluster, left));
                    }
                    // Somebody else was first, or it is down: look again.
                    Some(_) => {}
                    None => {
                        self.made.insert(cluster);
                        self.nodes[at].cluster = Some(cluster);
                    }
                }
                return;
            }
            let me = Me {
                node: self.nodes[at].id,
                address: self.nodes[at].address.clone(),
                former: false,
                reservation: self.nodes[at].reservation,
                seeds: self.nodes.iter().map(|node| node.address.clone()).collect(),
                expect: Some(3),
                has_listened: true,
            };
            let lossy = self.rng.random_range(0..4) == 0;
            let mut answers = BTreeMap::new();
            for other in (0..3).filter(|other| *other != at) {
                let heard = self.nodes[other].up && !(lossy && self.rng.random());
                let node = &self.nodes[other];
                let seed = Seed {
                    node: node.id,
                    name: String::new(),
                    cluster: node.cluster,
                    former: false,
                    reservation: node.reservation,
                    expect: 3,
                };
                let answer = if heard { Answer::Node(seed) } else { Answer::Silent("is down".into()) };
                answers.insert(node.address.clone(), answer);
            }
            match decide(&me, &BTreeSet::new(), &answers) {
                Step::Join(cluster) => self.nodes[at].cluster = Some(cluster),
                Step::Initiate => {
                    self.next_id += 1;
                    let fresh = ClusterId::from_bytes(&u128::from(self.next_id).to_be_bytes()).unwrap();
                    let wanted = Reservation { cluster: fresh, initiator: me.node };
                    let own = self.reserve(at, wanted).unwrap();
                    if own.initiator == me.node {
                        self.nodes[at].asking = Some((own.cluster, (0..3).filter(|other| *other != at).collect()));
                    }
                }
                Step::Yield => {
                    for other in 0..3 {
                        let node = &mut self.nodes[other];
                        let mine = node.reservation.is_some_and(|reservation| reservation.initiator == me.node);
                        if node.up && mine && node.cluster.is_none() {
                            node.reservation = None;
                        }
                    }
                }
                Step::Wait(_) => {}
            }
        }
    }

    /// Three pristine nodes that start at the same instant, in every order, with messages lost and nodes killed and
    /// started again between any two steps.
    #[test]
    fn three_that_start_at_once_make_one_cluster() {
        let seeds = std::env::var("SESSILE_SEED").ok().map(|seed| seed.parse().unwrap());
        let range = seeds.map_or(0..2_000, |seed: u64| seed..seed + 1);
        for seed in range {
            let mut world = World::new(seed);
            for step in 0..400 {
                let at = world.rng.random_range(0..3);
                // Trouble in the first half; the second half is for getting there.
                if step < 200 && world.rng.random_range(0..12) == 0 {
                    let node = &mut world.nodes[at];
                    (node.up, node.asking) = (!node.up, None);
                } else if step >= 200 {
                    world.nodes.iter_mut().for_each(|node| node.up = true);
                }
                world.act(at);
            }
            assert_eq!(world.made.len(), 1, "SESSILE_SEED={seed}: {:?}", world.made);
            let everywhere: BTreeSet<_> = world.nodes.iter().map(|node| node.cluster).collect();
            assert_eq!(everywhere.len(), 1, "SESSILE_SEED={seed}: {everywhere:?}");
        }
    }
}
