use std::ops::RangeInclusive;

use super::document::{Kind, Node};
use super::fault::{ConfigError, quoted};

/// Every block with the keys it may hold; the top has no name. A key that is not here is an error.
const BLOCKS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "service_name",
            "base_uri",
            "listen_address",
            "listen_port",
            "listen_unix",
            "listen_unix_mode",
            "listen_unix_group",
            "default_ttl",
            "max_ttl",
            "read_consistency",
            "namespaces",
            "log_level",
            "openapi_spec",
            "tls",
            "storage",
            "http",
            "shutdown",
            "cluster",
            "admin",
            "backup",
            "cassandra",
        ],
    ),
    (
        "namespaces",
        &[
            "name",
            "base_uri",
            "default_ttl",
            "max_ttl",
            "max_keys",
            "max_bytes",
            "max_value",
            "read_consistency",
            "priority",
            "renew",
        ],
    ),
    ("tls", &["cert", "key", "client_ca"]),
    ("storage", &["data_dir", "engine", "memory_mb", "cache_mb", "reserve_mb", "log_keep_minutes", "log_keep_mb"]),
    (
        "http",
        &[
            "max_value_bytes",
            "request_timeout_ms",
            "header_timeout_ms",
            "body_timeout_ms",
            "idle_timeout_ms",
            "max_connections",
            "ready_patience_ms",
        ],
    ),
    ("shutdown", &["grace_ms", "notice_ms"]),
    (
        "cluster",
        &[
            "name",
            "listen",
            "advertise",
            "seeds",
            "expect",
            "join_token_file",
            "operator_token_file",
            "plaintext",
            "listen_ms",
            "stabilise_ms",
            "dead_after_ms",
            "max_rtt_ms",
            "autopilot",
        ],
    ),
    ("admin", &["listen", "token_file", "tls"]),
    ("backup", &["directory", "every", "keep"]),
    ("admin.tls", &["cert", "key", "client_ca"]),
];

/// A value, and the line to name when it is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// One block of keys: all of them known, none of them twice. What is asked of it by name is there with the right
/// type, or absent, or an error that names key and line.
#[derive(Debug)]
pub(super) struct Block<'a> {
    name: &'static str,
    line: usize,
    entries: Vec<(&'a str, &'a Node)>,
}

impl<'a> Block<'a> {
    /// The whole file; `None` and `~` are the empty one.
    pub(super) fn top(document: Option<&'a Node>) -> Result<Self, ConfigError> {
        Self::open("", document.filter(|node| !node.is_null()))
    }

    /// The block under that key of the top; an empty one when the key is absent.
    pub(super) fn block(&self, name: &'static str) -> Result<Self, ConfigError> {
        Self::open(name, self.get(name))
    }

    /// The block under a key of this one, by its whole name; an empty one when the key is absent.
    pub(super) fn nested(&self, name: &'static str, key: &str) -> Result<Self, ConfigError> {
        Self::open(name, self.get(key))
    }

    /// The blocks of the list under that key of the top; absent is empty.
    pub(super) fn blocks(&self, name: &'static str) -> Result<Vec<Self>, ConfigError> {
        let Some(node) = self.get(name) else { return Ok(Vec::new()) };
        let Kind::List(items) = &node.kind else { return Err(self.wrong(name, node, "a list of blocks")) };
        items.iter().map(|item| Self::open(name, Some(item))).collect()
    }

