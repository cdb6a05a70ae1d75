//! What the program refuses, and how it starts.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use sessile_testkit::{Client, Process, Signal, Tree};

use crate::world::{BASE, ENGINES, Place, listener, sentence, sessile};

/// Runs to its end, and gives code and the sentence on standard error.
#[track_caller]
fn refused(command: Command) -> (i32, String) {
    let mut node = Process::start(command).unwrap();
    let code = node.ends().code().unwrap();
    (code, sentence(&node.stderr()).to_owned())
}

/// A place where a node ran and stopped cleanly.
fn used(engine: &'static str) -> Place {
    let place = Place::new(engine);
    let mut node = place.start();
    let address = node.ready();
    let stored = Client::connect(address).unwrap().request("PUT", &format!("{BASE}k"), "", b"v").unwrap();
    assert_eq!(stored.status, 201);
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());
    place
}

/// The key that `used` stored is there, in a node that starts now.
fn still_serves(place: &Place) {
    let mut node = place.start();
    let address = node.ready();
    let read = Client::connect(address).unwrap().request("GET", &format!("{BASE}k"), "", b"").unwrap();
    assert_eq!((read.status, read.body.as_slice()), (200, &b"v"[..]));
}

#[track_caller]
fn assert_unchanged(before: &Tree, dir: &Path) {
    let difference = before.difference(&Tree::of(dir));
    assert!(difference.is_empty(), "{} changed:\n{difference}", dir.display());
}

#[test]
fn a_port_in_use_is_one_sentence_and_69_and_changes_nothing() {
    let place = used("fjall");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let on = |data_dir: &Path| {
        place.serve_file(&format!("listen_port: {port}\nstorage: {{ data_dir: {} }}\n", data_dir.display()))
    };
    let before = Tree::of(&place.data_dir());
    let (code, said) = refused(on(&place.data_dir()));
    assert_eq!(code, 69, "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("listen_port"), "{said}");
    assert_unchanged(&before, &place.data_dir());

    let absent = place.path().join("absent");
    assert_eq!(refused(on(&absent)).0, 69);
    assert!(!absent.exists());

    let mut dev = sessile();
    dev.args(["dev", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(&absent);
    assert_eq!(refused(dev).0, 69);
    assert!(!absent.exists());
}

#[test]
fn every_port_is_taken_before_the_disk_is_touched() {
    let place = Place::new("fjall");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let absent = place.path().join("absent");
    let token = place.join_token();
    let token = token.display();
    for (block, key) in [
        (format!("admin: {{ listen: '127.0.0.1:{port}' }}"), "admin.listen"),
        (format!("cluster: {{ name: n1, join_token_file: '{token}', listen: '127.0.0.1:{port}' }}"), "cluster.listen"),
    ] {
        let file = format!("listen_port: 0\nstorage: {{ data_dir: {} }}\n{block}\n", absent.display());
        let (code, said) = refused(place.serve_file(&file));
        assert_eq!(code, 69, "{said}");
        assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains(key), "{said}");
        assert!(!absent.exists());
    }
}

/// A member of no cluster yet, which nobody tells of any.
fn alone(token: &Path) -> String {
    let token = token.display();
    format!("cluster: {{ name: n1, listen: '127.0.0.1:0', join_token_file: '{token}', listen_ms: 0 }}\n")
}

#[test]
fn a_member_without_a_cluster_says_so_and_stops_when_it_is_told_to() {
    let place = Place::new("fjall");
    let alone = alone(&place.join_token());
    let mut node = Process::start(place.serve(&format!("{alone}admin: {{ listen: '127.0.0.1:0' }}\n"))).unwrap();
    let (code, said, _) = place.ask(&node, &["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not ready: this node belongs to no cluster yet"), "{said}");
    let (code, document, _) = place.ask(&node, &["status", "--json"]);
    assert!(code == Some(1) && document.contains(r#""health": "not_ready""#), "{document}");
    let mut operator = Client::connect(listener(&node, "listening for operators")).unwrap();
    assert_eq!(operator.request("GET", "/readyz", "", b"").unwrap().status, 503);
    let page = operator.request("GET", "/", "", b"").unwrap();
    assert!(page.status == 200 && page.text().contains("not ready: "), "{}", page.text());
    drop(operator);
    node.signal(Signal::TERM);
    assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""));
}

#[test]
fn an_operator_makes_a_cluster_and_data_is_set_aside_when_it_is_told_so() {
    let place = Place::new("fjall");
    let (alone, init) = (alone(&place.join_token()), ["cluster", "init"]);
    let mut node = Process::start(place.serve(&alone)).unwrap();
    let (code, said, _) = place.ask(&node, &init);
    assert!(code == Some(0) && said.contains("is the first member of the new cluster"), "{said}");
    let mut client = Client::connect(node.ready()).unwrap();
    assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
    drop(client);
    let (code, said, _) = place.ask(&node, &init);
    assert!(code == Some(0) && said.contains("is a member already"), "{said}");
    let (code, said, _) = place.ask(&node, &["status"]);
    assert!(code == Some(0) && said.contains("healthy: 1 of 1 voters answers, n1 leads"), "{said}");
    let (code, said, error) = place.ask(&node, &["cluster", "promote", "n9"]);
    assert_eq!((code, said.as_str()), (Some(68), ""), "{error}");
    assert!(sentence(&error).contains("n9"), "{error}");
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());

    let discarding = || {
        let mut command = place.serve(&alone);
        command.arg("--discard-data-and-rejoin");
        Process::start(command).unwrap()
    };
    let mut node = discarding();
    node.says("--discard-data-and-rejoin has no effect");
    node.ready();
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());
    assert!(!place.data_dir().join("discarded-1").exists(), "what is whole is kept");

    std::fs::remove_dir_all(place.data_dir().join("log")).unwrap();
    let mut node = Process::start(place.serve(&alone)).unwrap();
    assert_eq!(node.ends().code(), Some(1));
    assert!(sentence(&node.stderr()).contains("--discard-data-and-rejoin"), "{}", node.stderr());
    let node = discarding();
    node.says("the data was set aside");
    let (code, said, _) = place.ask(&node, &["status"]);
    assert!(code == Some(1) && said.contains("not ready: this node belongs to no cluster yet"), "{said}");
    assert!(place.data_dir().join("discarded-1/state").exists(), "set aside, not deleted");
}

