//! What is said of a backup.

use std::path::Path;

use serde_json::{Value, json};
use sessile_store::{BackupSummary, NamespaceSummary, Restored};

use crate::status::duration::moment;
use crate::status::row::printable;

/// The most groups of a namespace that are shown to a person; a document has all.
const GROUPS: usize = 10;

/// That it is whole, and what it is.
pub(super) fn sentence(name: &str, of: &BackupSummary) -> String {
    let (index, taken) = (of.head.applied().map_or(0, |id| id.index), moment(of.head.taken_at_ms));
    format!(
        "{name} is whole: {} sessions, {} bytes, of cluster {} as of log index {index}, made by {} at {taken}\n",
        of.records,
        of.bytes,
        of.head.cluster,
        printable(&of.head.node),
    )
}

/// The same, with what each namespace counts.
pub(super) fn whole(name: &str, of: &BackupSummary) -> String {
    let members: Vec<String> = of
        .head
        .meta
        .last_membership
        .membership()
        .nodes()
        .map(|(node, member)| if member.name.is_empty() { node.to_string() } else { printable(&member.name) })
        .collect();
    let mut text = sentence(name, of);
    text += &format!(
        "program {}, rules {}, the cluster's time {}, members {}\n\n       KEYS         BYTES  NAMESPACE, AND ITS LARGEST GROUPS\n",
        printable(&of.head.version),
        of.rules.number(),
        moment(of.clock.as_millis()),
        members.join(", "),
    );
    for NamespaceSummary { settings, total, groups } in &of.namespaces {
        let path = settings.base_uri.as_str();
        text += &format!("{:>11}  {:>12}  {} at {path}\n", total.keys, total.bytes, settings.name.as_str());
        for (group, tally) in groups.iter().take(GROUPS) {
            let group = if group.as_str().is_empty() { "(others)".to_owned() } else { printable(group.as_str()) };
            text += &format!("{:>11}  {:>12}    {group}\n", tally.keys, tally.bytes);
        }
        if let Some(more) = groups.len().checked_sub(GROUPS).filter(|more| *more > 0) {
            text += &format!("{:>27}  and {more} groups more\n", "");
        }
    }
    text
}

/// All of that as a document.
pub(super) fn document(of: &BackupSummary) -> String {
    format!("{:#}\n", value(of))
}

fn value(of: &BackupSummary) -> Value {
    let namespace = |NamespaceSummary { settings, total, groups }: &NamespaceSummary| {
        let group = |(name, tally): &(sessile_core::GroupName, sessile_core::Tally)| json!({ "name": name.as_str(), "keys": tally.keys, "bytes": tally.bytes });
        json!({
            "name": settings.name.as_str(), "base_uri": settings.base_uri.as_str(), "keys": total.keys,
            "bytes": total.bytes, "groups": groups.iter().map(group).collect::<Vec<_>>(),
        })
    };
    json!({
        "cluster_id": of.head.cluster.to_string(),
        "log_index": of.head.applied().map(|id| id.index),
        "taken_at_ms": of.head.taken_at_ms,
        "cluster_time_ms": of.clock.as_millis(),
        "node": of.head.node,
        "version": of.head.version,
        "rules": of.rules.number(),
        "records": of.records,
        "file_bytes": of.bytes,
        "namespaces": of.namespaces.iter().map(namespace).collect::<Vec<_>>(),
    })
}

/// What was made of it, and what to do now.
pub(super) fn restored(dir: &Path, of: &Restored) -> String {
    let dir = dir.display();
    match of.replayed_to {
        Some(last) => format!(
            "{} sessions are in {dir} again, as of log index {}; node {} of cluster {} replays its log up to {last} when it \
             starts\n",
            of.summary.records,
            of.summary.head.applied().map_or(0, |id| id.index),
            of.node,
            of.cluster,
        ),
        None => format!(
            "{} sessions are in {dir}, which is the first node of the new cluster {}\nStart it with `sessile serve`. Other \
             nodes join it with empty data directories. Sessions whose time ended since {} are gone.\n",
            of.summary.records,
            of.cluster,
            moment(of.summary.clock.as_millis()),
        ),
    }
}

/// The same as a document.
pub(super) fn restored_document(of: &Restored) -> String {
    let document = json!({
        "node_id": of.node.to_string(), "cluster_id": of.cluster.to_string(), "replayed_to": of.replayed_to,
        "backup": value(&of.summary),
    });
    format!("{document:#}\n")
}
