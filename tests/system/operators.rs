//! Who may ask a node what: the socket in its data directory, tokens from elsewhere, and nobody else.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use sessile_testkit::{Client, Process, Signal};

use crate::world::{Place, listener, run, sentence, sessile};

const ADMIN: &str = "a-token-of-operators-who-may-all";
const READ: &str = "a-token-of-operators-who-may-look";

/// A node that is a cluster by itself and knows two tokens.
struct Known {
    place: Place,
    node: Process,
    grpc: SocketAddr,
}

impl Known {
    fn start() -> Self {
        let place = Place::new("fjall");
        place.secret("operators", &format!("# who may\nops admin {ADMIN}\nlook read {READ}\n"));
        let (mut node, grpc) = start(&place);
        assert_eq!(place.ask(&node, &["cluster", "init"]).0, Some(0));
        node.ready();
        Self { place, node, grpc }
    }

    /// `sessile …` from elsewhere, with that token.
    fn with(&self, token: &str, words: &[&str]) -> (Option<i32>, String, String) {
        let file = self.place.secret("operator.token", token);
        self.asked_from_elsewhere(&[words, &["--token-file", file.to_str().unwrap()]].concat())
    }

    fn asked_from_elsewhere(&self, words: &[&str]) -> (Option<i32>, String, String) {
        run(sessile().args(words).args(["--timeout", "60s", "--server", &self.grpc.to_string()]))
    }
}

fn start(place: &Place) -> (Process, SocketAddr) {
    let (join, known) = (place.join_token(), place.path().join("operators"));
    let member = format!(
        "cluster: {{ name: n1, listen: '127.0.0.1:0', join_token_file: '{}', operator_token_file: '{}', listen_ms: 0 }}\n\
         admin: {{ listen: '127.0.0.1:0' }}\n",
        join.display(),
        known.display()
    );
    let node = Process::start(place.serve(&member)).unwrap();
    let grpc = listener(&node, "listening for peers");
    (node, grpc)
}

#[test]
fn on_its_own_machine_a_node_is_asked_with_nothing_but_its_data_directory() {
    let place = Place::new("fjall");
    let mut node = place.start();
    node.ready();
    let socket = place.data_dir().join("admin.sock");
    let (code, said, error) = place.ask(&node, &["status"]);
    assert!(code == Some(0) && said.contains("healthy: 1 of 1 voters answers"), "{said}{error}");
    assert_eq!(fs::symlink_metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let by_environment = run(sessile().arg("status").env("SESSILE_DATA_DIR", place.data_dir()));
    assert_eq!(by_environment.0, Some(0), "{by_environment:?}");
    let (code, _, error) = place.ask(&node, &["cluster", "add-learner", "127.0.0.1:1"]);
    assert!(code == Some(65) && error.contains("single node, whose configuration has no `cluster`"), "{error}");

    // Killed, it leaves its socket, and the next start takes its place.
    node.kill();
    let (code, _, error) = run(sessile().arg("status").arg("--data-dir").arg(place.data_dir()));
    assert_eq!(code, Some(69), "{error}");
    assert!(sentence(&error).contains("the node that made it runs no longer"), "{error}");
    let mut node = place.start();
    node.ready();
    assert_eq!(place.ask(&node, &["status"]).0, Some(0));
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());
    assert!(!socket.exists(), "it goes with the node");
    let (code, _, error) = run(sessile().arg("status").arg("--data-dir").arg(place.data_dir()));
    assert!(code == Some(69) && sentence(&error).contains("no node runs there"), "{error}");
}

#[test]
fn another_user_of_the_machine_is_told_that_the_socket_is_not_for_him() {
    let place = Place::new("fjall");
    let mut node = place.start();
    node.ready();
    assert_eq!(place.ask(&node, &["status"]).0, Some(0));
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("only root can become another user: the rest of this test needs it");
        return;
    }
    // Where everybody may run it, and nothing but the data directory keeps anybody out.
    let program = place.path().join("sessile");
    fs::copy(sessile().get_program(), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let is_closed = |directory: &Path| fs::metadata(directory).unwrap().permissions().mode() & 0o001 == 0;
    if program.ancestors().skip(1).any(is_closed) {
        eprintln!("another user does not get to the directory of the test: the rest of this test needs it");
        return;
    }
    let (code, _, error) = run(command.arg("status").arg("--data-dir").arg(place.data_dir()).uid(65_534).gid(65_534));
    assert_eq!(code, Some(77), "{error}");
    assert!(sentence(&error).contains("it is for root and for the user that runs the node"), "{error}");
}

