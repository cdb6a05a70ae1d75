//! The example from outside: three copies of an application, each a process with a node in it.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]

use std::path::{Path, PathBuf};
use std::process::Command;

use sessile_testkit::{Answer, Client, FailingDisk, Fault, Port, Process, Watched, eventually};
use tempfile::TempDir;

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

struct Copy {
    http: Port,
    /// Where its node is reached, also while it is down.
    _peers: Port,
    process: Process,
}

/// Examples stand beside the tests that are built with them. `cargo test --test` alone builds none: one that is older than
/// what it is made of would be tested in its place.
fn example() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let example = deps.with_file_name("examples").join("logins");
    let built = |file: &Path| std::fs::metadata(file).and_then(|metadata| metadata.modified());
    let made_of = std::fs::read_to_string(example.with_extension("d")).unwrap_or_default();
    let is_new = built(&example).is_ok_and(|age| {
        let mut sources = made_of.split_whitespace().skip(1).map(Path::new);
        sources.all(|source| built(source).is_ok_and(|source| source <= age))
    });
    assert!(
        is_new,
        "{} is not there, or older than its sources: cargo test -p sessile-embed builds it",
        example.display()
    );
    example
}

/// Three copies that have made a cluster. The first is on a disk that fails when it is told to.
fn copies(data: &TempDir) -> (Vec<Copy>, Watched, FailingDisk) {
    let ports: Vec<_> = NAMES.iter().map(|_| (Port::reserve(), Port::reserve())).collect();
    let all: Vec<_> = ports.iter().map(|(_, peers)| peers.address().to_string()).collect();
    let command = |(name, (http, peers)): (&&str, &(Port, Port))| {
        let mut command = Command::new(example());
        command.arg(name).arg(http.address().to_string()).arg(peers.address().to_string()).arg(all.join(","));
        command.arg(data.path().join(name)).env("SESSILE_JOIN_TOKEN", "a token of the tests");
        command
    };
    let mut commands: Vec<_> = NAMES.iter().zip(&ports).map(command).collect();
    let (disk, report) = (FailingDisk::build().unwrap(), data.path().join("report"));
    let watched = disk.under(&mut commands[0], &data.path().join(NAMES[0]), Fault::Broken, 0, &report).unwrap();
    let started = commands.into_iter().map(|command| Process::start(command).unwrap());
    let copies: Vec<_> =
        started.zip(ports).map(|(process, (http, peers))| Copy { http, _peers: peers, process }).collect();
    for copy in &copies {
        copy.process.says("serves http://");
    }
    (copies, watched, disk)
}

fn ask(copy: &Copy, method: &str, target: &str, cookie: &str, form: &str) -> Answer {
    let headers = format!("Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    let mut client = Client::connect(copy.http.address()).unwrap();
    client.request(method, target, &headers, form.as_bytes()).unwrap()
}

/// The cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// As whom somebody with that cookie is known there, once there is an answer: a cluster that has lost its leader may need
/// longer than a request.
fn known_as(copy: &Copy, cookie: &str) -> String {
    let home = eventually("a majority is left, so a copy answers", || {
        Some(ask(copy, "GET", "/", cookie, "")).filter(|answer| answer.status == 200)
    });
    let text = home.text();
    text.trim_end_matches(['.', '\n']).rsplit(' ').next().unwrap().to_owned()
}

fn log_in(copy: &Copy) -> String {
    let login = ask(copy, "POST", "/login", "", "name=Ada");
    assert_eq!((login.status, login.text().as_str()), (200, "Hello, Ada.\n"));
    cookie(&login)
}

#[test]
fn who_logs_in_at_one_copy_is_logged_in_at_the_others_when_it_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let (mut copies, ..) = copies(&data);
    let ada = log_in(&copies[0]);
    copies[0].process.kill();
    for copy in &copies[1..] {
        assert_eq!(known_as(copy, &ada), "Ada");
        assert_eq!(known_as(copy, ""), "nobody");
    }

    // And a logout is one everywhere.
    assert_eq!(ask(&copies[1], "POST", "/logout", &ada, "").status, 200);
    assert_eq!(known_as(&copies[2], &ada), "nobody");
}

#[test]
fn a_copy_whose_disk_fails_is_told_so_by_its_node_and_ends_itself_and_the_others_go_on() {
    let data = tempfile::tempdir().unwrap();
    let (mut copies, disk, _library) = copies(&data);
    let ada = log_in(&copies[1]);
    disk.fails_now().unwrap();
    let said = copies[0].process.says("the node stopped, so as not to answer wrongly");
    assert!(said.contains(NAMES[0]), "it names what failed: {said}");
    assert_eq!(copies[0].process.ends().code(), Some(1), "as its `main` has it");
    for copy in &copies[1..] {
        assert_eq!(known_as(copy, &ada), "Ada");
    }
}
