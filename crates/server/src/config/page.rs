use std::fmt::Write;

use super::keys::{BLOCKS, Fallback, Key, KeyBlock, Takes};
use super::place::{Variable, path};
use super::{DEFAULT_FILE, environment};

const BEGINNING: &str = "\
# Configuration
<!-- Made by `sessile configuration`, of crates/server/src/config/keys. A test fails when this page is another one. -->

`sessile serve` reads one YAML file, FILE unless `--config` names another. Every key is here: what it takes, what holds without it, \
what happens at its bounds, and the variable of the environment that goes before it.

    sessile check-config FILE     # the effective values, where each comes from, or what is wrong; starts nothing
    sessile configuration         # this page, of the program that is installed

- A value that a key does not take is refused before anything happens: exit code 64, and a sentence that names the key, the line \
or the variable, and what was expected. So is a key that is not here. Both bounds of a number are allowed.
- A key that is left out, or has no value (`~`, `null`), has its default.
- A file with a block `cassandra` is Kask's: it starts a single node as it is. Where Kask's default is another one, both are told.
- A variable holds what the file would have there; a list has commas between its items. It goes before the file, an empty one is \
as good as none, and it makes the block of its key if the file has none. Only `namespaces` has no variables. They are for what \
differs from machine to machine: one file for all members, with `SESSILE_CLUSTER_NAME` and `SESSILE_CLUSTER_ADVERTISE` on each. \
A variable that looks like one of them and is none is warned of. `sessile dev` reads none of them.

";

/// `docs/configuration.md`: every key, by what it declares.
pub(crate) fn page() -> String {
    let mut text =
        BEGINNING.replace("FILE", DEFAULT_FILE).replace(&format!("check-config {DEFAULT_FILE}"), "check-config FILE");
    for block in &BLOCKS {
        add_block(&mut text, block);
    }
    text
}

fn add_block(text: &mut String, block: &KeyBlock) {
    let heading = if block.name.is_empty() { "The top".to_owned() } else { format!("`{}`", block.name) };
    // A String takes all that is written to it.
    let _ = write!(text, "## {heading}\n{}\n\n", block.words);
    for key in block.keys {
        add_key(text, block.name, key);
    }
}

fn add_key(text: &mut String, block: &str, key: &Key) {
    let _ = write!(text, "### `{}`\n{}\n\n", path(block, key.name), key.words);
    let _ = writeln!(text, "- Takes {}.", takes(&key.takes));
    if let Takes::Number(number) = &key.takes {
        let _ = writeln!(text, "- At {}: {}.", number.range.start(), number.least);
        let _ = writeln!(text, "- At {}: {}.", number.range.end(), number.most);
    }
    let _ = writeln!(text, "- Without it: {}.", fallback(&key.default));
    let variable = Variable { block: known(block), key: key.name };
    if environment::known().any(|(known, _)| known == variable) {
        let _ = writeln!(text, "- Variable: `{variable}`.");
    }
    text.push('\n');
}

/// The block's name as it is declared.
fn known(block: &str) -> &'static str {
    BLOCKS.iter().find(|known| known.name == block).map_or("", |known| known.name)
}

fn takes(takes: &Takes) -> String {
    match takes {
        Takes::Text(what) => format!("a text: {}", what()),
        Takes::Texts(what) => format!("a list of texts, each {what}"),
        Takes::Flag => "`true` or `false`".to_owned(),
        Takes::Word(words) => {
            format!("one of {}", words().iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
        }
        Takes::Number(number) => number.expected(),
        Takes::Block => "a block of keys, below".to_owned(),
        Takes::Blocks => "a list of blocks, below".to_owned(),
        Takes::Anything => "anything".to_owned(),
    }
}

fn fallback(default: &Fallback) -> String {
    match default {
        Fallback::Number(number) => format!("`{number}`"),
        Fallback::Text(text) => format!("`{text}`"),
        Fallback::Flag(flag) => format!("`{flag}`"),
        Fallback::Differs { sessile, kask } => format!("{}; in Kask's file {}", fallback(sessile), fallback(kask)),
        Fallback::Follows(words) => (*words).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_page_of_the_configuration_is_what_the_keys_say() {
        crate::golden::check("../../../../docs/configuration.md", &page());
    }

    #[test]
    fn every_key_says_what_it_means_and_no_two_share_a_variable() {
        for block in &BLOCKS {
            for (key, text) in block.keys.iter().map(|key| (key, key.words)).chain([(&block.keys[0], block.words)]) {
                assert!(text.ends_with('.') && !text.contains("  "), "{}: {text:?}", path(block.name, key.name));
            }
        }
        let mut names: Vec<_> = environment::known().map(|(variable, _)| variable.to_string()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
