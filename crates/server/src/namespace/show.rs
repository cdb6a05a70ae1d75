//! Showing namespaces and groups: for people tables and lines, for scripts JSON.

use serde_json::{Value, json};
use sessile_cluster::admin::{GroupStatus, NamespaceResponse, NamespaceStatus};

use crate::status::row::printable;

/// What stands between two columns.
const GAP: &str = "  ";

/// A line for each namespace.
pub(super) fn table(all: &[NamespaceStatus]) -> String {
    let headings = ["NAME", "BASE URI", "KEYS", "BYTES", "GROUPS", "MAX KEYS", "MAX BYTES", "DEFAULT TTL", "MAX TTL"];
    let row = |of: &NamespaceStatus| {
        [
            printable(&of.name),
            printable(&of.base_uri),
            of.keys.to_string(),
            of.bytes.to_string(),
            of.groups.to_string(),
            limit(of.max_keys),
            limit(of.max_bytes),
            limit(of.default_ttl_seconds),
            limit(of.max_ttl_seconds),
        ]
    };
    aligned(&headings, all.iter().map(row), 2)
}

/// A line for each thing to know of one.
pub(super) fn one(of: &NamespaceStatus) -> String {
    [
        ("name", printable(&of.name)),
        ("base URI", printable(&of.base_uri)),
        ("keys", of.keys.to_string()),
        ("bytes", of.bytes.to_string()),
        ("groups", of.groups.to_string()),
        ("default TTL", limit(of.default_ttl_seconds)),
        ("max TTL", limit(of.max_ttl_seconds)),
        ("max keys", limit(of.max_keys)),
        ("max bytes", limit(of.max_bytes)),
        ("max value", limit(of.max_value_bytes)),
        ("reads", consistency(of).to_owned()),
        ("priority", of.priority.to_string()),
        ("renew", renewal(of).to_owned()),
    ]
    .map(|(name, value)| format!("{name:<12}{value}\n"))
    .concat()
}

/// A line for each group.
pub(super) fn groups(groups: &[GroupStatus]) -> String {
    let name = |of: &GroupStatus| if of.name.is_empty() { "(none)".to_owned() } else { printable(&of.name) };
    aligned(
        &["GROUP", "KEYS", "BYTES"],
        groups.iter().map(|of| [name(of), of.keys.to_string(), of.bytes.to_string()]),
        1,
    )
}

/// An array of the namespaces.
pub(super) fn document(all: &[NamespaceStatus]) -> String {
    text(&Value::Array(all.iter().map(namespace).collect()))
}

pub(super) fn one_document(of: &NamespaceStatus) -> String {
    text(&namespace(of))
}

/// An array of the groups.
pub(super) fn groups_document(groups: &[GroupStatus]) -> String {
    let group = |of: &GroupStatus| json!({ "name": of.name, "keys": of.keys, "bytes": of.bytes });
    text(&Value::Array(groups.iter().map(group).collect()))
}

pub(super) fn done_document(done: &NamespaceResponse) -> String {
    text(&json!({ "what": done.what, "keys": done.keys, "bytes": done.bytes }))
}

fn namespace(of: &NamespaceStatus) -> Value {
    json!({
        "id": of.id,
        "name": of.name,
        "base_uri": of.base_uri,
        "keys": of.keys,
        "bytes": of.bytes,
        "groups": of.groups,
        "default_ttl": of.default_ttl_seconds,
        "max_ttl": of.max_ttl_seconds,
        "max_keys": of.max_keys,
        "max_bytes": of.max_bytes,
        "max_value": of.max_value_bytes,
        "read_consistency": consistency(of),
        "priority": of.priority,
        "renew": renewal(of),
    })
}

fn consistency(of: &NamespaceStatus) -> &'static str {
    if of.local_reads { "local" } else { "linearizable" }
}

fn renewal(of: &NamespaceStatus) -> &'static str {
    if of.renew_half { "half" } else { "never" }
}

/// A limit that is there, or that there is none.
fn limit(limit: u64) -> String {
    if limit == 0 { "-".to_owned() } else { limit.to_string() }
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Words begin under each other in the first columns, numbers end so in the others.
fn aligned<const COLUMNS: usize>(
    headings: &[&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
    words: usize,
) -> String {
    let rows: Vec<[String; COLUMNS]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < words { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> NamespaceStatus {
        NamespaceStatus {
            id: 2,
            name: "echo".to_owned(),
            base_uri: "/echoseen/v1/".to_owned(),
            max_keys: 1_000,
            keys: 3,
            bytes: 60,
            groups: 1,
            default_ttl_seconds: 60,
            ..NamespaceStatus::default()
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_and_a_document_what_scripts_rely_on() {
        let table = table(&[echo()]);
        assert_eq!(
            table,
            "NAME  BASE URI       KEYS  BYTES  GROUPS  MAX KEYS  MAX BYTES  DEFAULT TTL  MAX TTL\n\
             echo  /echoseen/v1/     3     60       1      1000          -           60        -\n"
        );
        let document: Value = serde_json::from_str(&document(&[echo()])).unwrap();
        let [only] = &document.as_array().unwrap()[..] else { panic!("{document}") };
        assert_eq!((&only["name"], &only["base_uri"]), (&json!("echo"), &json!("/echoseen/v1/")));
        assert_eq!((&only["keys"], &only["bytes"]), (&json!(3), &json!(60)));
        assert!(one(&echo()).contains("max keys    1000\n"), "{}", one(&echo()));
    }

    #[test]
    fn what_belongs_to_no_group_is_named_so() {
        let of = |name: &str, keys| GroupStatus { name: name.to_owned(), keys, bytes: 9 };
        assert_eq!(
            groups(&[of("enwiki", 12), of("", 1)]),
            "GROUP   KEYS  BYTES\nenwiki    12      9\n(none)     1      9\n"
        );
    }
}