#[test]
fn operators_have_a_listener_of_their_own() {
    let place = Place::new("fjall");
    let mut node = Process::start(place.serve("admin: { listen: '127.0.0.1:0' }\n")).unwrap();
    let api = node.ready();
    let mut client = Client::connect(api).unwrap();
    assert_eq!(client.request("PUT", &format!("{BASE}enwiki:topsecret"), "", b"hush-hush").unwrap().status, 201);
    let mut operator = Client::connect(listener(&node, "listening for operators")).unwrap();
    let page = operator.request("GET", "/", "", b"").unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("1 of 1 healthy: its loss stops reads and writes"), "{}", page.text());
    let runbook = operator.request("GET", "/runbook", "", b"").unwrap();
    assert!(runbook.status == 200 && runbook.text().contains("<h3 id=\"sessiledown\">"), "{}", runbook.text());
    assert!(!page.text().contains("topsecret") && !page.text().contains("hush"), "{}", page.text());
    assert_eq!(operator.request("GET", "/readyz", "", b"").unwrap().status, 200);
    assert_eq!(operator.request("GET", "/livez", "", b"").unwrap().status, 200);
    let metrics = operator.request("GET", "/metrics", "", b"").unwrap();
    assert!(metrics.text().contains("sessile_raft_is_leader 1"), "{}", metrics.text());
    assert_eq!(operator.request("GET", &format!("{BASE}enwiki:topsecret"), "", b"").unwrap().status, 404);
    assert_eq!(client.request("GET", "/metrics", "", b"").unwrap().status, 200, "Kask's place for it stays");
}

#[test]
fn a_local_read_tells_how_old_it_may_be() {
    let place = Place::new("fjall");
    let mut node = Process::start(place.serve("read_consistency: local\n")).unwrap();
    let mut client = Client::connect(node.ready()).unwrap();
    assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
    for (key, status) in [("k", 200), ("absent", 404)] {
        let read = client.request("GET", &format!("{BASE}{key}"), "", b"").unwrap();
        assert_eq!(read.status, status);
        let age = read.header("age").and_then(|age| age.parse::<u64>().ok());
        assert!(age.is_some(), "{:?}", read.headers);
    }
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let place = Place::new("fjall");
    std::fs::create_dir_all(place.data_dir().join("photos")).unwrap();
    std::fs::write(place.data_dir().join("photos/cat.jpg"), "meow").unwrap();
    let before = Tree::of(&place.data_dir());
    let (code, said) = refused(place.serve(""));
    assert_eq!(code, 73, "{said}");
    assert!(said.contains("photos") && said.contains("storage.data_dir"), "{said}");
    assert_unchanged(&before, &place.data_dir());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let place = used("fjall");
    let format = place.data_dir().join("FORMAT");
    let known = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, known.replace("format 1", "format 2")).unwrap();
    let before = Tree::of(&place.data_dir());
    let (code, said) = refused(place.serve(""));
    assert_eq!(code, 73, "{said}");
    assert!(said.contains("format 2") && said.contains("start the newer program"), "{said}");
    assert_unchanged(&before, &place.data_dir());
    std::fs::write(&format, known).unwrap();
    still_serves(&place);
}

