use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tracing::{debug, error, error_span, info, info_span, trace, warn};

use super::*;

/// 2033-05-18T03:33:20.789Z.
fn fixed_clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(2_000_000_000_789)
}

/// What is logged meanwhile.
fn logged(level: LogLevel, format: Format, story: impl FnOnce()) -> String {
    let sink = Arc::new(Sink::default());
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = Vec::new();
            sink.run(&mut written, |lost| panic!("{lost} lost"));
            written
        });
        tracing::subscriber::with_default(
            subscriber(LevelSwitch::new(level), format, fixed_clock, Arc::clone(&sink)),
            story,
        );
        sink.close();
        writer.join().unwrap()
    });
    String::from_utf8(written).unwrap()
}

fn kask() -> Format {
    Format::Kask { appname: "sess\"ions".to_owned() }
}

fn levels(level: LogLevel, story: impl FnOnce()) -> Vec<String> {
    let lines = logged(level, kask(), story);
    let level = |line: &str| serde_json::from_str::<Value>(line).unwrap()["level"].as_str().unwrap().to_owned();
    lines.lines().map(level).collect()
}

#[test]
fn a_line_is_kasks_in_kasks_order() {
    let line = logged(LogLevel::Info, kask(), || info!(port = 8081, kept = true, name = "n1", "listening"));
    assert_eq!(
        line,
        "{\"msg\":\"listening\",\"appname\":\"sess\\\"ions\",\"time\":\"2033-05-18T03:33:20.789Z\",\"level\":\"INFO\",\
         \"request_id\":\"00000000-0000-0000-0000-000000000000\",\"port\":8081,\"kept\":true,\"name\":\"n1\"}\n"
    );
}

#[test]
fn whatever_is_logged_comes_back_out_of_one_line() {
    let nasty = "a \"quoted\"\nline\r\n\tand \\ \u{1b}[31m \u{0} \u{7f} é 🦪 \u{2028}</script>";
    let cause = anyhow::Error::msg(nasty).context("outer");
    let lines = logged(LogLevel::Info, kask(), || {
        info!(text = nasty, debug = ?[nasty], ratio = 0.5, nan = f64::NAN, big = u64::MAX, neg = -1, "{nasty}");
        let cause: &(dyn std::error::Error + 'static) = cause.as_ref();
        warn!(error = cause, level = 3, msg = "mine", "second");
    });
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["msg"], &lines[0]["text"]), (&json!(nasty), &json!(nasty)));
    assert_eq!(lines[0]["debug"], json!(format!("{:?}", [nasty])));
    assert_eq!((&lines[0]["ratio"], &lines[0]["nan"]), (&json!(0.5), &Value::Null));
    assert_eq!((&lines[0]["big"], &lines[0]["neg"]), (&json!(u64::MAX), &json!(-1)));
    assert_eq!(lines[1]["error"], json!(format!("outer: {nasty}")));
    assert_eq!((&lines[1]["level"], &lines[1]["level_"]), (&json!("WARNING"), &json!(3)));
    assert_eq!((&lines[1]["msg"], &lines[1]["msg_"]), (&json!("second"), &json!("mine")));
}

#[test]
fn the_request_id_is_that_of_the_event_or_of_the_nearest_span() {
    let lines = logged(LogLevel::Info, kask(), || {
        let outer = info_span!("request", request_id = "outer", other = 1).entered();
        info!("a");
        let inner = error_span!("step", request_id = tracing::field::Empty);
        inner.in_scope(|| info!("b"));
        inner.record("request_id", "inner");
        inner.in_scope(|| info!("c"));
        inner.in_scope(|| info!(request_id = %"own", "d"));
        inner.in_scope(|| info!(request_id = "", "e"));
        drop(outer);
        info!("f");
    });
    let ids: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["request_id"].clone()).collect();
    assert_eq!(ids, ["outer", "outer", "inner", "own", "inner", "00000000-0000-0000-0000-000000000000"]);
}

