//! Another version of the program under load: every node is stopped and goes on with the new one, and then with the old
//! one again. While both share a cluster each of them leads, and a node without a disk takes the state of a leader of the
//! newer version. No client may notice.
//!
//! A node without a disk joins a leader of a version before keys with that version only: it would have to send the join token.
//!
//! ```text
//! tests/upgrade/run.sh [REVISION]
//! ```
//!
//! It builds the program of an earlier commit, and names it in `SESSILE_PREVIOUS_PROGRAM`. Without that, this program is
//! both versions: `cargo test` tells the same story, and says so. `SESSILE_PROGRAM` is a binary to take for the new
//! version, instead of the one that was built with the test; `SESSILE_SEED` repeats the choices of the clients.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]
#![allow(clippy::print_stderr, reason = "a test tells its seed and its figures")]

mod sessions;
#[path = "../story.rs"]
mod story;
mod version;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use sessile_testkit::{Farm, Fleet, Status};

use sessions::Sessions;
use story::{CLIENTS, NODES, Telling, member_id, seed};
use version::Version;

/// What a node logs when it did not get the log from its beginning, but a state.
const RECEIVED: &str = "the state of another member was received";
/// By these rules sessions are renewed and repeated requests recognised.
const RENEWALS: u64 = 6;
/// What it logs when it cannot go on with its own state.
const DAMAGED: &str = "lost or damaged";
/// How it ends when its data, or its state, is of a newer program.
const START_NEWER: [&str; 2] = ["start the newer", "start a newer version"];

#[test]
fn a_cluster_is_upgraded_under_load_and_goes_back() {
    version::tell();
    let seed = seed();
    eprintln!("the upgrade: SESSILE_SEED={seed}");
    let mut story = Story::begin(seed);
    let (formed, format) = (story.fleet.wait_until_formed(), story.format());

    story.goes_on_with("n1", Version::Current);
    story.leads("n1");
    story.all_know_each_other();
    story.leads("n2");
    story.goes_on_with("n2", Version::Current);
    // While n3 is away, only the current version can lead.
    story.takes_the_state_of_a_leader("n3", Version::Current);
    story.goes_on_with("n3", Version::Current);
    story.all_know_each_other();
    let upgraded = story.rules_are_raised();
    story.has_a_second_namespace();
    story.the_door_closes();
    story.sessions.are_there(&story.fleet);

    if story.format() == format && upgraded.rules <= rules_known_to_all(&formed) {
        NODES.into_iter().for_each(|name| story.goes_on_with(name, Version::Previous));
        story.all_know_each_other();
    } else {
        story.does_not_go_back("n1");
    }
    story.end();
}

struct Story {
    fleet: Fleet,
    versions: [Version; NODES.len()],
    sessions: Sessions,
    telling: Telling,
    seed: u64,
    /// The second namespace, from when all members know all that it has.
    farm: Option<Farm>,
}

impl Story {
    /// Three nodes of the previous version, whose log does not begin at its beginning any more, and clients on all of them.
    fn begin(seed: u64) -> Self {
        let mut fleet = Fleet::of(Version::Current.program(), NODES.len());
        for name in NODES {
            let settings = fleet.settings(name);
            settings.program = Some(Version::Previous.program());
            settings.log_keep_minutes = Version::Previous.log_keep_minutes();
        }
        fleet.start_all();
        fleet.wait_until_formed();
        let sessions = Sessions::store(&fleet, seed);
        for name in NODES {
            let before = log_bytes(&fleet, name);
            fleet.succeed(&["cluster", "snapshot", "--timeout", "15s"], name);
            fleet.wait_until("the log behind a durable state goes", |fleet| {
                (log_bytes(fleet, name) < before).then_some(())
            });
        }
        let telling = Telling::begin(&fleet, &NODES, story::load(seed));
        let versions = [Version::Previous; NODES.len()];
        let mut story = Self { fleet, versions, sessions, telling, seed, farm: None };
        story.telling.phase("all run the previous version");
        story.rules_are_raised();
        story.has_a_second_namespace();
        story.telling.go_on();
        story
    }