#[test]
fn the_wrong_engine_for_a_directory_is_refused_and_changes_nothing() {
    for (engine, other) in [("fjall", "sled"), ("sled", "fjall")] {
        let place = used(engine);
        let before = Tree::of(&place.data_dir());
        let file =
            format!("listen_port: 0\nstorage: {{ data_dir: {}, engine: {other} }}\n", place.data_dir().display());
        let (code, said) = refused(place.serve_file(&file));
        assert!(code != 0 && said.contains(&format!("set storage.engine: {engine}")), "{code}: {said}");
        assert_unchanged(&before, &place.data_dir());
        still_serves(&place);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let place = Place::new("fjall");
    let file = place.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for data_dir in [file.join("data"), file.clone(), "/proc/sessile".into()] {
        let command = place.serve_file(&format!("listen_port: 0\nstorage: {{ data_dir: {} }}\n", data_dir.display()));
        let (code, said) = refused(command);
        assert_eq!(code, 73, "{said}");
        let is_told = said.contains(&data_dir.display().to_string()) && said.contains("storage.data_dir");
        assert!(is_told, "{said}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a directory");
}

#[test]
fn a_second_process_on_a_directory_is_refused_and_disturbs_nobody() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let mut first = place.start();
        let mut client = Client::connect(first.ready()).unwrap();
        assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
        // Stands still, so that whatever changes was changed by the second.
        first.freeze();
        let before = Tree::of(&place.data_dir());
        let (code, said) = refused(place.serve(""));
        assert_eq!(code, 73, "{said}");
        assert!(said.contains("in use by another process"), "{said}");
        assert_unchanged(&before, &place.data_dir());
        first.signal(Signal::CONT);
        assert_eq!(client.request("GET", &format!("{BASE}k"), "", b"").unwrap().body, b"v");
        assert_eq!(client.request("PUT", &format!("{BASE}k"), "", b"w").unwrap().status, 201);
    }
}

#[test]
fn a_file_of_kask_starts_a_durable_single_node() {
    let place = Place::new("fjall");
    // As somebody may have it in production; only where the data is, and a port that is free, are this test's.
    let kask = format!(
        "service_name: echo-seen\nbase_uri: /echoseen/v1\ndefault_ttl: 3600\nlog_level: info\nlisten_address: localhost\n\
         listen_port: 0\ncassandra:\n  hosts: [cassandra1.example, cassandra2.example]\n  keyspace: echo\n  \
         table: seen\n  authentication:\n    username: echo\n    password: not telling\nstorage:\n  data_dir: {}\n",
        place.data_dir().display()
    );
    let mut node = Process::start(place.serve_file(&kask)).unwrap();
    let address = node.ready();
    assert!(node.says("`cassandra` has no effect").contains(r#""level":"WARNING""#));
    assert!(node.says(r#""msg":"listening""#).contains(r#""appname":"echo-seen""#));
    let mut client = Client::connect(address).unwrap();
    let stored = client.request("POST", "/echoseen/v1/enwiki%3Aseen%3A1", "", b"PHP..b:1;").unwrap();
    assert_eq!((stored.status, stored.header("content-length"), stored.header("ttl")), (201, Some("0"), Some("3600")));
    node.kill();
    let shorter = kask.replace("base_uri: /echoseen/v1\n", "");
    let mut node = Process::start(place.serve_file(&shorter)).unwrap();
    let mut client = Client::connect(node.ready()).unwrap();
    let read = client.request("GET", "/v1/enwiki:seen:1", "", b"").unwrap();
    assert_eq!((read.status, read.body.as_slice()), (200, &b"PHP..b:1;"[..]), "and Kask's base URI if it names none");
}

#[test]
fn dev_says_how_to_use_it_and_takes_its_sessions_along() {
    for (signal, name) in [(Signal::INT, "Ctrl-C"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "the end of its terminal")]
    {
        let place = Place::new("fjall");
        let mut dev = sessile();
        dev.args(["dev", "--listen", "127.0.0.1:0"]).env("TMPDIR", place.path());
        let mut node = Process::start(dev).unwrap();
        let address = node.ready();
        let banner = node.stdout();
        assert!(banner.contains(&format!("curl --data-binary 'hello' 'http://{address}{BASE}greeting'")), "{banner}");
        assert!(banner.contains("$wgObjectCaches['sessile']") && banner.contains("are removed when this stops"));
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.request("POST", &format!("{BASE}greeting"), "", b"hello").unwrap().status, 201);
        assert_eq!(client.request("GET", &format!("{BASE}greeting"), "", b"").unwrap().body, b"hello");
        drop(client);
        assert_ne!(Tree::of(&place.path()), Tree::default());
        node.signal(signal);
        assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""), "{name}");
        assert_eq!(Tree::of(&place.path()), Tree::default(), "{name}: the directory is gone");
    }
}

/// A shell that ends tells its jobs, and the kernel tells them again when the terminal goes.
#[test]
fn dev_stops_cleanly_however_often_it_is_told_that_its_terminal_goes() {
    let place = Place::new("fjall");
    let mut dev = sessile();
    dev.args(["dev", "--listen", "127.0.0.1:0"]).env("TMPDIR", place.path());
    let mut node = Process::start(dev).unwrap();
    node.ready();
    while !node.has_ended() {
        node.signal(Signal::HUP);
    }
    assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""));
    assert_eq!(Tree::of(&place.path()), Tree::default(), "the directory is gone");
}

