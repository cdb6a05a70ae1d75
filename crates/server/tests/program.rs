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
    for (arguments, said) in [
        (vec![], "a command is missing"),
        (vec!["serve", "--config", "/nowhere/config.yaml"], "/nowhere/config.yaml: cannot be read"),
        (vec!["serve", "--config", wrong], "did you mean `listen_port`?"),
        (vec!["check-config", wrong], "wrong.yaml, line 2: unknown key \"listen_prot\""),
        (vec!["dev", "--listen", "nonsense"], "HOST:PORT was expected"),
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
    assert!(printed.contains("\nlisten_port: 8081\n") && printed.contains("\n  engine: fjall\n"), "{printed}");
    let copy = directory.path().join("copy.yaml");
    std::fs::write(&copy, &printed).unwrap();
    let second = text(&sessile(&["check-config", copy.to_str().unwrap()]).stdout);
    let values = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(values(&second), values(&printed));
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
