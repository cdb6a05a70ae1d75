//! The start-up table as stories of one directory, in `tests/golden/start-up/`:
//!
//! ```text
//! sled                             the engine, from here on; the default without it
//! start                            opens what is there, and says what that makes of the node
//! adopt | reserve                  a pristine node's: becomes a member, or promises itself to a cluster
//! write N | purge N                puts N sessions through the log; lets the log go up to an entry
//! replay                           applies what the log holds beyond the state, as Raft does
//! stop | crash                     ends cleanly, or not
//! lose NAME …                      log, state, CLUSTER: as if it had never been there
//! damage log | damage state        a flipped bit; a state that names no directory
//! kill start                       of sled: as if a start had been killed half-way through its snapshot
//! condemn | is removed             what the cluster said of the state, or of the node
//! discard                          as `serve --discard-data-and-rejoin`
//! ```

use std::collections::BTreeMap;
use std::fs;

use openraft::storage::RaftLogStorage;
use tempfile::TempDir;

use super::*;
use crate::{NodeId, PristineStore, Reservation};

#[path = "../../../../tests/script.rs"]
mod script;

#[test]
fn what_a_node_makes_of_its_directory_goes_as_the_stories_tell() {
    script::play_all("start-up", || {
        let mut world = World::new();
        move |command| world.run(command)
    });
}

enum Open {
    Nothing,
    Pristine(Box<PristineStore>),
    Member(Store),
}

struct World {
    dir: TempDir,
    engine: EngineKind,
    open: Open,
    leader: Leader,
    /// The nodes that were seen, in their order.
    nodes: Vec<NodeId>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, engine: EngineKind::Fjall, open: Open::Nothing, leader: Leader::new(), nodes: Vec::new() }
    }

    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["sled"] => self.engine = EngineKind::Sled,
            ["start"] => return self.start(),
            ["adopt"] => {
                let Open::Pristine(pristine) = self.take() else { panic!("it is not pristine") };
                self.open = Open::Member(pristine.adopt(ClusterId::random()).unwrap());
                self.leader = Leader::new();
            }
            ["reserve"] => {
                let Open::Pristine(pristine) = &self.open else { panic!("it is not pristine") };
                pristine.reserve(Reservation { cluster: ClusterId::random(), initiator: NodeId::from(9) }).unwrap();
            }
            ["write", count] => return self.write(count.parse().unwrap()),
            ["purge", index] => {
                wait(self.member().log_store().purge(log_id(1, index.parse().unwrap()))).unwrap();
            }
            ["replay"] => {
                self.member().replay();
                return self.sessions();
            }
            ["stop"] => {
                if let Open::Member(store) = self.take() {
                    store.close().unwrap();
                }
            }
            ["crash"] => drop(self.take()),
            ["lose", ref names @ ..] => names.iter().for_each(|name| self.lose(name)),
            ["damage", "log"] => self.damage_log(),
            ["damage", "state"] => fs::write(self.dir.path().join("state/CURRENT"), "nonsense").unwrap(),
            ["kill", "start"] => {
                let unfinished = self.dir.path().join("state/1/data/snap.00000000FFFFFFFF.generating");
                fs::write(unfinished, b"half of a snapsh").unwrap();
            }
            ["condemn"] => self.member().notes().condemned().unwrap(),
            ["is", "removed"] => self.member().notes().removed().unwrap(),
            ["discard"] => {
                let aside = DataDir::open(self.dir.path()).unwrap().discard().unwrap();
                return aside.map_or("there is nothing to discard".into(), |aside| {
                    self.told(&format!("its data is kept in {}", aside.display()))
                });
            }
            _ => panic!("no command: {command}"),
        }
        String::new()
    }

    fn take(&mut self) -> Open {
        std::mem::replace(&mut self.open, Open::Nothing)
    }

    fn member(&self) -> &Store {
        let Open::Member(store) = &self.open else { panic!("it is no member") };
        store
    }

    fn start(&mut self) -> String {
        assert!(matches!(self.open, Open::Nothing), "it runs");
        let said = match opening(self.dir.path(), self.engine) {
            Ok(Opening::Pristine(pristine)) => {
                let former = pristine.former().map_or("", |_| ", which may join a cluster and never begin one");
                let reserved = pristine.reservation().map_or("", |_| ", whose place is reserved");
                let said = format!("{} without a cluster{former}{reserved}", self.name(pristine.node()));
                self.open = Open::Pristine(Box::new(pristine));
                said
            }
            Ok(Opening::Member(store, opened)) => {
                let said = format!("{}, a member: {}", self.name(store.node()), how(&opened));
                self.open = Open::Member(store);
                format!("{said}\n{}", self.sessions())
            }
            // Nothing of it is kept: no member that could give a state is in these stories.
            Ok(Opening::Recovering(stateless)) => {
                let aside = aside(stateless.aside());
                let (reason, reach) = (stateless.reason(), stateless.must_reach());
                let who = self.name(stateless.node());
                format!("{who}, a member without a state: {reason}{aside}\nwaits for one that holds entry {reach}")
            }
            Err(error) => format!("refused: {error}"),
        };
        self.told(&said)
    }

    fn name(&mut self, node: NodeId) -> String {
        let known = self.nodes.iter().position(|known| *known == node);
        let number = known.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        });
        format!("node {}", number + 1)
    }

    fn sessions(&self) -> String {
        let applied = self.member().state().applied().0.map_or(0, |applied| applied.index);
        format!("{} sessions, as of entry {applied}", self.member().state().sessions())
    }

    fn write(&mut self, count: u64) -> String {
        let mut entries = Vec::new();
        if self.leader.index == 0 {
            entries.push(self.leader.register());
        }
        let first = self.leader.index.max(2);
        entries.extend((first..first + count).map(|number| self.leader.put(key(number), value(number, 0), day())));
        let last = entries.last().unwrap().log_id;
        self.member().commit(entries);
        wait(self.member().log_store().save_committed(Some(last))).unwrap();
        self.sessions()
    }

    fn lose(&self, name: &str) {
        let path = self.dir.path().join(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    fn damage_log(&self) {
        let segments = fs::read_dir(self.dir.path().join("log")).unwrap().map(|entry| entry.unwrap().path());
        let segment = segments.min().unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        bytes[100] ^= 1;
        fs::write(&segment, bytes).unwrap();
    }

    /// With what is the same in every run in the place of what is not.
    fn told(&self, said: &str) -> String {
        let said = said.replace(&self.dir.path().display().to_string(), "DIR");
        let ids: BTreeMap<String, usize> =
            self.nodes.iter().enumerate().map(|(number, node)| (node.to_string(), number + 1)).collect();
        ids.into_iter().fold(said, |said, (id, number)| said.replace(&id, &number.to_string()))
    }
}

fn how(opened: &Opened) -> String {
    match opened {
        Opened::New => "its state is made".into(),
        Opened::Clean => "it was stopped cleanly".into(),
        Opened::Checked(report) => format!("all {} records were read before it serves", report.records),
        Opened::Unchecked => "its records are counted while it serves".into(),
        Opened::Rebuilt { reason, aside: path } => {
            format!("its log makes its state again: {reason}{}", aside(path.as_deref()))
        }
    }
}

fn aside(path: Option<&Path>) -> String {
    path.map(|path| format!(" (kept in {})", path.display())).unwrap_or_default()
}
