use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::fault::ConfigError;
use super::place::Place;

/// How deep lists and mappings may nest. The deepest known key is two levels down; a bound keeps what walks the tree
/// (and drops it) off the end of the stack.
const MAX_DEPTH: usize = 32;

/// A part of the YAML document, with the place where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// `quoted` tells `"8081"` (text) from `8081` (a number).
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    /// In the order of the file, duplicates included: below `cassandra:` nobody minds them.
    Mapping(Vec<(Node, Node)>),
    /// An alias or a tag, which is an error only for who reads it.
    Unsupported(&'static str),
}

impl Node {
    /// The document of a file; `None` when there is nothing but blanks and comments in it.
    pub(super) fn parse(yaml: &str) -> Result<Option<Self>, ConfigError> {
        let mut tree = Tree::default();
        let mut parser = Parser::new_from_str(yaml);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                ConfigError::at(error.marker().line(), format!("this is not YAML: {}; correct it", error.info()))
            })?;
            tree.take(event, span)?;
        }
        Ok(tree.root)
    }

    /// Whether the value is left out: `key:`, `key: ~` or `key: null`. Kask takes that for an absent key.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for "expected …, found …".
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { quoted: true, .. } => "a quoted text",
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Mapping(_) => "a block of keys",
            Kind::Unsupported(what) => what,
        }
    }
}

/// Builds the tree from the parser's events: what is open, innermost last.
#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    root: Option<Node>,
}

enum Open {
    List { place: Place, items: Vec<Node> },
    Mapping { place: Place, entries: Vec<(Node, Node)>, key: Option<Node> },
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), ConfigError> {
        let place = Place::Line(span.start.line());
        match event {
            Event::Scalar(text, style, _, tag) => {
                let quoted = style != ScalarStyle::Plain;
                let scalar = Kind::Scalar { text: text.into_owned(), quoted };
                let kind = if tag.is_some() { Kind::Unsupported("a tag (`!…`)") } else { scalar };
                self.place(Node { place, kind })
            }
            Event::Alias(_) => self.place(Node { place, kind: Kind::Unsupported("an alias (`*…`)") }),
            Event::SequenceStart(..) => self.descend(Open::List { place, items: Vec::new() }, place),
            Event::MappingStart(..) => self.descend(Open::Mapping { place, entries: Vec::new(), key: None }, place),
            Event::SequenceEnd | Event::MappingEnd => self.ascend(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
            Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    fn descend(&mut self, open: Open, place: Place) -> Result<(), ConfigError> {
        if self.open.len() == MAX_DEPTH {
            return Err(ConfigError::at(
                place,
                format!("this nests deeper than {MAX_DEPTH} levels; no key needs that"),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn ascend(&mut self) -> Result<(), ConfigError> {
        match self.open.pop() {
            Some(Open::List { place, items }) => self.place(Node { place, kind: Kind::List(items) }),
            Some(Open::Mapping { place, entries, .. }) => self.place(Node { place, kind: Kind::Mapping(entries) }),
            None => Ok(()),
        }
    }

    fn place(&mut self, node: Node) -> Result<(), ConfigError> {
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
            None if self.root.is_some() => {
                return Err(ConfigError::at(node.place, "a second document begins here; keep one in this file"));
            }
            None => self.root = Some(node),
        }
        Ok(())
    }
}
