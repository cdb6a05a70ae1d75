//! Keys, values and tokens are credentials. Whatever comes out of a cluster that is having a bad day, at its most talkative,
//! holds none of them.

use std::net::SocketAddr;

use sessile_testkit::{Client, Fleet, Process};

use crate::world::{fleet, other_than};

/// What the secrets have in common, and nothing else in the program.
const MARK: &str = "nobodymaysee";
const KEY: &str = "enwiki:KeyThatNobodyMaySee";
const VALUE: &str = "ValueThatNobodyMaySee";
const TOKEN: &str = "TokenThatNobodyMaySee-0123456789abcdef";
const WRONG_TOKEN: &str = "WrongTokenThatNobodyMaySee-0123456789";

/// What was said, with where.
#[derive(Default)]
struct Outputs(Vec<(String, String)>);

impl Outputs {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    #[track_caller]
    fn assert_silent(&self) {
        for (place, text) in &self.0 {
            let telling = text.lines().find(|line| line.to_lowercase().contains(MARK));
            assert_eq!(telling, None, "{place} tells a secret");
        }
    }
}

/// Requests of every kind at that node, good and bad. What is kept is what errors say, but for the path that was asked for:
/// it is Kask's contract that they repeat it to whoever asked.
fn ask_everything(fleet: &Fleet, node: &str, round: usize, outputs: &mut Outputs) {
    let target = format!("/sessions/v1/{KEY}{round}");
    let value = VALUE.repeat(1 + round * 20);
    let conditions = format!("If-Match: \"{VALUE}\"\r\n");
    for (method, target, headers, body) in [
        ("POST", target.as_str(), "X-Request-ID: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\r\n", value.as_str()),
        ("PUT", &target.replace(':', "%3A"), "TTL: 60\r\n", &value),
        ("GET", &target, "", ""),
        ("PUT", &target, "If-None-Match: *\r\n", &value),
        ("PUT", &target, &conditions, &value),
        ("PUT", &target, &format!("TTL: {VALUE}\r\n"), &value),
        ("PUT", &target, &format!("Content-Type: text/{VALUE}\r\n"), &value),
        ("GET", &format!("{target}?{KEY}"), "", ""),
        ("GET", &format!("{target}%zz"), "", ""),
        ("GET", &format!("{target}{}", "x".repeat(1024)), "", ""),
        ("KEYTHATNOBODYMAYSEE", &target, "", ""),
        ("DELETE", &target, "Prefer: return=representation\r\n", ""),
        ("DELETE", &target, "", ""),
        ("GET", "/sessions/v1/another", "", ""),
        ("PUT", &target, "", &value),
    ] {
        let Ok(mut client) = Client::connect(fleet.http(node)) else { continue };
        if let Ok(answer) = client.request(method, target, headers, body.as_bytes())
            && answer.status >= 300
        {
            let text = answer.text();
            let rest: Vec<_> = text.lines().filter(|line| !line.contains(r#""instance": "/sessions/v1/"#)).collect();
            outputs.add(&format!("a {} of {node}", answer.status), rest.join("\n"));
        }
    }
}

/// What any client and any operator can see of that node.
fn look_around(fleet: &Fleet, node: &str, outputs: &mut Outputs) {
    for path in ["/metrics", "/livez", "/readyz", "/healthz", "/openapi", "/"] {
        for address in [Some(fleet.http(node)), admin(fleet, node)].into_iter().flatten() {
            if let Ok(answer) = Client::connect(address).and_then(|mut client| client.request("GET", path, "", b"")) {
                outputs.add(&format!("{path} of {node}"), answer.text());
            }
        }
    }
    for words in [&["status"][..], &["status", "--json"], &["cluster", "history", "--json"]] {
        let said = fleet.run(words, node);
        outputs.add(&format!("{words:?} at {node}"), said.stdout + &said.stderr);
    }
}

fn admin(fleet: &Fleet, node: &str) -> Option<SocketAddr> {
    let words = fleet.words(node);
    let line = words.lines().rev().find(|line| line.contains("listening for operators"))?;
    line.split_once(r#""address":""#)?.1.split('"').next()?.parse().ok()
}

#[test]
fn nothing_that_comes_out_of_a_cluster_holds_a_key_a_value_or_a_token() {
    let mut fleet = fleet(3);
    for name in fleet.names() {
        let settings = fleet.settings(&name);
        settings.join_token = TOKEN.to_owned();
        settings.lines = "log_level: debug\nadmin: { listen: '127.0.0.1:0' }\n".to_owned();
    }
    fleet.start_all();
    let leader = fleet.wait_until_formed().leader.unwrap();
    let follower = other_than(&fleet, &leader);
    let mut outputs = Outputs::default();
    let mut watch = fleet.ask(&["cluster", "watch", "--json"], &follower);
    for (round, node) in fleet.names().iter().enumerate() {
        ask_everything(&fleet, node, round, &mut outputs);
        look_around(&fleet, node, &mut outputs);
    }

    // Somebody with a wrong token, who wants in and wants to begin.
    fleet.add("n4");
    let stranger = fleet.settings("n4");
    stranger.join_token = WRONG_TOKEN.to_owned();
    stranger.lines = "log_level: debug\n".to_owned();
    fleet.start("n4");
    fleet.process("n4").says("the join token is not the one of node");
    let wrong = fleet.operator_token_file("n4").display().to_string();
    for words in [
        &["cluster", "init"][..],
        &["cluster", "init", "--token-file", &wrong],
        &["status", "--token-file", &wrong],
        &["cluster", "remove", "n9"],
        &["cluster", "add-learner", "127.0.0.1:1"],
        &["cluster", "set-address", "n9", "127.0.0.1:1"],
    ] {
        let said = fleet.run(words, &leader);
        outputs.add(&format!("{words:?}"), said.stdout + &said.stderr);
    }
    fleet.kill("n4");

    // Leaders come and go while clients ask, by command and by death.
    fleet.succeed(&["cluster", "transfer-leader", &follower], &leader);
    ask_everything(&fleet, &follower, 3, &mut outputs);
    fleet.kill(&follower);
    for node in fleet.running() {
        ask_everything(&fleet, &node, 4, &mut outputs);
    }
    fleet.start(&follower);
    fleet.wait_until_formed();
    fleet.kill(&leader);
    fleet.reimage(&leader);
    fleet.start(&leader);
    fleet.wait_until_formed();
    for (round, node) in fleet.names().iter().filter(|name| *name != "n4").enumerate() {
        ask_everything(&fleet, node, round, &mut outputs);
        look_around(&fleet, node, &mut outputs);
    }
    watch.kill();
    outputs.add("cluster watch", said_by(&watch));
    for name in fleet.running() {
        fleet.stop(&name);
    }
    for name in fleet.names() {
        let words = fleet.words(&name);
        // Nobody has asked n4 for a session.
        assert!(
            name == "n4" || words.contains(r#""level":"DEBUG""#),
            "the log of {name} is not what this test takes it for"
        );
        outputs.add(&format!("the log of {name}"), words);
    }
    assert!(outputs.0.iter().any(|(_, text)| text.contains(r#"group="enwiki""#)), "the metrics are not there");
    assert!(outputs.0.len() > 100, "{} outputs", outputs.0.len());
    outputs.assert_silent();
}

fn said_by(process: &Process) -> String {
    process.stdout() + &process.stderr()
}
