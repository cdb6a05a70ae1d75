use super::document::{Kind, Node};
use super::fault::{ConfigError, quoted};
use super::keys::{self, Key, KeyBlock, Takes};
use super::place::{Place, path};

/// A value, and the place to name when it is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// One block of keys: all of them known, none of them twice. What is asked of it by name is there with the right
/// type, or absent, or an error that names key and place.
#[derive(Debug)]
pub(super) struct Block<'a> {
    name: &'static str,
    place: Place,
    /// Whether the file is Kask's, which has other defaults.
    kask: bool,
    entries: Vec<(&'a str, &'a Node)>,
}

impl<'a> Block<'a> {
    /// The whole file; `None` and `~` are the empty one. A `cassandra:` block makes it Kask's.
    pub(super) fn top(document: Option<&'a Node>) -> Result<Self, ConfigError> {
        let top = Self::open("", document.filter(|node| !node.is_null()), false)?;
        Ok(Self { kask: top.has("cassandra"), ..top })
    }

    /// The block under that key of the top; an empty one when the key is absent.
    pub(super) fn block(&self, name: &'static str) -> Result<Self, ConfigError> {
        Self::open(name, self.get(name), self.kask)
    }

    /// The block under a key of this one, by its whole name; an empty one when the key is absent.
    pub(super) fn nested(&self, name: &'static str, key: &str) -> Result<Self, ConfigError> {
        Self::open(name, self.get(key), self.kask)
    }

    /// The blocks of the list under that key of the top; absent is empty.
    pub(super) fn blocks(&self, name: &'static str) -> Result<Vec<Self>, ConfigError> {
        let Some(node) = self.get(name) else { return Ok(Vec::new()) };
        let Kind::List(items) = &node.kind else { return Err(self.wrong(name, node, "a list of blocks")) };
        items.iter().map(|item| Self::open(name, Some(item), self.kask)).collect()
    }

    /// Where it begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Whether the file is Kask's.
    pub(super) fn is_kask(&self) -> bool {
        self.kask
    }

    fn open(name: &'static str, node: Option<&'a Node>, kask: bool) -> Result<Self, ConfigError> {
        let place = node.map_or(Place::Line(1), |node| node.place);
        let mut block = Self { name, place, kask, entries: Vec::new() };
        let Some(node) = node else { return Ok(block) };
        let Kind::Mapping(entries) = &node.kind else {
            let what = if name.is_empty() { "this file".to_owned() } else { format!("`{name}`") };
            let found = node.describe();
            return Err(ConfigError::at(
                node.place,
                format!("{what} must be a block of `key: value` lines, not {found}"),
            ));
        };
        for (key, value) in entries {
            let Kind::Scalar { text, .. } = &key.kind else {
                return Err(ConfigError::at(key.place, format!("a key must be a name, not {}", key.describe())));
            };
            if !keys_of(name).iter().any(|known| known.name == text) {
                return Err(ConfigError::at(key.place, block.unknown(text)));
            }
            if block.has(text) {
                let path = block.path(text);
                return Err(ConfigError::at(
                    key.place,
                    format!("`{path}` stands here a second time; keep one of them"),
                ));
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

    /// The place of the key's value; `None` if the key is not there. A key without a value has one all the same.
    pub(super) fn place_of(&self, key: &str) -> Option<Place> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| node.place)
    }

    /// The key as a person would name it: `storage.engine`.
    pub(super) fn path(&self, key: &str) -> String {
        path(self.name, key)
    }

    /// A text. As in Kask, a plain `123` or `true` is one too where a text is wanted.
    pub(super) fn text(&self, key: &str) -> Result<Option<Located<&'a str>>, ConfigError> {
        self.get(key).map(|node| text_of(node, &self.path(key))).transpose()
    }

