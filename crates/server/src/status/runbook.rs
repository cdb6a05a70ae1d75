//! The runbook as a page of the node: it is there when nothing else is, and of the same version.

use super::markup::{escaped, whole};

/// What is written for people who look at the repository.
const RUNBOOK: &str = include_str!("../../../../docs/runbook.md");

/// What the page says of itself.
const TITLE: &str = "Runbook";

/// The runbook, with an id at each page: the name of its alert in small letters.
pub(crate) fn render() -> String {
    let mut main = String::new();
    let mut lines = RUNBOOK.lines().peekable();
    while let Some(line) = lines.next() {
        // What belongs to the same block of lines.
        let mut block = |is_part: fn(&str) -> bool| {
            let mut block = vec![line];
            block.extend(std::iter::from_fn(|| lines.next_if(|line| is_part(line))));
            block
        };
        main += &match line {
            "" => continue,
            _ if line.starts_with("    ") => code(&block(|line| line.starts_with("    "))),
            _ if line.starts_with("- ") => list(&block(|line| line.starts_with("- "))),
            _ if line.starts_with('|') => rows(&block(|line| line.starts_with('|'))),
            _ => match line.split_once(' ') {
                Some(("#", title)) => format!("<h1>{}</h1>\n", inline(title)),
                Some(("##", title)) => heading("h2", title),
                Some(("###", title)) => heading("h3", title),
                _ => format!("<p>{}</p>\n", inline(line)),
            },
        };
    }
    let pages = RUNBOOK.lines().filter_map(|line| line.strip_prefix("### "));
    let link = |name: &str| format!("<a href=\"#{}\">{}</a>\n", escaped(&name.to_lowercase()), escaped(name));
    let links: String = pages.map(link).collect();
    let body = format!(
        "<header>\n<a href=\"./\">Status of this node</a>\n</header>\n<main>\n{main}</main>\n<footer>\n<nav \
         aria-label=\"All pages of the runbook\">\n{links}</nav>\n</footer>\n"
    );
    whole(&format!("{TITLE} - Sessile"), "", &body)
}

/// A heading that links lead to by its words in small letters, as where the file is read.
fn heading(tag: &str, title: &str) -> String {
    let place = title.to_lowercase().replace(' ', "-");
    format!("<{tag} id=\"{}\">{}</{tag}>\n", escaped(&place), escaped(title))
}

fn code(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escaped(line.trim_start())).collect();
    format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", lines.join("\n"))
}

fn list(lines: &[&str]) -> String {
    let item = |line: &&str| format!("<li>{}</li>\n", inline(line.trim_start_matches("- ")));
    format!("<ul>\n{}</ul>\n", lines.iter().map(item).collect::<String>())
}

/// A table: a line of headings, a line that only divides, and the rows.
fn rows(lines: &[&str]) -> String {
    let row = |line: &str, open: &str, close: &str| {
        let cells = line.trim_matches('|').split('|').map(|cell| format!("{open}{}{close}", inline(cell.trim())));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let head = lines.first().map(|line| row(line, "<th scope=\"col\">", "</th>")).unwrap_or_default();
    let body: String = lines.iter().skip(2).map(|line| row(line, "<td>", "</td>")).collect();
    format!("<table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n")
}

/// Text with code, what is said loudly, and links. A link within the runbook leads there; of any other the words are left,
/// because a node does not have what it leads to.
fn inline(text: &str) -> String {
    let mut markup = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, from) = rest.split_at(at);
        markup += &escaped(before);
        let taken = marked(from).unwrap_or_else(|| (from[..1].to_owned(), &from[1..]));
        markup += &taken.0;
        rest = taken.1;
    }
    markup + &escaped(rest)
}

/// What stands at the beginning of a text that begins with a mark, and what is behind it.
fn marked(text: &str) -> Option<(String, &str)> {
    if let Some(behind) = text.strip_prefix('`') {
        let (code, rest) = behind.split_once('`')?;
        return Some((format!("<code>{}</code>", escaped(code)), rest));
    }
    if let Some(behind) = text.strip_prefix("**") {
        let (loud, rest) = behind.split_once("**")?;
        return Some((format!("<strong>{}</strong>", inline(loud)), rest));
    }
    let (words, behind) = text.strip_prefix('[')?.split_once("](")?;
    let (to, rest) = behind.split_once(')')?;
    let words = inline(words);
    let link = if to.starts_with('#') { format!("<a href=\"{}\">{words}</a>", escaped(to)) } else { words };
    Some((link, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_shown_and_is_nothing_but_text() {
        for (text, markup) in [
            ("a < b & `c < d`", "a &lt; b &amp; <code>c &lt; d</code>"),
            ("**Means:** `x` fails", "<strong>Means:</strong> <code>x</code> fails"),
            ("go to [SessileDown](#sessiledown).", "go to <a href=\"#sessiledown\">SessileDown</a>."),
            ("see [the rules](../deploy/prometheus/README.md)", "see the rules"),
            ("2 * 3 [or", "2 * 3 [or"),
            ("<script>", "&lt;script&gt;"),
        ] {
            assert_eq!(inline(text), markup);
        }
    }

    #[test]
    fn every_page_has_its_place_and_every_link_leads_to_one() {
        let page = render();
        let links = page.split("href=\"#").skip(1).map(|link| link.split('"').next().unwrap());
        let links: Vec<&str> = links.collect();
        assert!(links.len() > 40, "{links:?}");
        for link in links {
            assert!(page.contains(&format!(" id=\"{link}\">")), "{link}");
        }
        for left in ["**", "](", "\n#", "\n|", "- **", "<p>    "] {
            assert!(!page.replace(super::super::markup::STYLE, "").contains(left), "{left:?} was not understood");
        }
        assert!(page.contains("<pre tabindex=\"0\"><code>sessile status\nsessile cluster history</code></pre>"));
    }
}
