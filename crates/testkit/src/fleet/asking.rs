//! What nodes say, and what they are asked: requests, commands of administrators, and their logs.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use super::Fleet;
use super::node::said_by;
use crate::{Client, Process, Status};

/// How long one question to one node may take: above the 10 s after which the program itself gives up.
const ONE_QUESTION: Duration = Duration::from_secs(20);
/// `sessile status`, for a test that asks many: who is frozen is not waited for.
const STATUS: [&str; 4] = ["status", "--json", "--timeout", "3s"];
/// By which a node is asked on its own machine, in its data directory.
const SOCKET: &str = "admin.sock";
/// How many lines of each log a failed test shows.
const SHOWN_LINES: usize = 40;

/// What an administrator's command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The exit code; `None` if it did not end in time, or was ended by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Fleet {
    /// A new connection to its session API. Panics if it does not listen.
    pub fn client(&self, name: &str) -> Client {
        Client::connect(self.http(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What `/readyz` says; `None` if nobody answers.
    pub fn readiness(&self, name: &str) -> Option<u16> {
        let mut client = Client::connect_patiently(self.http(name), ONE_QUESTION).ok()?;
        client.request("GET", "/readyz", "", b"").ok().map(|answer| answer.status)
    }

    /// What `sessile status` says of the cluster at that node; `None` if it cannot be reached. Panics if what it says is
    /// not what it should say. The exit code tells how the cluster is, and is not looked at.
    pub fn status(&self, name: &str) -> Option<Status> {
        let said = self.run(&STATUS, name);
        let parsed = (!said.stdout.is_empty()).then(|| Status::parse(&said.stdout));
        parsed.map(|status| status.unwrap_or_else(|error| panic!("{error}\n{}", said.stdout)))
    }

    /// What `sessile …` says when it is asked at that node: the words, and behind them where it is: by the
    /// socket in its data directory; by its port with a token, if it has one for operators; or without, if it has no socket,
    /// as one of an earlier program.
    pub fn run(&self, words: &[&str], at: &str) -> Said {
        run_to_its_end(self.asking(words, at))
    }

    /// The same, under way: nobody waits for its end, and dropped it is killed.
    pub fn ask(&self, words: &[&str], at: &str) -> Process {
        Process::start(self.asking(words, at)).unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }

    /// Asks a node to begin a cluster by itself. Nobody waits for its end, and dropped it is killed.
    pub fn ask_to_begin(&self, at: &str) -> Process {
        self.ask(&["cluster", "init"], at)
    }

    fn asking(&self, words: &[&str], at: &str) -> Command {
        let mut command = Command::new(self.program_of(at));
        command.args(words);
        let data_dir = self.data_dir(at);
        let has_token = self.node(at).settings.operator_token.is_some();
        if !has_token && data_dir.join(SOCKET).exists() {
            command.arg("--data-dir").arg(data_dir);
            return command;
        }
        command.arg("--server").arg(self.grpc(at).to_string());
        if has_token {
            command.arg("--token-file").arg(self.operator_token_file(at));
        }
        command
    }

    /// The same, for what must succeed.
    #[track_caller]
    pub fn succeed(&self, words: &[&str], at: &str) -> Said {
        let said = self.run(words, at);
        assert_eq!(said.code, Some(0), "{words:?} at {at}: {said:?}");
        said
    }

    /// The same, for what must be refused: another exit code than 0, a sentence on standard error, and no panic.
    #[track_caller]
    pub fn refused(&self, words: &[&str], at: &str) -> Said {
        let said = self.run(words, at);
        assert!(said.code.is_some_and(|code| code != 0), "{words:?} at {at}: {said:?}");
        assert!(!said.stderr.trim().is_empty() && !said.stderr.contains("panicked"), "{words:?} at {at}: {said:?}");
        said
    }

    /// Everything that it wrote to standard output and standard error, in its earlier lives too.
    pub fn words(&self, name: &str) -> String {
        let node = self.node(name);
        let now = node.process.as_ref().map(said_by).unwrap_or_default();
        format!("{}{now}", node.past)
    }

    /// What every node says of itself, and the end of its log.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (name, node) in &self.nodes {
            let _ = writeln!(text, "==== {name}, http {}, grpc {}", node.http.number(), node.grpc.number());
            if node.process.is_some() {
                let said = self.run(&STATUS, name);
                let _ = writeln!(text, "status: {:?} {}{}", said.code, said.stdout, said.stderr);
            } else {
                text.push_str("does not run\n");
            }
            let words = self.words(name);
            let lines: Vec<_> = words.lines().collect();
            for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }
}

/// Runs it. One that does not end in time is killed.
fn run_to_its_end(command: Command) -> Said {
    let shown = format!("{command:?}");
    let mut process = Process::start(command).unwrap_or_else(|error| panic!("{shown}: {error}"));
    if process.ends_within(ONE_QUESTION).is_none() {
        process.kill();
    }
    let status = process.ends();
    Said { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_early_process_said_is_kept_and_its_end_is_told() {
        let mut fleet = Fleet::of("/bin/echo", 1);
        fleet.start("n1");
        assert!(fleet.ends("n1").success());
        fleet.start("n1");
        fleet.ends("n1");
        assert_eq!(fleet.words("n1").matches("serve --config").count(), 2);
        let (grpc, data_dir, token) = (fleet.grpc("n1"), fleet.data_dir("n1"), fleet.operator_token_file("n1"));
        assert_eq!(fleet.run(&["status"], "n1").stdout, format!("status --server {grpc}\n"), "it has no socket");
        std::fs::create_dir_all(&data_dir).unwrap();
        std::fs::write(data_dir.join(SOCKET), "").unwrap();
        assert_eq!(fleet.run(&["status"], "n1").stdout, format!("status --data-dir {}\n", data_dir.display()));
        fleet.settings("n1").operator_token = Some("a token".to_owned());
        let asked = format!("status --server {grpc} --token-file {}\n", token.display());
        assert_eq!(fleet.run(&["status"], "n1").stdout, asked);
    }

    #[test]
    fn a_node_with_a_program_of_its_own_is_run_and_asked_by_that() {
        let mut fleet = Fleet::of("/bin/false", 2);
        fleet.settings("n2").program = Some("/bin/echo".into());
        for (name, code) in [("n1", Some(1)), ("n2", Some(0))] {
            fleet.start(name);
            assert_eq!((fleet.ends(name).code(), fleet.run(&["status"], name).code), (code, code), "{name}");
        }
    }
}
