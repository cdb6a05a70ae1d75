//! `performance full-disk`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::ratio;
use super::generator::{Generator, Order, Work};
use super::nodes::Nodes;
use super::{PerformanceOptions, Tell};
use crate::{Ballast, Client, SmallDisk};

/// How a store says that there is no room.
const NO_ROOM: u16 = 507;
/// How long a small disk may take to be full: 3 GB at 5 MB/s.
const FILLS: Duration = Duration::from_secs(600);
/// How long writes may take to come back by themselves, whatever lived on the disk has expired by then or was deleted.
const COMES_BACK: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// For how long a node without inodes is written to, unless it is said otherwise: tables and segments of the log are
/// made within seconds.
const WITHOUT_INODES: Duration = Duration::from_secs(60);
/// How many files and directories a file system has room for that is to have none left.
const INODES: u64 = 400;
/// The key that is written to see whether there is room.
const PROBE: &str = "/sessions/v1/enwiki%3AMWSession%3Aprobe";
/// How much of a disk the sessions take that are deleted when somebody else has filled it.
const BEFORE_FOREIGN: u64 = 10;
/// Sessions that do not expire while it runs.
const LONG: u32 = 86_400;

/// What happens to a disk that is full.
#[derive(Debug, Clone, Copy)]
enum Round {
    /// Everything is deleted.
    Deletes,
    /// Everything expires.
    Expires,
    /// The nodes are stopped and started again, and everything is deleted.
    Restarts,
    /// The nodes are killed and started again, and everything is deleted.
    Killed,
    /// Some is written, somebody else fills it to the last byte, everything is deleted, and that goes again.
    Foreign,
}

/// In turn.
const ROUNDS: [Round; 5] = [Round::Deletes, Round::Foreign, Round::Expires, Round::Restarts, Round::Killed];

/// Nodes on small disks, and which keys are there.
struct Scene<'a> {
    options: &'a PerformanceOptions,
    nodes: Nodes,
    ballast: Vec<Ballast>,
    /// The keys that were written and not deleted.
    first: u64,
    next: u64,
}

/// What a disk was like when there was no room.
struct Filled {
    took: Duration,
    written: u64,
}

