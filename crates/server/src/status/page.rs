//! The status page. A browser with scripts keeps it up to date where it stands; one without loads it again.

mod alerts;
mod charts;
mod members;
mod namespaces;
#[cfg(test)]
mod tests;

use sessile_cluster::admin::HistoryEntry;

use super::duration::moment;
use super::health::{Health, judge};
use super::markup::{Row, escaped, section, table, whole};
use super::quorum::who;
use super::row::printable;
use super::seen::Seen;

/// The script of the page. It asks for the page every five seconds and takes over what differs, so focus, scrolling and what
/// was unfolded stay. While the node does not answer, the sentence on health says so and since when.
pub(crate) const SCRIPT: &str = include_str!("page/script.js");

/// How often a browser without scripts loads the page.
const RELOAD_S: u32 = 5;

/// The status page. `None` while this node has no cluster.
pub(crate) fn render(seen: Option<&Seen>) -> String {
    let Some(seen) = seen else {
        let words = "not ready: this node has not begun to serve; its log says what it waits for";
        let main = health("not_ready", words, "", "");
        return page("not ready", "this node", &main, "");
    };
    let status = &seen.status;
    let (judged, sentence) = judge(status);
    let class = judged.name();
    let mut main = match status.members.is_empty() {
        // There is no quorum to speak of.
        true => health(class, &sentence, "", ""),
        false => {
            // What is bad stands among what is to be looked at. A newcomer or a change under way stands nowhere else.
            let adds = matches!(judged, Health::Healthy | Health::Degraded) && sentence.contains("; ");
            let more = if adds { &*sentence } else { "" };
            health(class, &seen.quorum.in_words(status), &who(status), more)
        }
    };
    main += &alerts::alerts(seen);
    main += &members::members(seen);
    main += &namespaces::namespaces(seen);
    main += &charts::last_hour(seen);
    main += &changes(seen);
    let name = printable(if status.node_name.is_empty() { &status.node_id } else { &status.node_name });
    let at = moment(seen.at_ms);
    let footer = format!(
        "<p>Told by {} at <time id=\"at\" datetime=\"{at}\">{at}</time>. Sessile {}, term {}, cluster {}.</p>\n",
        escaped(&name),
        escaped(&printable(&status.version)),
        status.term,
        escaped(&printable(&status.cluster_id))
    );
    page(&class.replace('_', " "), &name, &main, &footer)
}

/// How it is. The first paragraph is read aloud when it changes, and nothing else is; so no number stands in it that goes on
/// while nothing happens.
fn health(class: &str, words: &str, who: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!("<p class=\"soft\">{}</p>\n", escaped(more)) };
    let who = if who.is_empty() { String::new() } else { format!(" {}", escaped(who)) };
    format!(
        "<p id=\"health\" class=\"health {class}\" role=\"status\"><strong>{}.</strong>{who}</p>\n{more}",
        escaped(words)
    )
}

/// What changed lately, and by whom.
fn changes(seen: &Seen) -> String {
    if seen.status.recent_changes.is_empty() {
        return section("changes", "Changes", "<p>None is known.</p>\n");
    }
    let row = |change: &HistoryEntry| {
        let result = change.result.as_deref().unwrap_or("not known");
        let cells = [&moment(change.at_ms), &change.who, &change.from, &change.what, result];
        let cells = cells.map(|cell| escaped(&printable(cell))).to_vec();
        Row { id: Some(format!("change-{}", change.index)), cells }
    };
    let rows = seen.status.recent_changes.iter().rev().map(row);
    section("changes", "Changes", &table("Changes", &["When", "Who", "From", "What", "Result"], rows))
}

/// The page around what it says. The word on health comes first in the title: it is what a row of tabs shows.
fn page(health: &str, name: &str, main: &str, footer: &str) -> String {
    const PARTS: [(&str, &str); 6] = [
        ("#members", "Members"),
        ("#namespaces", "Namespaces"),
        ("#hour", "Last hour"),
        ("#changes", "Changes"),
        ("runbook", "Runbook"),
        ("metrics", "Metrics"),
    ];
    let link = |(to, name): &(&str, &str)| format!("<a href=\"{to}\">{name}</a>");
    let links: String = PARTS.iter().map(link).collect::<Vec<_>>().join("\n");
    let head = format!("<noscript><meta http-equiv=\"refresh\" content=\"{RELOAD_S}\"></noscript>\n");
    let body = format!(
        "<header>\n<h1>Sessile <span class=\"soft\">{}</span></h1>\n<nav aria-label=\"Parts of this \
         page\">\n{links}\n</nav>\n</header>\n<main>\n{main}</main>\n<footer>\n{footer}</footer>\n<script>{SCRIPT}</script>\n",
        escaped(name)
    );
    whole(&format!("{health} - {name} - Sessile"), &head, &body)
}
