use std::ffi::OsString;

use super::document::{Kind, Node};
use super::fault::ConfigError;
use super::keys::{self, Key, KeyBlock, Takes};
use super::place::{Place, Variable};

/// What the environment says of the configuration: the variables that are named after keys, and others that may be meant so.
///
/// A variable holds what the file would have there, a list with commas between its items. An empty one is as good as none. It
/// goes before the file. Lists of blocks have no variable.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Those that stand for a key.
    values: Vec<(Variable, OsString)>,
    /// The names of the others.
    others: Vec<String>,
}

/// Variables that the program and its tests read for something else.
const IN_OTHER_USE: [&str; 4] = ["SESSILE_CORE_DUMPS", "SESSILE_DATA_DIR", "SESSILE_SERVER", "SESSILE_TOKEN_FILE"];

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os())
    }

    /// One that has these variables.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(Variable::PREFIX)) else { continue };
            match known().find(|(variable, _)| variable.to_string() == name) {
                Some((variable, _)) if !value.is_empty() => environment.values.push((variable, value)),
                Some(_) => {}
                None => environment.others.push(name.to_owned()),
            }
        }
        environment
    }

    /// The document of a file with these values in the place of its own.
    pub(super) fn lay_over(&self, document: Option<Node>) -> Result<Option<Node>, ConfigError> {
        let mut document = document;
        for (variable, value) in &self.values {
            let place = Place::Variable(*variable);
            let text = value.to_str().ok_or_else(|| ConfigError::at(place, "the value is not UTF-8; correct it"))?;
            let path = variable.block.split('.').filter(|part| !part.is_empty());
            let mut entries = mapping(document.get_or_insert_with(|| block(place)));
            for part in path {
                entries = entries.and_then(|entries| mapping(at(entries, part, || block(place))));
            }
            // Where the file has no block there, an error says so when it is checked.
            let (Some(entries), Some(key)) = (entries, declared(*variable)) else { continue };
            *at(entries, variable.key, || block(place)) = node(key, text, place);
        }
        Ok(document)
    }

    /// A sentence for each variable that looks like a key and is none.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let meant = |name: &String| {
            let meant = nearest(name)?;
            Some(format!(
                "`{name}` in the environment is no key of the configuration and has no effect; did you mean `{meant}`?"
            ))
        };
        self.others.iter().filter_map(meant).collect()
    }
}

/// Every variable that stands for a key.
pub(super) fn known() -> impl Iterator<Item = (Variable, &'static Key)> {
    // The keys of a list of blocks are in each of them.
    let blocks = keys::BLOCKS.iter().filter(|block| !is_list(block.name));
    blocks.flat_map(|block: &KeyBlock| {
        let values = block.keys.iter().filter(|key| key.takes.is_value());
        values.map(|key| (Variable { block: block.name, key: key.name }, key))
    })
}

fn declared(variable: Variable) -> Option<&'static Key> {
    known().find(|(known, _)| *known == variable).map(|(_, key)| key)
}

/// Whether a block is an item of a list.
fn is_list(name: &str) -> bool {
    let top = keys::block("").map_or(&[][..], |top| top.keys);
    top.iter().any(|key| key.name == name && matches!(key.takes, Takes::Blocks))
}

/// The key's value as the parser of a file would have made it.
fn node(key: &Key, text: &str, place: Place) -> Node {
    let scalar = |text: &str, quoted| Node { place, kind: Kind::Scalar { text: text.to_owned(), quoted } };
    match key.takes {
        // In quotes a number is none, and without them `null` is no text.
        Takes::Number(_) | Takes::Flag => scalar(text, false),
        Takes::Texts(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Node { place, kind: Kind::List(items.map(|item| scalar(item, true)).collect()) }
        }
        _ => scalar(text, true),
    }
}

fn block(place: Place) -> Node {
    Node { place, kind: Kind::Mapping(Vec::new()) }
}

/// The entries of a block; of one that says nothing, none yet. `None` if it is something else.
fn mapping(node: &mut Node) -> Option<&mut Vec<(Node, Node)>> {
    if node.is_null() {
        node.kind = Kind::Mapping(Vec::new());
    }
    match &mut node.kind {
        Kind::Mapping(entries) => Some(entries),
        _ => None,
    }
}

/// The value of a key, which is put there if it is absent.
fn at<'a>(entries: &'a mut Vec<(Node, Node)>, key: &str, absent: impl FnOnce() -> Node) -> &'a mut Node {
    let is_key = |(node, _): &(Node, Node)| matches!(&node.kind, Kind::Scalar { text, .. } if text == key);
    let index = entries.iter().position(is_key).unwrap_or_else(|| {
        let value = absent();
        let name = Node { place: value.place, kind: Kind::Scalar { text: key.to_owned(), quoted: true } };
        entries.push((name, value));
        entries.len() - 1
    });
    &mut entries[index].1
}

/// The variable that was probably meant by that name: one spelled alike, or one whose key has that name in another block.
fn nearest(name: &str) -> Option<String> {
    /// Of a longer name nobody meant a key, and it would cost its square to compare.
    const LONGEST: usize = 64;
    if IN_OTHER_USE.contains(&name) || is_of_kubernetes(name) || name.len() > LONGEST {
        return None;
    }
    let rest = &name[Variable::PREFIX.len()..];
    // More than a quarter wrong is another word: what is in the environment need not be meant for this program.
    let reach = (rest.len() / 4).max(1);
    let names = || known().map(|(variable, _)| variable.to_string());
    let alike = names().map(|known| (strsim::damerau_levenshtein(&known, name), known));
    let alike = alike.filter(|(distance, _)| *distance <= reach).min();
    let elsewhere = || names().find(|known| known.ends_with(&format!("_{rest}")));
    alike.map(|(_, known)| known).or_else(elsewhere)
}

/// Whether it is a variable that Kubernetes makes for a service that is called `sessile`, such as `SESSILE_SERVICE_HOST` and
/// `SESSILE_PORT_8081_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let rest = &name[Variable::PREFIX.len()..];
    rest == "PORT" || ["SERVICE_HOST", "SERVICE_PORT", "PORT_"].iter().any(|begins| rest.starts_with(begins))
}