    /// A node is told to stop, and goes on with another version on its data.
    fn goes_on_with(&mut self, name: &str, version: Version) {
        self.telling.phase(&format!("{name} goes on with {version}"));
        let before = member_id(&mut self.fleet, name);
        self.stops(name);
        self.runs(name, version);
        assert_eq!(member_id(&mut self.fleet, name), before, "the disk is the node");
        assert!(!self.fleet.words(name).contains(DAMAGED), "{name} reads what the other version wrote");
        self.telling.go_on();
        if let Some(farm) = &mut self.farm {
            let code = farm.truncates(&self.fleet, name, Some(place_of(name)));
            self.telling.happened(format!("a group of the second namespace is truncated at {name}: {code:?}"));
        }
    }

    /// It has a token, a quota, and clients that renew and that ask again, as soon as the rules know all of that.
    fn has_a_second_namespace(&mut self) {
        if self.farm.is_none() && self.fleet.status("n1").is_some_and(|status| status.rules >= RENEWALS) {
            self.farm = Some(Farm::start(&self.fleet, "n1", self.seed));
            self.telling.happened("there is a second namespace, with a token and a quota");
        }
    }

    /// A node loses its disk, and is a voter again with what a leader of that version sends it.
    fn takes_the_state_of_a_leader(&mut self, name: &str, of: Version) {
        let own = self.version(name);
        self.telling.phase(&format!("{name}, of {own}, takes a state from {of}"));
        assert!(NODES.iter().all(|other| *other == name || self.version(other) == of), "nobody else can lead");
        let before = member_id(&mut self.fleet, name);
        let received = self.states_received(name);
        self.stops(name);
        self.fleet.reimage(name);
        self.runs(name, own);
        assert_ne!(member_id(&mut self.fleet, name), before, "an empty disk is a new node");
        assert_eq!(self.states_received(name), received + 1, "no log begins at its beginning any more");
        self.telling.go_on();
    }

    /// Leadership moves there, by an operator's word.
    fn leads(&mut self, name: &str) {
        self.telling.phase(&format!("{name}, of {}, leads", self.version(name)));
        // Until all say so: on a busy machine an election may move it away again.
        self.fleet.wait_until(&format!("{name} leads"), |fleet| {
            fleet.run(&["cluster", "transfer-leader", name, "--timeout", "3s"], name);
            fleet.agreed().filter(|status| status.leader.as_deref() == Some(name))
        });
        self.telling.happened(format!("{name} leads"));
        self.telling.go_on();
    }

    /// Either program, asked about any node that answers it, says of each member what it runs, that everybody knows the
    /// rules, and that there is nothing to look at.
    fn all_know_each_other(&mut self) {
        let numbers = [Version::Previous, Version::Current].map(|version| (version, version.number()));
        for (asking, _) in &numbers {
            for at in NODES {
                if !asking.is_answered_by(self.version(at)) {
                    continue;
                }
                let own = self.fleet.settings(at).program.replace(asking.program());
                let versions = self.versions;
                let status =
                    self.fleet.wait_until(&format!("{at} has heard what everybody runs, and no alert"), |fleet| {
                        let status = fleet.status(at)?;
                        let runs = |(name, version): (&str, Version)| {
                            let number = numbers.iter().find(|(of, _)| *of == version).map(|(_, number)| number);
                            status.voter(name).is_some_and(|member| number == Some(&member.version))
                        };
                        (status.alerts.is_empty() && NODES.into_iter().zip(versions).all(runs)).then_some(status)
                    });
                assert!(status.rules > 0 && status.rules <= rules_known_to_all(&status), "{at}: {status:?}");
                self.fleet.settings(at).program = own;
            }
        }
    }

    /// The rules in force become the newest that all members know.
    fn rules_are_raised(&mut self) -> Status {
        let upgraded = self.fleet.wait_until("the rules are what every member can follow", |fleet| {
            let of_all = NODES.map(|name| fleet.status(name));
            let raised = |status: &Option<Status>| status.as_ref().is_some_and(|s| s.rules == rules_known_to_all(s));
            of_all.iter().all(raised).then(|| of_all.into_iter().flatten().next()).flatten()
        });
        self.telling.happened(format!("rules version {} is in force", upgraded.rules));
        upgraded
    }

    /// Every member has told its key: none takes a connection without TLS any more.
    fn the_door_closes(&mut self) {
        for name in NODES {
            let at = self.fleet.grpc(name);
            self.fleet.wait_until(&format!("{name} takes nothing without TLS"), |_| (!takes_plain(at)).then_some(()));
        }
        self.telling.happened("no node takes a connection without TLS any more");
        self.telling.go_on();
    }

