//! The rule of `decide` as stories of three machines, in `tests/golden/admission/`. What a machine does about what was
//! decided stands there as commands of its own, so that a story may stop between any two of them:
//!
//! ```text
//! a starts [former] [id=N] [expect=N|none] [seeds=a,b]    on an empty disk; without an id it gets the next
//! a stops | a goes on                                     its process ends, and starts again on the same disk
//! a has listened                                          long enough to take part in making a cluster
//! a hears of cluster 7                                    one of its members called
//! a looks                                                 asks its seeds, and says what is to be done next
//! a reserves b | a releases b                             the place of b, for the cluster that a makes
//! a enters [cluster 7]                                    the cluster that its place is reserved for, or that one
//! ```

use std::collections::{BTreeMap, BTreeSet};

use sessile_store::{ClusterId, NodeId, Reservation};

use super::decide::{Answer, Me, Seed, Step, decide};

#[allow(clippy::duplicate_mod, reason = "neither floor knows the other, in its tests either")]
#[path = "../../../../tests/script.rs"]
mod script;

#[test]
fn how_nodes_come_to_a_cluster_goes_as_the_stories_tell() {
    script::play_all("admission", || {
        let mut world = World::default();
        move |command| short(&world.run(command))
    });
}

#[derive(Default)]
struct World {
    machines: BTreeMap<String, Machine>,
    nodes: u64,
    clusters: u8,
}

struct Machine {
    me: Me,
    is_up: bool,
    cluster: Option<ClusterId>,
    heard: BTreeSet<ClusterId>,
}

impl World {
    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            [who, "starts", ref options @ ..] => self.starts(who, options),
            [who, "stops"] => self.is_up(who, false),
            [who, "goes", "on"] => self.is_up(who, true),
            [who, "has", "listened"] => self.quietly(who, |machine| machine.me.has_listened = true),
            [who, "hears", "of", "cluster", number] => {
                self.quietly(who, |machine| machine.heard.extend([cluster(number.parse().unwrap())]))
            }
            [who, "looks"] => said(&self.looks(who)),
            [who, "reserves", at] => self.reserves(who, at),
            [who, "releases", at] => {
                let own = self.machines[who].me.node;
                let place = &mut self.machine(at).me.reservation;
                place.take_if(|place| place.initiator == own).map_or("nothing was reserved", |_| "released").into()
            }
            [who, "enters"] => {
                let reserved = self.machines[who].me.reservation.unwrap().cluster;
                self.quietly(who, |machine| machine.cluster = Some(reserved))
            }
            [who, "enters", "cluster", number] => {
                self.quietly(who, |machine| machine.cluster = Some(cluster(number.parse().unwrap())))
            }
            _ => panic!("no command: {command}"),
        }
    }

    fn machine(&mut self, who: &str) -> &mut Machine {
        self.machines.get_mut(who).unwrap_or_else(|| panic!("{who} never started"))
    }

    fn quietly(&mut self, who: &str, change: impl FnOnce(&mut Machine)) -> String {
        change(self.machine(who));
        String::new()
    }

    fn is_up(&mut self, who: &str, is_up: bool) -> String {
        self.quietly(who, |machine| (machine.is_up, machine.me.has_listened) = (is_up, false))
    }

    fn starts(&mut self, who: &str, options: &[&str]) -> String {
        self.nodes += 1;
        let mut me = Me {
            node: NodeId::from(self.nodes),
            address: address(who),
            former: false,
            reservation: None,
            seeds: ["a", "b", "c"].map(address).into(),
            expect: Some(3),
            has_listened: false,
        };
        for option in options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("former", "") => me.former = true,
                ("id", number) => me.node = NodeId::from(number.parse::<u64>().unwrap()),
                ("expect", number) => me.expect = number.parse().ok(),
                ("seeds", names) => me.seeds = names.split(',').map(address).collect(),
                _ => panic!("no option: {option}"),
            }
        }
        let said = format!("node {}", me.node);
        let machine = Machine { me, is_up: true, cluster: None, heard: BTreeSet::new() };
        self.machines.insert(who.to_owned(), machine);
        said
    }

    fn looks(&self, who: &str) -> Step {
        let Machine { me, heard, .. } = &self.machines[who];
        let others = me.seeds.iter().filter(|seed| **seed != me.address);
        let answers = others.map(|seed| (seed.clone(), self.answer(seed.trim_end_matches(":1")))).collect();
        decide(me, heard, &answers)
    }

    fn answer(&self, who: &str) -> Answer {
        let Some(Machine { me, cluster, .. }) = self.machines.get(who).filter(|machine| machine.is_up) else {
            return Answer::Silent("does not answer".into());
        };
        let expect = me.expect.unwrap_or(0);
        let (name, cluster, former, reservation) = (who.to_owned(), *cluster, me.former, me.reservation);
        Answer::Node(Seed { node: me.node, name, cluster, former, reservation, expect })
    }

    /// As a pristine node does it: the first reservation stays.
    fn reserves(&mut self, who: &str, at: &str) -> String {
        let initiator = self.machines[who].me.node;
        let own = self.machines[who].me.reservation.filter(|own| own.initiator == initiator);
        let wanted = own.unwrap_or_else(|| {
            self.clusters += 1;
            Reservation { cluster: cluster(self.clusters), initiator }
        });
        let place = self.machine(at).me.reservation.get_or_insert(wanted);
        format!("reserved for cluster {} of node {}", place.cluster, place.initiator)
    }
}

fn said(step: &Step) -> String {
    match step {
        Step::Join(cluster) => format!("joins cluster {cluster}"),
        Step::Initiate => "makes the cluster".into(),
        Step::Yield => "takes back what it reserved".into(),
        Step::Wait(sentences) => {
            let sentences = sentences.iter().map(|sentence| format!("waits: {sentence}\n"));
            sentences.collect()
        }
    }
}

fn address(who: &str) -> String {
    format!("{who}:1")
}

fn cluster(number: u8) -> ClusterId {
    ClusterId::from_bytes(&u128::from(number).to_be_bytes()).unwrap()
}

/// The ids of these stories have one digit.
fn short(text: &str) -> String {
    text.replace(&"0".repeat(31), "")
}