    /// The same of a key with a default.
    pub(super) fn text_or_default(&self, key: &str) -> Result<Located<&'a str>, ConfigError> {
        let default = || Located { value: self.declared(key).default.text(self.kask), place: self.place };
        Ok(self.text(key)?.unwrap_or_else(default))
    }

    /// A word, or the key's default, as `read` reads it; what it cannot read is none of the words that are known there.
    pub(super) fn word<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        let found = self.text_or_default(key)?;
        read(found.value).ok_or_else(|| self.not_one_of(key, &found))
    }

    /// A list of texts; absent is empty.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<Located<&'a str>>, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let Kind::List(items) = &node.kind else { return Err(self.wrong(key, node, "a list of texts")) };
        items.iter().map(|item| text_of(item, &self.path(key))).collect()
    }

    /// `true` or `false`, or the key's default.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        let Some(node) = self.get(key) else { return Ok(self.declared(key).default.flag()) };
        match &node.kind {
            Kind::Scalar { text, quoted: false } if text == "true" => Ok(true),
            Kind::Scalar { text, quoted: false } if text == "false" => Ok(false),
            _ => Err(self.wrong(key, node, "true or false")),
        }
    }

    /// A whole number between the bounds that are declared for the key.
    pub(super) fn number(&self, key: &str) -> Result<Option<Located<u64>>, ConfigError> {
        let Takes::Number(number) = &self.declared(key).takes else {
            unreachable!("`{}` is not declared as a number", self.path(key));
        };
        let Some(node) = self.get(key) else { return Ok(None) };
        match &node.kind {
            Kind::Scalar { text, quoted: false } => match decimal(text).filter(|value| number.range.contains(value)) {
                Some(value) => Ok(Some(Located { value, place: node.place })),
                None => Err(self.wrong(key, node, &number.expected())),
            },
            _ => Err(self.wrong(key, node, &number.expected())),
        }
    }

    /// The same of a key with a default.
    pub(super) fn number_or_default(&self, key: &str) -> Result<u64, ConfigError> {
        let found = self.number(key)?;
        Ok(found.map_or_else(|| self.declared(key).default.number(self.kask), |found| found.value))
    }

    /// What the text of a key must be.
    pub(super) fn what(&self, key: &str) -> String {
        match &self.declared(key).takes {
            Takes::Text(what) => what(),
            _ => unreachable!("`{}` is not declared as a text", self.path(key)),
        }
    }

    /// A text that is not what the key takes.
    pub(super) fn must(&self, key: &str, found: &Located<&str>) -> ConfigError {
        ConfigError::at(found.place, format!("`{}` must be {}", self.path(key), self.what(key)))
    }

    /// A word that is none of those that are known there.
    pub(super) fn not_one_of(&self, key: &str, found: &Located<&str>) -> ConfigError {
        let Takes::Word(words) = &self.declared(key).takes else {
            unreachable!("`{}` is not declared as a word", self.path(key));
        };
        let sentence =
            format!("`{}` must be one of {}, not {}", self.path(key), words().join(", "), quoted(found.value));
        ConfigError::at(found.place, sentence)
    }

    fn wrong(&self, key: &str, node: &Node, expected: &str) -> ConfigError {
        let found = match &node.kind {
            Kind::Scalar { text, quoted: true } => format!("the quoted text {}", quoted(text)),
            Kind::Scalar { text, .. } => quoted(text),
            _ => node.describe().to_owned(),
        };
        ConfigError::at(node.place, format!("`{}` must be {expected}, not {found}", self.path(key)))
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| *node).filter(|node| !node.is_null())
    }

    fn declared(&self, key: &str) -> &'static Key {
        let declared = keys_of(self.name).iter().find(|known| known.name == key);
        declared.unwrap_or_else(|| unreachable!("`{}` is read and not declared", self.path(key)))
    }

    fn unknown(&self, key: &str) -> String {
        let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
        let advice = match nearest(self.name, key) {
            Some(path) => format!("did you mean `{path}`?"),
            None => {
                let names: Vec<_> = keys_of(self.name).iter().map(|key| key.name).collect();
                format!("known there: {}", names.join(", "))
            }
        };
        format!("unknown key {}{place}; {advice}", quoted(key))
    }
}

fn text_of<'a>(node: &'a Node, path: &str) -> Result<Located<&'a str>, ConfigError> {
    match &node.kind {
        Kind::Scalar { text, .. } => Ok(Located { value: text, place: node.place }),
        _ => Err(ConfigError::at(node.place, format!("`{path}` must be a text, not {}", node.describe()))),
    }
}

/// Decimal, with underscores between digits as Kask's parser takes them. A leading zero is refused: there it means
/// octal, which nobody means.
fn decimal(text: &str) -> Option<u64> {
    let octal = text.len() > 1 && text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') && !text.starts_with('_');
    (digits && !octal).then(|| text.replace('_', "").parse().ok()).flatten()
}

fn keys_of(block: &str) -> &'static [Key] {
    keys::block(block).map_or(&[], |block| block.keys)
}

/// The known key that was probably meant: one spelled alike in the same block, or the very same in another.
fn nearest(block: &str, key: &str) -> Option<String> {
    // More than a third wrong is another word. A very long key is none of ours and would cost its square to compare.
    let (reach, lower) = ((key.len() / 3).max(2), key.to_lowercase());
    let alike = keys_of(block)
        .iter()
        .filter(|_| key.len() <= 64)
        .map(|known| (strsim::damerau_levenshtein(known.name, &lower), known.name))
        .filter(|(distance, _)| *distance <= reach)
        .min();
    let has = |block: &&KeyBlock| block.keys.iter().any(|known| known.name == key);
    let elsewhere = || keys::BLOCKS.iter().find(has).map(|other| path(other.name, key));
    alike.map(|(_, known)| path(block, known)).or_else(elsewhere)
}