#[test]
fn dev_under_nohup_outlives_its_terminal() {
    let place = Place::new("fjall");
    let mut dev = Command::new("nohup");
    dev.arg(sessile().get_program()).args(["dev", "--listen", "127.0.0.1:0"]).env("TMPDIR", place.path());
    let mut node = Process::start(dev).unwrap();
    let mut client = Client::connect(node.ready()).unwrap();
    node.signal(Signal::HUP);
    node.says("SIGHUP has no effect");
    assert_eq!(client.request("POST", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
    drop(client);
    node.signal(Signal::INT);
    assert_eq!(node.ends().code(), Some(0));
}

#[test]
fn dev_keeps_its_sessions_where_it_is_told_to() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let start = || {
            let mut dev = sessile();
            dev.args(["dev", "--listen", "127.0.0.1:0", "--engine", engine, "--data-dir"]).arg(place.data_dir());
            Process::start(dev).unwrap()
        };
        let mut node = start();
        let address = node.ready();
        let mut client = Client::connect(address).unwrap();
        assert_eq!(client.request("POST", &format!("{BASE}k"), "", b"v").unwrap().status, 201);
        drop(client);
        node.signal(Signal::INT);
        assert!(node.ends().success());
        let mut node = start();
        let address = node.ready();
        assert_eq!(Client::connect(address).unwrap().request("GET", &format!("{BASE}k"), "", b"").unwrap().body, b"v");
    }
}

/// Asserts nothing about time: it is told, for whoever looks.
#[test]
fn from_start_to_the_first_201() {
    for engine in ENGINES {
        let place = Place::new(engine);
        for start in ["first start", "after kill -9"] {
            let command = place.serve("");
            let begin = Instant::now();
            let node = Process::start(command).unwrap();
            let address = node.address().unwrap();
            let stored = Client::connect(address).unwrap().request("POST", &format!("{BASE}k"), "", b"v").unwrap();
            assert_eq!(stored.status, 201, "the first request waits for the first leader");
            eprintln!("{engine}, {start}: {:.0?} from the start of the process to the first 201", begin.elapsed());
        }
    }
}

/// What the health check of a container goes by.
#[test]
fn ready_says_whether_a_node_could_serve_now() {
    let place = Place::new("fjall");
    let mut node = place.start();
    node.ready();
    assert_eq!(place.ask(&node, &["ready"]), (Some(0), "ready\n".to_owned(), String::new()));

    let place = Place::new("fjall");
    let token = place.join_token();
    let cluster = format!(
        "cluster: {{ name: n1, listen: '127.0.0.1:0', join_token_file: '{}', seeds: ['127.0.0.1:1'] }}\n",
        token.display()
    );
    let waiting = Process::start(place.serve(&cluster)).unwrap();
    let (code, told, said) = place.ask(&waiting, &["ready"]);
    assert_eq!((code, told.as_str()), (Some(75), ""));
    assert!(said.starts_with("sessile: not ready: this node belongs to no cluster yet"), "{said}");
}
