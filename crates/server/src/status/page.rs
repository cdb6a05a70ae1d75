use sessile_cluster::admin::{HistoryEntry, StatusResponse};

use super::duration::moment;
use super::health::judge;
use super::row::{HEADINGS, row};

/// How often a browser asks again.
const REFRESH_S: u32 = 5;

/// Light or dark, as the reader's machine is. The colours have a contrast of 4.5 to 1 at least (WCAG 2.2, 1.4.3), and
/// whatever they say is said by a word as well.
const STYLE: &str = "\
:root { color-scheme: light dark; --text: #202122; --back: #ffffff; --line: #c8ccd1; --good: #14603a; --warn: #7a4b00; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --text: #eaecf0; --back: #101418; --line: #54595d; --good: #7bd6a1; --warn: #f0b95a; --bad: #ff9c94 }
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 80rem; margin: 0 auto; padding: 1rem; color: var(--text); background: var(--back); overflow-wrap: anywhere }
a { color: inherit }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .95rem; white-space: nowrap }
th, td { text-align: left; padding: .3em 1em .3em 0; border-bottom: 1px solid var(--line) }
.health { font-size: 1.25rem }
.healthy { color: var(--good) }
.degraded, .not_ready { color: var(--warn) }
.no_quorum { color: var(--bad) }
";

/// The status page: the members, a sentence on health, and what to look at. `None` while this node has no cluster.
pub(crate) fn render(status: Option<&StatusResponse>) -> String {
    let Some(status) = status else {
        let body = "<p class=\"health not_ready\">not ready: this node has not begun to serve; its log says what it waits \
                    for</p>\n";
        return whole("not ready", body);
    };
    let (health, sentence) = judge(status);
    let mut body = format!("<p class=\"health {}\">{}</p>\n", health.name(), escaped(&sentence));
    if !status.alerts.is_empty() {
        let alert = |alert: &String| format!("<li class=\"degraded\">alert: {}</li>\n", escaped(alert));
        let alerts: String = status.alerts.iter().map(alert).collect();
        body += &format!("<h2>To look at</h2>\n<ul>\n{alerts}</ul>\n");
    }
    let members = status.members.iter().map(|member| row(status, member).map(|text| escaped(&text)).to_vec());
    body += &table("Members", &HEADINGS, members);
    if !status.recent_changes.is_empty() {
        let change = |change: &HistoryEntry| {
            let result = change.result.as_deref().unwrap_or("not known");
            [&moment(change.at_ms), &change.who, &change.from, &change.what, result].map(escaped).to_vec()
        };
        let changes = status.recent_changes.iter().rev().map(change);
        body += &table("Changes", &["WHEN", "WHO", "FROM", "WHAT", "RESULT"], changes);
    }
    let name = if status.node_name.is_empty() { &status.node_id } else { &status.node_name };
    body += &format!(
        "<p>Told by {}, Sessile {}, term {}, cluster {}. <a href=\"/metrics\">Metrics</a></p>\n",
        escaped(name),
        escaped(&status.version),
        status.term,
        escaped(&status.cluster_id)
    );
    whole(&health.name().replace('_', " "), &body)
}

/// The page around what it says. The word on health comes first in the title: it is what a row of tabs shows.
fn whole(health: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"refresh\" content=\"{REFRESH_S}\">\n\
         <title>{health} - Sessile</title>\n<style>\n{STYLE}</style>\n<main>\n<h1>Sessile</h1>\n{body}</main>\n"
    )
}

/// A table under a heading, of cells that are markup already. Where it is wider than the screen it is scrolled by itself,
/// by the keyboard too.
fn table(title: &str, headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: String = headings.iter().map(|heading| format!("<th scope=\"col\">{heading}</th>")).collect();
    let row = |cells: Vec<String>| {
        let mut row = String::from("<tr>");
        for (at, cell) in cells.iter().enumerate() {
            row += &if at == 0 { format!("<th scope=\"row\">{cell}</th>") } else { format!("<td>{cell}</td>") };
        }
        row + "</tr>\n"
    };
    let rows: String = rows.map(row).collect();
    format!(
        "<h2>{title}</h2>\n<div class=\"wide\" role=\"region\" aria-label=\"{title}\" tabindex=\"0\">\n<table>\n<thead>\n\
         <tr>{head}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

/// Text that is nothing but text, within an element.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::status::examples::{changes, cluster, without};

    #[test]
    fn the_page_is_what_stands_in_the_golden_files() {
        golden::check("status/page.html", &render(Some(&without(cluster(3), &[3]))));
        let changed = StatusResponse { recent_changes: changes(), ..cluster(1) };
        golden::check("status/page_with_changes.html", &render(Some(&changed)));
        golden::check("status/page_before.html", &render(None));
    }

    #[test]
    fn nothing_that_a_member_calls_itself_becomes_markup() {
        let evil = "<script>alert('&\"')</script>";
        let mut status = cluster(2);
        for member in &mut status.members {
            (member.name, member.address, member.version) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
        }
        status.alerts = vec![evil.to_owned()];
        status.recent_changes = changes();
        status.recent_changes[0].who = evil.to_owned();
        (status.node_name, status.version, status.cluster_id) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
        (status.waiting_for, status.ready) = (vec![evil.to_owned()], false);
        let page = render(Some(&status));
        assert!(!page.contains("<script") && !page.contains("'&\""), "{page}");
        assert!(page.matches("&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;").count() >= 9, "{page}");
    }
}