#[test]
fn the_level_decides_what_is_heard_and_libraries_are_never_heard_below_info() {
    let story = || {
        trace!("trace");
        debug!("debug");
        info!("info");
        warn!("warning");
        error!(fatal = false, "error");
        error!(fatal = true, "fatal");
    };
    // No writer runs, so a fatal line waits in vain; its patience is part of the story.
    for (level, heard) in
        [(LogLevel::Debug, vec!["DEBUG", "INFO", "WARNING", "ERROR", "FATAL"]), (LogLevel::Fatal, vec!["FATAL"])]
    {
        assert_eq!(levels(level, story), heard, "{level}");
    }
    let library = || {
        debug!(target: "openraft::core", "debug");
        info!(target: "hyper", "info");
        warn!(target: "fjall::journal", "warning");
        error!(target: "h2", "error");
    };
    for (level, heard) in [
        (LogLevel::Debug, vec!["INFO", "WARNING", "ERROR"]),
        (LogLevel::Info, vec!["WARNING", "ERROR"]),
        (LogLevel::Warning, vec!["WARNING", "ERROR"]),
        (LogLevel::Error, vec!["ERROR"]),
        (LogLevel::Fatal, vec![]),
    ] {
        assert_eq!(levels(level, library), heard, "{level}");
    }
    let own = || {
        info!(target: "sessile_store::log", "info");
        warn!(target: "sessile", "warning");
    };
    assert_eq!(levels(LogLevel::Info, own), ["INFO", "WARNING"]);
    assert_eq!(levels(LogLevel::Warning, own), ["WARNING"]);
    let line = logged(LogLevel::Info, kask(), || warn!(target: "openraft::core", "lost"));
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["target"], "openraft::core");
}

#[test]
fn a_library_that_tries_in_vain_or_was_stopped_fills_no_log() {
    let library = || {
        warn!(target: "openraft::core::raft_core", "timeout while requesting pre-vote");
        error!(target: "openraft::raft::stream_append", "RaftCore stopped");
        error!(target: "openraft::raft::raft_inner", "failed to send to RaftCore: stopped");
        error!(target: "openraft::core::raft_core", "a fault of the storage");
    };
    assert_eq!(logged(LogLevel::Info, kask(), library).matches("a fault of the storage").count(), 1);
    assert_eq!(levels(LogLevel::Info, library), ["ERROR"]);
}

#[test]
fn what_speaks_through_the_log_crate_is_heard_by_the_same_rules() {
    use tracing_log::log::{self, Log};
    let say = |target: &str, level: log::Level| {
        let arguments = format_args!("said by {target}");
        let record = log::Record::builder().target(target).level(level).line(Some(7)).args(arguments).build();
        LogTracer::new().log(&record);
    };
    let line = logged(LogLevel::Debug, kask(), || {
        say("fjall::journal", log::Level::Warn);
        say("lsm_tree", log::Level::Debug);
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line.as_object().unwrap().len(), 6);
    assert_eq!((&line["msg"], &line["target"]), (&json!("said by fjall::journal"), &json!("fjall::journal")));
}

#[test]
fn a_long_text_is_cut_so_that_the_line_stays_whole() {
    let long = "é".repeat(100_000);
    let line = logged(LogLevel::Info, kask(), || info!(text = long, debug = ?long, "{long}"));
    assert!(line.len() < 3 * 9 * 1024, "{}", line.len());
    let line: Value = serde_json::from_str(&line).unwrap();
    for name in ["msg", "text", "debug"] {
        assert!(line[name].as_str().unwrap().ends_with("é…"), "{name}");
    }
}

#[test]
fn people_read_plain_lines_that_no_message_can_break() {
    let lines = logged(LogLevel::Info, Format::Plain, || {
        info!(url = "http://127.0.0.1:8081/", nodes = 1, why = "two words", none = "", steers = "\u{9b}2J", "ready");
        warn!(request_id = "r1", "a\nb \u{1b}[31m é");
    });
    assert_eq!(
        lines,
        "03:33:20 INFO ready url=http://127.0.0.1:8081/ nodes=1 why=\"two words\" none=\"\" steers=\"\\u{9b}2J\"\n\
         03:33:20 WARNING a\\nb \\u{1b}[31m é request_id=r1\n"
    );
}