    /// The line that it begins on.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    fn open(name: &'static str, node: Option<&'a Node>) -> Result<Self, ConfigError> {
        let mut block = Self { name, line: node.map_or(1, |node| node.line), entries: Vec::new() };
        let Some(node) = node else { return Ok(block) };
        let Kind::Mapping(entries) = &node.kind else {
            let what = if name.is_empty() { "this file".to_owned() } else { format!("`{name}`") };
            let found = node.describe();
            return Err(ConfigError::at(
                node.line,
                format!("{what} must be a block of `key: value` lines, not {found}"),
            ));
        };
        for (key, value) in entries {
            let Kind::Scalar { text, .. } = &key.kind else {
                return Err(ConfigError::at(key.line, format!("a key must be a name, not {}", key.describe())));
            };
            if !keys_of(name).contains(&text.as_str()) {
                return Err(ConfigError::at(key.line, block.unknown(text)));
            }
            if block.has(text) {
                let path = block.path(text);
                return Err(ConfigError::at(key.line, format!("`{path}` stands here a second time; keep one of them")));
            }
            block.entries.push((text, value));
        }
        Ok(block)
    }

    /// Its whole name; the top has none.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the key is there, with a value or without.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| *name == key)
    }

    /// The line of the key's value; `None` if the key is not there. A key without a value has one all the same.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| node.line)
    }

    /// The key as a person would name it: `storage.engine`.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// A text. As in Kask, a plain `123` or `true` is one too where a text is wanted.
    pub(super) fn text(&self, key: &str) -> Result<Option<Located<&'a str>>, ConfigError> {
        self.get(key).map(|node| text_of(node, &self.path(key))).transpose()
    }

    /// A list of texts; absent is empty.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<Located<&'a str>>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let Kind::List(items) = &node.kind else { return Err(self.wrong(key, node, "a list of texts")) };
        items.iter().map(|item| text_of(item, &self.path(key))).collect()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Result<Option<Located<bool>>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let value = match &node.kind {
            Kind::Scalar { text, quoted: false } if text == "true" => true,
            Kind::Scalar { text, quoted: false } if text == "false" => false,
            _ => return Err(self.wrong(key, node, "true or false")),
        };
        Ok(Some(Located { value, line: node.line }))
    }

    /// A text, or `true` or `false`, as it is written.
    pub(super) fn text_or_flag(&self, key: &str) -> Result<Option<Located<&'a str>>, ConfigError> {
        match self.get(key) {
            Some(Node { kind: Kind::Scalar { text, .. }, line }) => {
                Ok(Some(Located { value: text.as_str(), line: *line }))
            }
            Some(node) => Err(self.wrong(key, node, "a word")),
            None => Ok(None),
        }
    }

    /// A whole number in that range; `unit` is its plural (`seconds`), or empty where it only counts.
    pub(super) fn number(
        &self,
        key: &str,
        unit: &str,
        range: &RangeInclusive<u64>,
    ) -> Result<Option<Located<u64>>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let of = if unit.is_empty() { String::new() } else { format!(" of {unit}") };
        let expected = format!("a whole number{of} from {} to {}", range.start(), range.end());
        match &node.kind {
            Kind::Scalar { text, quoted: false } => match decimal(text).filter(|value| range.contains(value)) {
                Some(value) => Ok(Some(Located { value, line: node.line })),
                None => Err(self.wrong(key, node, &expected)),
            },
            _ => Err(self.wrong(key, node, &expected)),
        }
    }

    fn wrong(&self, key: &str, node: &Node, expected: &str) -> ConfigError {
        let found = match &node.kind {
            Kind::Scalar { text, quoted: true } => format!("the quoted text {}", quoted(text)),
            Kind::Scalar { text, .. } => quoted(text),
            _ => node.describe().to_owned(),
        };
        ConfigError::at(node.line, format!("`{}` must be {expected}, not {found}", self.path(key)))
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| *node).filter(|node| !node.is_null())
    }

    fn unknown(&self, key: &str) -> String {
        let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
        let advice = match nearest(self.name, key) {
            Some(path) => format!("did you mean `{path}`?"),
            None => format!("known there: {}", keys_of(self.name).join(", ")),
        };
        format!("unknown key {}{place}; {advice}", quoted(key))
    }
}

fn text_of<'a>(node: &'a Node, path: &str) -> Result<Located<&'a str>, ConfigError> {
    match &node.kind {
        Kind::Scalar { text, .. } => Ok(Located { value: text, line: node.line }),
        _ => Err(ConfigError::at(node.line, format!("`{path}` must be a text, not {}", node.describe()))),
    }
}

/// Decimal, with underscores between digits as Kask's parser takes them. A leading zero is refused: there it means
/// octal, which nobody means.
fn decimal(text: &str) -> Option<u64> {
    let octal = text.len() > 1 && text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') && !text.starts_with('_');
    (digits && !octal).then(|| text.replace('_', "").parse().ok()).flatten()
}

fn keys_of(block: &str) -> &'static [&'static str] {
    BLOCKS.iter().find(|(name, _)| *name == block).map_or(&[], |(_, keys)| keys)
}

/// The known key that was probably meant: one spelled alike in the same block, or the very same in another.
fn nearest(block: &str, key: &str) -> Option<String> {
    let path = |block: &str, key: &str| if block.is_empty() { key.to_owned() } else { format!("{block}.{key}") };
    // More than a third wrong is another word. A very long key is none of ours and would cost its square to compare.
    let (reach, lower) = ((key.len() / 3).max(2), key.to_lowercase());
    let alike = keys_of(block)
        .iter()
        .filter(|_| key.len() <= 64)
        .map(|known| (strsim::damerau_levenshtein(known, &lower), *known))
        .filter(|(distance, _)| *distance <= reach)
        .min();
    let elsewhere = || BLOCKS.iter().find(|(_, keys)| keys.contains(&key)).map(|(other, _)| path(other, key));
    alike.map(|(_, known)| path(block, known)).or_else(elsewhere)
}
