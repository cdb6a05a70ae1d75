//! The program's own load test, against the program.

use std::process::Output;

use serde_json::Value;
use sessile_testkit::Signal;

use crate::world::{BASE, Place, sentence, sessile};

fn bench(url: &str, more: &[&str]) -> Output {
    let mut command = sessile();
    command.args(["bench", url, "--connections", "4", "--keys", "50", "--duration", "300ms", "--json"]).args(more);
    command.output().unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_load_test_fills_the_store_asks_what_it_was_told_to_and_says_what_failed() {
    let place = Place::new("fjall");
    let mut node = place.start();
    let url = format!("http://{}{BASE}", node.ready());

    let told = document(&bench(&url, &["--mix", "1:1:1"]));
    let count = |kind: &str| told["operations"][kind]["count"].as_u64().unwrap();
    assert!(["get", "set", "delete"].iter().all(|kind| count(kind) > 0), "{told}");
    assert_eq!(count("get") + count("set") + count("delete"), count("all"));
    assert_eq!((&told["failures"], &told["unsent"]), (&serde_json::json!({}), &Value::from(0)));
    let waits = &told["operations"]["all"]["wait_us"];
    assert!(
        waits["p50"].as_u64() <= waits["p999"].as_u64() && waits["p999"].as_u64() <= waits["max"].as_u64(),
        "{waits}"
    );

    // Thirty are due in that time, whether it keeps up or not.
    let paced = document(&bench(&url, &["--rate", "100", "--no-fill"]));
    assert_eq!(
        paced["operations"]["all"]["count"].as_u64().unwrap() + paced["unsent"].as_u64().unwrap(),
        30,
        "{paced}"
    );

    let too_large = bench(&url, &["--value-bytes", "16000000"]);
    let said = String::from_utf8_lossy(&too_large.stderr).into_owned();
    assert_eq!(too_large.status.code(), Some(1), "{said}");
    assert!(sentence(&said).starts_with("sessile: the store cannot be filled: "), "{said}");

    let elsewhere = bench(&url.replace(BASE, "/elsewhere/"), &["--no-fill", "--mix", "0:1:0"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(document(&elsewhere)["failures"]["set answered with 404"].as_u64().unwrap() > 0);

    node.signal(Signal::KILL);
    node.ends();
    let nobody = bench(&url, &[]);
    assert_eq!(nobody.status.code(), Some(69));
    assert!(sentence(&String::from_utf8_lossy(&nobody.stderr)).starts_with("sessile: nobody answers at http://"));
}