/// Disks that are filled again and again, by the store and by somebody else. Nothing of it may end a node, and writes must
/// come back by themselves.
pub fn full_disk(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut failed = Vec::new();
    tell("| disks | what happens | until 507 s | GB written then | all live | writes again after s |");
    tell("|---|---|---|---|---|---|");
    for (nodes, rounds) in [(1, options.rounds), (3, options.rounds.min(ROUNDS.len() as u64))] {
        let mut scene = Scene::set(options, nodes)?;
        for nth in 0..rounds {
            #[expect(clippy::cast_possible_truncation, reason = "below their number")]
            let round = ROUNDS[(nth % ROUNDS.len() as u64) as usize];
            match scene.plays(round) {
                Ok((filled, back)) => tell(&format!(
                    "| {nodes} | {round:?} | {:.0} | {:.2} | yes | {:.1} |",
                    filled.took.as_secs_f64(),
                    ratio(filled.written * options.session_bytes(), 1_000_000_000),
                    back.as_secs_f64()
                )),
                Err(why) => {
                    tell(&format!("| {nodes} | {round:?} | | | no | {} |", why.lines().next().unwrap_or_default()));
                    failed.push(format!("{nodes} disk(s), round {}, {round:?}: {why}", nth + 1));
                    // Whatever it is in now, the next round would not be about its own subject.
                    break;
                }
            }
        }
    }
    match without_inodes(options) {
        Ok((said, back)) => tell(&format!("| 1 | no inodes | | failed: {said} | yes | {:.1} |", back.as_secs_f64())),
        Err(why) => {
            tell(&format!("| 1 | no inodes | | | no | {} |", why.lines().next().unwrap_or_default()));
            failed.push(format!("no inodes: {why}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

impl<'a> Scene<'a> {
    fn set(options: &'a PerformanceOptions, count: usize) -> Result<Self, String> {
        let (mut nodes, ballast) = on_small_disks(options, count, None)?;
        nodes.form()?;
        Ok(Self { options, nodes, ballast, first: 0, next: 0 })
    }

    /// Fills the disks, does it, and tells how long it took until there was room for a write.
    fn plays(&mut self, round: Round) -> Result<(Filled, Duration), String> {
        if matches!(round, Round::Foreign) {
            self.write_some()?;
            self.each_ballast(Ballast::fills)?;
        }
        let ttl = if matches!(round, Round::Expires) { self.options.ttl } else { LONG };
        let filled = self.fill(ttl)?;
        let began = Instant::now();
        match round {
            Round::Expires => self.first = self.next,
            Round::Restarts => self.again(|nodes, name| nodes.fleet.stop(name))?,
            Round::Killed => self.again(|nodes, name| nodes.fleet.kill(name))?,
            Round::Deletes | Round::Foreign => {}
        }
        self.delete()?;
        if matches!(round, Round::Foreign) {
            self.each_ballast(Ballast::goes)?;
        }
        writes_again(&mut self.nodes)?;
        Ok((filled, began.elapsed()))
    }

    /// Writes new keys, and leaves room.
    fn write_some(&mut self) -> Result<(), String> {
        let addresses = self.nodes.addresses(&self.nodes.fleet.names());
        let count = self.options.disk_bytes / BEFORE_FOREIGN / self.options.session_bytes();
        let order = Order { first: self.next, count, ..Order::writes(addresses, self.options.value_len()) };
        let mut load = Generator::start(order);
        while !load.has_ended() {
            thread::sleep(LOOK_AGAIN);
            self.nodes.all_live()?;
        }
        load.end()?;
        self.next = load.next_key();
        Ok(())
    }

    /// Writes new keys until there is no room.
    fn fill(&mut self, ttl: u32) -> Result<Filled, String> {
        let addresses = self.nodes.addresses(&self.nodes.fleet.names());
        let work = Work::Put { ttl };
        let order = Order { first: self.next, work, ..Order::writes(addresses, self.options.value_len()) };
        let mut load = Generator::start(order);
        let mut before = load.totals();
        self.nodes.wait("there is no room", FILLS, LOOK_AGAIN, |_| {
            let now = load.totals();
            let refused = now.failed.get(&NO_ROOM) > before.failed.get(&NO_ROOM) && now.answered == before.answered;
            before = now;
            refused.then_some(())
        })?;
        let (took, totals) = (load.elapsed(), load.stop()?);
        self.next = load.next_key();
        Ok(Filled { took, written: totals.answered })
    }

    /// Deletes all that was written, which needs no room that others could take.
    fn delete(&mut self) -> Result<(), String> {
        let addresses = self.nodes.addresses(&self.nodes.fleet.names());
        let (first, count) = (self.first, self.next - self.first);
        let order = Order { first, count, work: Work::Delete, ..Order::writes(addresses, 0) };
        let mut load = Generator::start(order);
        while !load.has_ended() {
            thread::sleep(LOOK_AGAIN);
            self.nodes.all_live()?;
        }
        let totals = load.end()?;
        self.first = self.next;
        match totals.failures() {
            0 => Ok(()),
            _ => Err(format!("of {count} deletes failed {}", totals.failures_by_status())),
        }
    }

    /// All nodes end, one after the other, and each starts again.
    fn again(&mut self, ends: impl Fn(&mut Nodes, &str)) -> Result<(), String> {
        for name in self.nodes.fleet.names() {
            ends(&mut self.nodes, &name);
            self.nodes.restart(&name)?;
        }
        Ok(())
    }

    fn each_ballast(&self, does: impl Fn(&Ballast) -> io::Result<()>) -> Result<(), String> {
        self.ballast.iter().try_for_each(does).map_err(|error| format!("the file that fills the disk: {error}"))
    }
}

/// Nodes that are not started yet, with the reserve that the program itself has.
fn on_small_disks(
    options: &PerformanceOptions,
    count: usize,
    inodes: Option<u64>,
) -> Result<(Nodes, Vec<Ballast>), String> {
    let mut nodes = Nodes::set_up(options, count, |settings| settings.reserve_mb = None);
    let mut ballast = Vec::new();
    for name in nodes.fleet.names() {
        let disk = SmallDisk::mount_with(&nodes.fleet.disk(&name), options.disk_bytes, inodes);
        let disk = disk.map_err(|error| format!("it needs root, loop devices and mkfs.ext4: {error}"))?;
        ballast.push(disk.ballast());
        nodes.fleet.keep(disk);
    }
    Ok((nodes, ballast))
}

/// Waits until every node takes a write.
fn writes_again(nodes: &mut Nodes) -> Result<Duration, String> {
    let begin = Instant::now();
    for name in nodes.fleet.names() {
        nodes.wait(&format!("{name} takes writes again"), COMES_BACK, LOOK_AGAIN, |fleet| {
            let mut client = Client::connect(fleet.http(&name)).ok()?;
            let answer = client.request("PUT", PROBE, "TTL: 60\r\n", b"room").ok()?;
            (answer.status == 201).then_some(())
        })?;
    }
    Ok(begin.elapsed())
}

/// A file system that has room, and none for another file. Tells what was refused, and how long it took until writes
/// came back once it had.
fn without_inodes(options: &PerformanceOptions) -> Result<(String, Duration), String> {
    let (mut nodes, _) = on_small_disks(options, 1, Some(INODES))?;
    nodes.form()?;
    let files = nodes.fleet.disk("n1").join("files");
    let taken = take_inodes(&files).map_err(|error| format!("{}: {error}", files.display()))?;
    let order = Order::writes(nodes.addresses(&["n1".into()]), options.value_len());
    let mut load = Generator::start(order);
    let time = options.time.unwrap_or(WITHOUT_INODES);
    while load.elapsed() < time {
        thread::sleep(LOOK_AGAIN);
        nodes.all_live()?;
    }
    let totals = load.stop()?;
    // Deletes must pass as on a full disk.
    let order =
        Order { work: Work::Delete, count: load.next_key(), ..Order::writes(nodes.addresses(&["n1".into()]), 0) };
    let deleted = Generator::start(order).end()?;
    nodes.all_live()?;
    taken.iter().try_for_each(fs::remove_file).map_err(|error| format!("{}: {error}", files.display()))?;
    let back = writes_again(&mut nodes)?;
    match deleted.failures() {
        0 => Ok((totals.failures_by_status(), back)),
        _ => Err(format!("of the deletes failed {}", deleted.failures_by_status())),
    }
}

/// Makes empty files until no more can be made.
fn take_inodes(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir(dir)?;
    let mut taken = Vec::new();
    loop {
        let path = dir.join(taken.len().to_string());
        match File::create_new(&path) {
            Ok(_) => taken.push(path),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(taken),
            Err(error) => return Err(error),
        }
    }
}