#[test]
fn from_elsewhere_a_token_says_who_may_look_and_who_may_change() {
    let known = Known::start();
    let words = ["cluster", "set-address", "n1", "127.0.0.1:7081"];
    for looks in [&["status"][..], &["cluster", "history"]] {
        for token in [ADMIN, READ] {
            let (code, said, error) = known.with(token, looks);
            assert_eq!(code, Some(0), "{looks:?}: {said}{error}");
        }
    }
    for changes in [&words[..], &["cluster", "init"], &["cluster", "remove", "n9"], &["cluster", "snapshot"]] {
        let (code, said, error) = known.with(READ, changes);
        assert_eq!((code, said.as_str()), (Some(77), ""), "{changes:?}: {error}");
        assert!(sentence(&error).contains("token look has the right `read`, and "), "{error}");
    }
    let (code, said, error) = known.with(ADMIN, &words);
    assert_eq!(code, Some(0), "{said}{error}");
    let (_, history, _) = known.place.ask(&known.node, &["cluster", "history", "--json"]);
    assert!(history.contains(r#""who": "token ops""#) && history.contains(r#""from": "127.0.0.1:"#), "{history}");
    let user = fs::metadata(known.place.data_dir()).unwrap().uid();
    let local = format!(r#""who": "uid {user}""#);
    assert!(history.contains(&local) && history.contains("the machine of n1, pid "), "{history}");
    assert!(
        !history.contains("set the address of n1 to 127.0.0.1:7081\"\n    }\n  ]"),
        "who may only look changed nothing"
    );
}

#[test]
fn who_proves_nothing_hears_nothing_wherever_he_calls_from() {
    let known = Known::start();
    // By which this user would be known on this machine.
    fs::remove_file(known.place.data_dir().join("admin.sock")).unwrap();
    for words in [&["status"][..], &["cluster", "watch"], &["cluster", "remove", "n1"], &["cluster", "init"]] {
        let (code, said, error) = known.asked_from_elsewhere(words);
        assert_eq!((code, said.as_str()), (Some(77), ""), "{words:?}: {error}");
        let sentence = sentence(&error);
        assert!(sentence.contains("--token-file") && sentence.contains("the socket in its data directory"), "{error}");
        assert!(!sentence.contains("n1"), "nor who it is: {error}");
    }
    for wrong in ["another-token-of-nobody", "b-token-of-operators-who-may-all"] {
        let (code, said, error) = known.with(wrong, &["status"]);
        assert_eq!((code, said.as_str()), (Some(77), ""), "{error}");
        assert!(sentence(&error).contains("does not know the token"), "{error}");
    }
    known.node.says("has a token of operators that this node does not know");
}

#[test]
fn on_its_own_machine_a_node_is_asked_at_its_address_too_without_a_token() {
    let known = Known::start();
    let (code, said, error) = known.asked_from_elsewhere(&["status"]);
    assert!(code == Some(0) && said.contains("healthy: 1 of 1 voters answers"), "{said}{error}");
    let (code, said, error) = known.asked_from_elsewhere(&["cluster", "set-address", "n1", "127.0.0.1:7081"]);
    assert_eq!(code, Some(0), "{said}{error}");
    let (_, history, _) = known.place.ask(&known.node, &["cluster", "history", "--json"]);
    assert!(!history.contains(r#""who": "token"#), "the system says who it was: {history}");
}

#[test]
fn where_no_tokens_of_operators_are_named_the_join_token_is_one() {
    let place = Place::new("fjall");
    let token = place.secret("join.token", ADMIN);
    let member = format!(
        "cluster: {{ name: n1, listen: '127.0.0.1:0', join_token_file: '{}', listen_ms: 0 }}\n",
        token.display()
    );
    let node = Process::start(place.serve(&member)).unwrap();
    let grpc = listener(&node, "listening for peers").to_string();
    let asked = |token: &Path| run(sessile().args(["cluster", "init", "--server", &grpc, "--token-file"]).arg(token));
    let (code, _, error) = asked(&place.secret("other.token", READ));
    assert_eq!(code, Some(77), "{error}");
    let (code, said, error) = asked(&token);
    assert_eq!(code, Some(0), "{said}{error}");
}

#[test]
fn a_token_file_that_cannot_be_used_is_refused_before_anybody_is_asked() {
    let place = Place::new("fjall");
    let file = place.secret("operator.token", "");
    let at = |file: &Path| {
        let mut command = sessile();
        command.args(["status", "--server", "127.0.0.1:1", "--token-file"]).arg(file);
        run(&mut command)
    };
    for (text, mode, said) in [
        ("", 0o600, "is empty"),
        ("short", 0o600, "is shorter than 16 bytes"),
        ("ops admin a-token-of-the-tests", 0o600, "has more than one word"),
        ("a-token-of-the-tests", 0o644, "may be read by everybody on this machine"),
    ] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let (code, _, error) = at(&file);
        assert!(code == Some(64) && sentence(&error).contains(said), "{error}");
        assert!(!error.contains("a-token-of"), "{error}");
    }
    let (code, _, error) = at(&place.path().join("absent"));
    assert!(code == Some(64) && sentence(&error).contains("cannot be read"), "{error}");
    let by_environment =
        run(sessile().args(["status", "--server", "127.0.0.1:1"]).env("SESSILE_TOKEN_FILE", "/absent"));
    assert!(by_environment.0 == Some(64) && by_environment.2.contains("/absent"), "{by_environment:?}");
}

#[test]
fn a_node_takes_no_weak_tokens_and_reloads_good_ones() {
    let mut known = Known::start();
    assert_eq!(known.with(READ, &["status"]).0, Some(0));
    // The old one goes, a new one comes; what cannot be used changes nothing.
    known.place.secret("operators", &format!("ops admin {ADMIN}\nnew read a-new-token-of-the-tests\n"));
    known.node.signal(Signal::HUP);
    known.node.says("operators' tokens: 2 of ");
    assert_eq!(known.with(READ, &["status"]).0, Some(77));
    assert_eq!(known.with("a-new-token-of-the-tests", &["status"]).0, Some(0));
    known.place.secret("operators", "ops admin short\n");
    known.node.signal(Signal::HUP);
    known.node.says("operators' tokens: as before, because ");
    assert_eq!(known.with(ADMIN, &["status"]).0, Some(0));
    known.node.signal(Signal::TERM);
    assert!(known.node.ends().success());

    let refused = |mode| {
        let file = known.place.path().join("operators");
        fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let config = known.place.path().join("config.yaml");
        let (code, _, error) = run(sessile().args(["check-config"]).arg(config));
        (code, error)
    };
    let (code, error) = refused(0o600);
    assert!(code == Some(64) && error.contains("has in line 1 a token of less than 16 bytes"), "{error}");
    known.place.secret("operators", &format!("ops admin {ADMIN}\n"));
    let (code, error) = refused(0o644);
    assert!(code == Some(64) && error.contains("`cluster.operator_token_file`"), "{error}");
    assert!(error.contains("may be read by everybody") && !error.contains(ADMIN), "{error}");
}

#[test]
fn a_command_at_the_wrong_port_says_which_one_it_wants_and_tells_its_token_nobody() {
    let known = Known::start();
    let admin = listener(&known.node, "listening for operators");
    let file = known.place.secret("operator.token", ADMIN);
    let (code, _, error) =
        run(sessile().args(["status", "--server", &admin.to_string(), "--token-file", file.to_str().unwrap()]));
    assert!(code == Some(69) && sentence(&error).contains("is an HTTP port of a node"), "{error}");
    let mut client = Client::connect(admin).unwrap();
    assert_eq!(client.request("GET", "/livez", "", b"").unwrap().status, 200);
}