    /// The previous version says that it cannot go on with what is there, and leaves it as it is.
    fn does_not_go_back(&mut self, name: &str) {
        self.telling.phase(&format!("{name} cannot go back"));
        self.stops(name);
        let settings = self.fleet.settings(name);
        settings.program = Some(Version::Previous.program());
        settings.log_keep_minutes = Version::Previous.log_keep_minutes();
        self.fleet.start(name);
        let ended = self.fleet.ends(name);
        let words = self.fleet.words(name);
        let says_so = START_NEWER.iter().any(|reason| words.contains(reason));
        assert!(!ended.success() && says_so, "it gives its reason: {ended}");
        self.telling.happened(format!("{name} does not start with the previous version, which ends with {ended}"));
        self.runs(name, Version::Current);
    }

    fn stops(&mut self, name: &str) {
        self.fleet.stop(name);
        self.telling.happened(format!("{name} has stopped (SIGTERM)"));
    }

    /// Starts it, and waits until all three agree that all three vote; its clients come home.
    fn runs(&mut self, name: &str, version: Version) {
        let settings = self.fleet.settings(name);
        settings.program = Some(version.program());
        settings.log_keep_minutes = version.log_keep_minutes();
        self.fleet.start(name);
        let formed = self.fleet.wait_until_formed();
        assert_eq!(formed.voters(), NODES, "three voters, and nobody is left over");
        assert_eq!(formed.members.len(), NODES.len(), "a dead id is no member");
        self.telling.load.is_back(name);
        self.versions[place_of(name)] = version;
        self.telling.happened(format!("{name} is a voter with {version}"));
    }

    fn version(&self, name: &str) -> Version {
        self.versions[place_of(name)]
    }

    fn states_received(&self, name: &str) -> usize {
        self.fleet.words(name).matches(RECEIVED).count()
    }

    /// What the data directories and the states in use say of their format.
    fn format(&self) -> [String; NODES.len()] {
        NODES.map(|name| {
            let dir = self.fleet.data_dir(name);
            let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
            let in_use = dir.join("state").join(read(dir.join("state/CURRENT")).trim());
            read(dir.join("FORMAT")) + &read(in_use.join("ENGINE"))
        })
    }

    /// What the clients saw, against what was promised.
    fn end(mut self) {
        let (mut seen, report) = self.telling.end();
        let (index, checksum) = self.fleet.wait_until_states_agree();
        for name in NODES {
            seen.read_everything(CLIENTS, self.fleet.http(name));
        }
        let of_farm = self.farm.map(Farm::stop);
        let checked = seen.history.check();
        eprintln!("\n{}", report);
        eprintln!("{} operations in the history", seen.history.operations().len());
        eprintln!("all states have the checksum {checksum} at entry {index}");
        if let Err(violation) = checked {
            panic!("a write was lost, or a read was stale: {violation}");
        }
        assert_eq!(report.failed(), 0, "no request fails while a node goes on with another version");
        if let Some(of_farm) = of_farm {
            eprintln!("{}", of_farm.counts);
            of_farm.history.assert_linearizable();
            assert_eq!(of_farm.counts.unanswered, 0, "nor in the second namespace");
            assert!(of_farm.counts.renewed > 0 && of_farm.counts.truncates > 0, "its clients did all they could");
        }
        assert!(report.phases().iter().all(|phase| phase.answered > 0), "every phase says something");
    }
}

fn place_of(name: &str) -> usize {
    NODES.iter().position(|other| *other == name).unwrap()
}

/// Whether HTTP/2 without TLS is answered there.
fn takes_plain(at: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(at) else { return false };
    // The preface of HTTP/2, and empty settings.
    let asked = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    asked.is_ok() && stream.read(&mut [0]).is_ok_and(|read| read > 0)
}

/// The newest rules that every member can follow.
fn rules_known_to_all(status: &Status) -> u64 {
    status.members.iter().map(|member| member.rules_supported).min().unwrap()
}

fn log_bytes(fleet: &Fleet, name: &str) -> u64 {
    let metrics = fleet.client(name).request("GET", "/metrics", "", b"").unwrap().text();
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("sessile_log_bytes "));
    bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("{name} tells no size of its log"))
}
