//! One flipped bit anywhere in the state: found, or harmless. Never a write that is missing without a word.

//!
//! Each flip is judged in a child process: the libraries sometimes answer damage with a panic inside a destructor,
//! which aborts. That is found, too: such a node does not serve.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Tells a child which engine to judge with.
const JUDGE: &str = "SESSILE_FLIP_JUDGE";
/// Marks a child's answer among what the test harness prints.
const ANSWER: &str = "fate: ";

const RECORDS: u64 = 1_000;
const ROUNDS: u64 = 2;
/// Of a file larger than this, as many bytes are drawn instead of all being flipped.
const SAMPLES: u64 = 150;

/// A store whose log begins behind the first entries, so that a lost state cannot be made again from it.
fn make(dir: &Path, engine: EngineKind, closed: bool) {
    let (store, _) = open(dir, engine).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register()]);
    for round in 0..ROUNDS {
        for chunk in 0..10 {
            let numbers = chunk * RECORDS / 10..(chunk + 1) * RECORDS / 10;
            store.commit(numbers.map(|number| leader.put(key(number), value(number, round), day())));
        }
        if round == 0 {
            store.state().persist().unwrap();
            let upto = store.state().applied().0.unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(openraft::storage::RaftLogStorage::purge(&mut store.log_store(), upto)).unwrap();
        }
    }
    store.state().persist().unwrap();
    if closed { store.close().unwrap() } else { drop(store) }
}

/// What became of a flip: `found`, `harmless`, or what was silently wrong.
fn judge(dir: &Path, engine: EngineKind) -> String {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let Ok((store, _)) = open(dir, engine) else { return "found".to_owned() };
        store.replay();
        for number in 0..RECORDS {
            match store.state().read(NamespaceId::SESSIONS, &key(number)) {
                Err(_) => return "found".to_owned(),
                Ok(Some(found)) if found.record.value == value(number, ROUNDS - 1) => {}
                Ok(found) => return format!("record {number}: {:?}", found.map(|found| found.record)),
            }
        }
        match store.state().check() {
            Err(_) => "found".to_owned(),
            Ok(report) if report.records == RECORDS => "harmless".to_owned(),
            Ok(report) => format!("{report:?}"),
        }
    }));
    judged.unwrap_or_else(|_| "found".to_owned())
}

/// Nothing by itself; as a child of a sweep, judges the directories that stdin names.
#[test]
fn a_judge_of_flips() {
    let Ok(engine) = std::env::var(JUDGE) else { return };
    let engine = engine.parse().unwrap();
    for dir in std::io::stdin().lines() {
        println!("\n{ANSWER}{}", judge(Path::new(&dir.unwrap()), engine));
    }
}

/// A child that judges, replaced by a new one when it dies of what it judged.
struct Judge {
    engine: EngineKind,
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    fn new(engine: EngineKind) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["tests::flips::a_judge_of_flips", "--exact", "--nocapture"])
            .env(JUDGE, engine.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { engine, child, asks, answers }
    }

    fn judge(&mut self, dir: &Path) -> String {
        writeln!(self.asks, "{}", dir.display()).unwrap();
        let mut lines = (&mut self.answers).lines().map(Result::unwrap);
        let answer = lines.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned));
        answer.unwrap_or_else(|| {
            self.child.wait().unwrap();
            *self = Self::new(self.engine);
            "found".to_owned()
        })
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn sweep(engine: EngineKind, closed: bool) {
    // In memory where the system has a place for it: the directory is copied a thousand times.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (master, copy) = (scratch.path().join("master"), scratch.path().join("copy"));
    make(&master, engine, closed);
    let mut judge = Judge::new(engine);
    let image = Image::of(&master);
    image.put(&copy);
    assert_eq!(judge.judge(&copy), "harmless", "without a flip");
    let mut random = SmallRng::seed_from_u64(20_220_915);
    let (mut flips, mut found) = (0, 0);
    for (name, bytes, _) in image.0.iter().filter(|(name, ..)| name.starts_with("state")) {
        let written = bytes.len() as u64;
        let offsets: Vec<u64> = if written <= SAMPLES {
            (0..written).collect()
        } else {
            (0..SAMPLES).map(|_| random.random_range(0..written)).collect()
        };
        for offset in offsets {
            let bit = random.random_range(0..8);
            fs::remove_dir_all(&copy).unwrap();
            image.put(&copy);
            flip(&copy.join(name), offset, bit);
            let fate = judge.judge(&copy);
            assert!(
                fate == "found" || fate == "harmless",
                "{engine}: bit {bit} of byte {offset} of {}: {fate}",
                name.display()
            );
            flips += 1;
            found += u32::from(fate == "found");
        }
    }
    println!(
        "{engine}, {}: {flips} flips, {found} found, the others harmless",
        if closed { "closed" } else { "killed" }
    );
    assert!(found > 0, "flips are found");
}

/// A directory in memory: each file's name, its bytes up to the zeros at its end, and its length.
struct Image(Vec<(PathBuf, Vec<u8>, u64)>);

impl Image {
    fn of(dir: &Path) -> Self {
        let image = files(dir).into_iter().map(|file| {
            let mut bytes = fs::read(&file).unwrap();
            let length = bytes.len() as u64;
            bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
            (file.strip_prefix(dir).unwrap().to_owned(), bytes, length)
        });
        Self(image.collect())
    }

    fn put(&self, dir: &Path) {
        for (name, bytes, length) in &self.0 {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(path).unwrap();
            file.write_all_at(bytes, 0).unwrap();
            file.set_len(*length).unwrap();
        }
    }
}

fn flip(path: &Path, offset: u64, bit: u32) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset).unwrap();
}

#[test]
fn a_flipped_bit_in_fjalls_state_after_a_kill_is_found_or_harmless() {
    sweep(EngineKind::Fjall, false);
}

#[test]
fn a_flipped_bit_in_fjalls_state_after_a_clean_stop_is_found_or_harmless() {
    sweep(EngineKind::Fjall, true);
}

#[test]
fn a_flipped_bit_in_sleds_state_after_a_kill_is_found_or_harmless() {
    sweep(EngineKind::Sled, false);
}

#[test]
fn a_flipped_bit_in_sleds_state_after_a_clean_stop_is_found_or_harmless() {
    sweep(EngineKind::Sled, true);
}
