//! SIGHUP.

use std::fs;

use sessile_testkit::{Client, Process, Signal};

use crate::world::{BASE, Place};

#[test]
fn a_node_that_is_told_to_reload_takes_the_new_log_level_and_serves_on() {
    let place = Place::new("fjall");
    let mut node = Process::start(place.serve("log_level: info\n")).unwrap();
    let mut client = Client::connect(node.ready()).unwrap();
    let file = place.path().join("config.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let mut rounds = 0;
    let mut request = |client: &mut Client| {
        rounds += 1;
        let id = format!("6ba7b810-9dad-11d1-80b4-{rounds:012}");
        let header = format!("X-Request-ID: {id}\r\n");
        assert!(client.request("PUT", &format!("{BASE}k"), &header, b"v").is_ok_and(|answer| answer.status < 300));
        id
    };
    let quiet = request(&mut client);

    fs::write(&file, text.replace("log_level: info", "log_level: debug")).unwrap();
    node.signal(Signal::HUP);
    node.says("reloaded: configuration: log_level is debug, and was info\"");
    let told = request(&mut client);
    let line = node.says(&told);
    assert!(line.contains(r#""level":"DEBUG""#), "{line}");

    fs::write(&file, text.replace("log_level: info", "log_level: loud")).unwrap();
    node.signal(Signal::HUP);
    let line = node.says("not all was reloaded: configuration: as before, because");
    assert!(line.contains("config.yaml, line") && line.contains("loud"), "{line}");
    let still_told = request(&mut client);
    node.says(&still_told);

    fs::write(&file, text.replace("log_level: info", "log_level: warning\ndefault_ttl: 5")).unwrap();
    node.signal(Signal::HUP);
    // Its own line is of the level that it has left behind; what follows is silence.
    let answer = (0..100).any(|_| {
        let id = request(&mut client);
        client.request("GET", "/metrics", "", b"").unwrap();
        !node.stdout().contains(&id)
    });
    assert!(answer, "requests are still told of");
    fs::write(&file, text.replace("log_level: info", "log_level: info\ndefault_ttl: 5")).unwrap();
    node.signal(Signal::HUP);
    node.says("reloaded: configuration: log_level is info, and was warning; what else has changed waits for a restart");
    assert!(!node.stdout().contains(&quiet));
    node.signal(Signal::TERM);
    assert_eq!((node.ends().code(), node.stderr().as_str()), (Some(0), ""));
}
