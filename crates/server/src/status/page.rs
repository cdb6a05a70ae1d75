use std::fmt::Write;

use sessile_cluster::admin::StatusResponse;

use super::duration::moment;
use super::health::judge;
use super::row::{HEADINGS, row};

/// How often a browser asks again.
const REFRESH_S: u32 = 5;

/// The status page: the members, a sentence on health, and what to look at. `None` while this node has no cluster.
pub(crate) fn render(status: Option<&StatusResponse>) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta http-equiv=\"refresh\" \
         content=\"{REFRESH_S}\">\n<title>Sessile</title>\n<style>\nbody {{ font: 15px/1.5 system-ui, sans-serif; margin: \
         2em; color: #202122 }}\ntable {{ border-collapse: collapse }}\nth, td {{ text-align: left; padding: .3em 1em .3em 0; \
         border-bottom: 1px solid #c8ccd1 }}\n.healthy {{ color: #14603a }}\n.degraded, .not_ready {{ color: #7a4b00 }}\n\
         .no_quorum {{ color: #b3261e }}\n</style>\n<h1>Sessile</h1>\n"
    );
    let Some(status) = status else {
        page +=
            "<p class=\"not_ready\">not ready: this node has not begun to serve; its log says what it waits for</p>\n";
        return page;
    };
    let (health, sentence) = judge(status);
    // A String takes all that is written to it.
    let _ = writeln!(page, "<p class=\"{}\">{}</p>", health.name(), escaped(&sentence));
    for alert in &status.alerts {
        let _ = writeln!(page, "<p class=\"degraded\">alert: {}</p>", escaped(alert));
    }
    let cells = |tag: &str, texts: &[&str]| {
        let cells = texts.iter().map(|text| format!("<{tag}>{}</{tag}>", escaped(text)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let _ = write!(page, "<table>\n{}", cells("th", &HEADINGS));
    for member in &status.members {
        let row = row(status, member);
        page += &cells("td", &row.each_ref().map(String::as_str));
    }
    page += "</table>\n";
    if !status.recent_changes.is_empty() {
        let _ = write!(page, "<h2>Changes</h2>\n<table>\n{}", cells("th", &["WHEN", "WHO", "FROM", "WHAT", "RESULT"]));
        for change in status.recent_changes.iter().rev() {
            let result = change.result.as_deref().unwrap_or("not known");
            page += &cells("td", &[&moment(change.at_ms), &change.who, &change.from, &change.what, result]);
        }
        page += "</table>\n";
    }
    let name = if status.node_name.is_empty() { &status.node_id } else { &status.node_name };
    let _ = writeln!(
        page,
        "<p>Told by {}, Sessile {}, term {}, cluster {}. <a href=\"/metrics\">Metrics</a></p>",
        escaped(name),
        escaped(&status.version),
        status.term,
        escaped(&status.cluster_id)
    );
    page
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
