//! The program from outside: exit codes, and who gets which words.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn sessile(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sessile")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

#[test]
fn a_wrong_command_line_or_configuration_is_one_sentence_and_64() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("wrong.yaml");
    std::fs::write(&wrong, "service_name: a\nlisten_prot: 1\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    let fine = directory.path().join("fine.yaml");
    std::fs::write(&fine, "service_name: a\n").unwrap();
    let fine = fine.to_str().unwrap();
    for (arguments, said) in [
        (vec![], "a command is missing"),
        (vec!["serve", "--config", "/nowhere/config.yaml"], "/nowhere/config.yaml: cannot be read"),
        (vec!["serve", "--config", wrong], "did you mean `listen_port`?"),
        (vec!["check-config", wrong], "wrong.yaml, line 2: unknown key \"listen_prot\""),
        (vec!["dev", "--listen", "nonsense"], "HOST:PORT was expected"),
        (vec!["cluster"], "a command is missing; see `sessile cluster --help`"),
        (vec!["cluster", "promote"], "<MEMBER>; see `sessile cluster promote --help`"),
        (vec!["cluster", "add-learner", "n4"], "HOST:PORT was expected"),
        (vec!["status", "--server", "n1:1", "--token-file", "/nowhere/token"], "/nowhere/token cannot be read"),
        (
            vec!["status", "--server", "n1:1", "--data-dir", "/d"],
            "'--server <HOST:PORT>' cannot be used with '--data-dir",
        ),
        (vec!["status", "--server", "n1"], "HOST:PORT was expected"),
        (vec!["status", "--timeout", "0"], "a time from 1ms to 60m was expected"),
        (vec!["serve", "--config", fine, "--discard-data-and-rejoin"], "wants a cluster to join"),
    ] {
        let output = sessile(&arguments);
        let sentence = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(64), ""), "{arguments:?}");
        assert!(sentence.starts_with("sessile: ") && sentence.contains(said), "{sentence}");
        assert_eq!(sentence.matches('\n').count(), 1, "{sentence}");
    }
}

#[test]
fn check_config_prints_a_file_that_it_accepts_again() {
    let directory = tempfile::tempdir().unwrap();
    let kask = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kask.yaml");
    let first = sessile(&["check-config", kask.to_str().unwrap()]);
    assert_eq!((first.status.code(), text(&first.stderr).as_str()), (Some(0), ""));
    let printed = text(&first.stdout);
    assert!(printed.starts_with("# warning: `cassandra` has no effect"), "{printed}");
    assert!(printed.contains("\nlisten_port: 8081  # line 5\n"), "{printed}");
    assert!(printed.contains("\n  engine: fjall  # default\n"), "{printed}");
    let copy = directory.path().join("copy.yaml");
    std::fs::write(&copy, &printed).unwrap();
    let second = text(&sessile(&["check-config", copy.to_str().unwrap()]).stdout);
    let values = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&second), values(&printed));
}

#[test]
fn the_environment_goes_before_the_file_and_check_config_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, "listen_port: 1\n").unwrap();
    let checked = |port: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        command.arg("check-config").arg(&file).env("SESSILE_LISTEN_PORT", port).output().expect("the program starts")
    };
    let printed = text(&checked("2").stdout);
    assert!(printed.contains("\nlisten_port: 2  # SESSILE_LISTEN_PORT in the environment\n"), "{printed}");
    let refused = checked("x");
    let sentence = "sessile: SESSILE_LISTEN_PORT in the environment: `listen_port` must be a whole number from 0 to 65535, not \"x\"\n";
    assert_eq!((refused.status.code(), text(&refused.stderr).as_str()), (Some(64), sentence));
}

#[test]
fn a_node_that_does_not_answer_is_one_sentence_and_a_code() {
    // Bound and not listening: whoever connects is refused, and nobody else gets the port.
    let closed = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&closed, &"127.0.0.1:0".parse::<std::net::SocketAddrV4>().unwrap()).unwrap();
    let refusing = std::net::SocketAddrV4::try_from(rustix::net::getsockname(&closed).unwrap()).unwrap().to_string();
    // Accepts by the system's doing, and says nothing.
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listening.local_addr().unwrap().to_string();
    for (server, code, said) in [
        (refusing.as_str(), 69, format!("no node answers at {refusing}: ")),
        (silent.as_str(), 75, format!("{silent} has not answered within 50ms")),
    ] {
        for command in [
            vec!["status"],
            vec!["status", "--json", "--watch"],
            vec!["cluster", "watch"],
            vec!["cluster", "init"],
            vec!["cluster", "add-learner", "127.0.0.1:1"],
            vec!["cluster", "promote", "n1"],
            vec!["cluster", "replace", "n1", "n2"],
            vec!["cluster", "remove", "n1", "--force", "--if-membership", "7"],
            vec!["cluster", "transfer-leader"],
            vec!["cluster", "set-address", "n1", "127.0.0.1:1"],
            vec!["cluster", "set-time", "2026-11-30T12:00:00Z", "--json"],
            vec!["cluster", "snapshot", "n1"],
        ] {
            let output = sessile(&[&command[..], &["--server", server, "--timeout", "50ms"]].concat());
            let sentence = text(&output.stderr);
            assert_eq!(
                (output.status.code(), text(&output.stdout).as_str()),
                (Some(code), ""),
                "{command:?}: {sentence}"
            );
            assert!(sentence.starts_with("sessile: ") && sentence.contains(&said), "{sentence}");
            assert_eq!(sentence.matches('\n').count(), 1, "{sentence}");
        }
    }
}

#[test]
fn the_node_to_ask_may_stand_in_the_environment() {
    let with = |value: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessile"));
        let output = command.args(arguments).env("SESSILE_SERVER", value).output().expect("the program starts");
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = with("nonsense", &["status"]);
    assert!(code == Some(64) && said.contains("invalid value \"nonsense\" of SESSILE_SERVER: HOST:PORT"), "{said}");
    let (code, said) = with("nonsense", &["status", "--server", "also:nonsense"]);
    assert!(code == Some(64) && said.contains("'also:nonsense'"), "what is said on the command line wins: {said}");
}

#[test]
fn nobody_reading_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
