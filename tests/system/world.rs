//! A node with a place on disk.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

use sessile_testkit::Process;
use tempfile::TempDir;

/// The engines there are.
pub(crate) const ENGINES: [&str; 2] = ["fjall", "sled"];

/// Under this the sessions are, unless a file says otherwise.
pub(crate) const BASE: &str = "/sessions/v1/";

/// Set to a number, a test with a seed takes that one.
const SEED: &str = "SESSILE_SEED";

/// A place for one node: its data directory, and room beside it.
pub(crate) struct Place {
    dir: TempDir,
    engine: &'static str,
    program: OsString,
}

impl Place {
    pub(crate) fn new(engine: &'static str) -> Self {
        let dir = tempfile::Builder::new().prefix("sessile-system-").tempdir().unwrap();
        Self { dir, engine, program: sessile().get_program().to_owned() }
    }

    /// From its next start on it is that binary which runs there.
    pub(crate) fn is_run_by(&mut self, program: &OsStr) {
        self.program = program.to_owned();
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    /// A join token, made by the program, for whoever runs it only.
    pub(crate) fn join_token(&self) -> PathBuf {
        let made = sessile().args(["cluster", "new-token"]).output().unwrap();
        self.secret("join.token", &String::from_utf8(made.stdout).unwrap())
    }

    /// `sessile …`, asked of the node there by its socket, once that is there: code, standard output, standard error.
    pub(crate) fn ask(&self, node: &Process, words: &[&str]) -> (Option<i32>, String, String) {
        node.says(r#""msg":"answering operators on this machine""#);
        let mut command = sessile();
        command.args(words).args(["--timeout", "60s"]).arg("--data-dir").arg(self.data_dir());
        run(&mut command)
    }

    /// A file with one secret, for whoever runs it only.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    /// What runs a node there on a free port, with these lines besides.
    pub(crate) fn serve(&self, lines: &str) -> Command {
        self.serve_with_default_deadlines(&format!("{PATIENT}{lines}"))
    }

    /// The same, with the deadlines that it has by itself.
    pub(crate) fn serve_with_default_deadlines(&self, lines: &str) -> Command {
        let data_dir = self.data_dir();
        let storage = format!(
            "{{ data_dir: {}, engine: {}, cache_mb: 16, reserve_mb: 0, log_keep_minutes: 0 }}",
            data_dir.display(),
            self.engine
        );
        self.serve_file(&format!("listen_port: 0\nstorage: {storage}\n{lines}"))
    }

    /// What runs a node by a file of its own.
    pub(crate) fn serve_file(&self, yaml: &str) -> Command {
        let config = self.path().join("config.yaml");
        std::fs::write(&config, yaml).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(config);
        command
    }

    /// A node there.
    pub(crate) fn start(&self) -> Process {
        Process::start(self.serve("")).unwrap()
    }
}

/// Deadlines that a busy machine does not reach: tests ask what is answered, not how fast.
pub(crate) const PATIENT: &str = "http: { request_timeout_ms: 60000, body_timeout_ms: 60000, header_timeout_ms: 60000 }\nshutdown: { grace_ms: 600000 }\n";

/// The program.
pub(crate) fn sessile() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sessile"))
}

/// What it comes to: code, standard output, standard error.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Where that listener is, by the log.
pub(crate) fn listener(node: &Process, what: &str) -> SocketAddr {
    let line = node.says(&format!(r#""msg":"{what}""#));
    let address = line.split_once(r#""address":""#).and_then(|(_, rest)| rest.split('"').next()).unwrap();
    address.parse().unwrap()
}

/// A seed, said aloud: from the environment to see a run again, else a new one.
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("{test}: {SEED}={seed}");
    seed
}

/// The one sentence with which a program that gave up tells why.
#[track_caller]
pub(crate) fn sentence(stderr: &str) -> &str {
    assert_eq!(stderr.lines().count(), 1, "one sentence, and nothing else:\n{stderr}");
    assert!(stderr.starts_with("sessile: ") && stderr.ends_with('\n'), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr.trim_end()
}
