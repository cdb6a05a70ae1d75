use std::collections::BTreeMap;

use super::document::{Kind, Node};
use super::keys::OF_SESSIONS;
use super::place::{Place, path};

/// Where the values of a configuration come from: the file, the environment, or nowhere, which is a default.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<String, Place>);

impl Origins {
    /// Those of a document.
    pub(super) fn of(document: Option<&Node>) -> Self {
        let mut origins = Self::default();
        if let Some(document) = document {
            origins.look("", document);
        }
        origins
    }

    /// A configuration as it is described, with the origin of each value behind it.
    pub(super) fn annotate(&self, described: &str) -> String {
        let mut blocks: Vec<&str> = Vec::new();
        let mut text = String::new();
        for line in described.lines() {
            text += line;
            let (key, value) = line.split_once(':').unwrap_or_default();
            let name = key.trim_start();
            let is_key = !name.is_empty() && !name.starts_with(['#', '-']);
            if is_key {
                blocks.truncate((key.len() - name.len()) / 2);
                let path = path(&blocks.join("."), name);
                text += &match (self.0.get(&path), value.is_empty()) {
                    (Some(place), _) => format!("  # {place}"),
                    (None, false) => "  # default".to_owned(),
                    (None, true) => String::new(),
                };
                blocks.push(name);
            }
            text.push('\n');
        }
        text
    }

    fn look(&mut self, block: &str, node: &Node) {
        let Kind::Mapping(entries) = &node.kind else { return };
        for (key, value) in entries {
            let Kind::Scalar { text: name, .. } = &key.kind else { continue };
            let path = path(block, name);
            match &value.kind {
                Kind::Mapping(_) => self.look(&path, value),
                _ if value.is_null() => {}
                Kind::List(items) if path == "namespaces" => {
                    self.0.insert(path, value.place);
                    items.iter().for_each(|item| self.look_for_sessions(item));
                }
                _ => {
                    self.0.insert(path, value.place);
                }
            }
        }
    }

    fn look_for_sessions(&mut self, item: &Node) {
        let mut its = Self::default();
        its.look("", item);
        let Kind::Mapping(entries) = &item.kind else { return };
        // What is said of `sessions` there is described at the top.
        let text = |node: &Node, wanted: &str| matches!(&node.kind, Kind::Scalar { text, .. } if text == wanted);
        if entries.iter().any(|(key, value)| text(key, "name") && text(value, "sessions")) {
            its.0.retain(|key, _| OF_SESSIONS.contains(&&**key));
            self.0.append(&mut its.0);
        }
    }
}
