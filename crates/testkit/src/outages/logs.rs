//! What the nodes said of a replay in their logs.

use serde_json::{Map, Value};

use super::wall;

/// What stands before a line's own fields, and needs no telling.
const FRAME: [&str; 5] = ["msg", "appname", "time", "level", "request_id"];
/// Ids are shown as `sessile status` does in a table.
const ID_DIGITS: usize = 32;
const SHOWN_DIGITS: usize = 8;
/// A value of a field that is longer is left out: it is a list of addresses or of settings. So is the path of a directory
/// that is gone by then.
const SHOWN_VALUE: usize = 60;

/// What a library said is marked with where.
const LIBRARY: &str = "target";

/// A node's log of a replay.
#[derive(Debug, PartialEq)]
pub(super) struct Log {
    pub(super) said: Vec<Said>,
    /// How many lines more are of libraries.
    pub(super) of_libraries: usize,
}

/// What a node said, and when: seconds since the beginning.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) at: f64,
    pub(super) words: String,
}

/// Of a node's log, what it said since `begin`: one sentence each, with what belongs to it.
pub(super) fn since(begin: f64, log: &str) -> Log {
    let lines = log.lines().filter_map(|line| {
        let line: Map<String, Value> = serde_json::from_str(line).ok()?;
        let at = wall::parse(line.get("time")?.as_str()?)? - begin;
        (at >= 0.0).then_some((at, line))
    });
    let (libraries, own): (Vec<_>, Vec<_>) = lines.partition(|(_, line)| line.contains_key(LIBRARY));
    let said = own.iter().filter_map(|(at, line)| Some(Said { at: *at, words: sentence(line)? })).collect();
    Log { said, of_libraries: libraries.len() }
}

fn sentence(line: &Map<String, Value>) -> Option<String> {
    let level = line.get("level")?.as_str()?;
    let mut words = if level == "INFO" { String::new() } else { format!("{level}: ") };
    words += line.get("msg")?.as_str()?;
    let fields = line.iter().filter(|(name, _)| !FRAME.contains(&name.as_str())).filter_map(|(name, value)| {
        let value = shown(value);
        let is_path = value.starts_with('/');
        (!is_path && value.chars().count() <= SHOWN_VALUE).then(|| format!("{name}={value}"))
    });
    let fields: Vec<_> = fields.collect();
    if !fields.is_empty() {
        words += &format!(" ({})", fields.join(" "));
    }
    Some(words)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(id) if id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            id[..SHOWN_DIGITS].to_owned()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_told_in_sentences() {
        let log = concat!(
            r#"{"msg":"before","appname":"sessile","time":"1970-01-01T00:00:09Z","level":"INFO","request_id":"-"}"#,
            "\nno JSON\n",
            r#"{"msg":"a new leader is known","appname":"sessile","time":"1970-01-01T00:00:12Z","level":"INFO","#,
            r#""request_id":"-","leader":"00112233445566778899aabbccddeeff","dir":"/tmp/x","term":3}"#,
            "\n",
            r#"{"msg":"tried","time":"1970-01-01T00:00:12Z","level":"WARNING","target":"openraft::core"}"#,
            "\n",
            r#"{"msg":"it is full","appname":"sessile","time":"1970-01-01T00:00:13Z","level":"WARNING","request_id":"-"}"#,
        );
        let said = vec![
            Said { at: 2.0, words: "a new leader is known (leader=00112233 term=3)".into() },
            Said { at: 3.0, words: "WARNING: it is full".into() },
        ];
        assert_eq!(since(10.0, log), Log { said, of_libraries: 1 });
    }
}
