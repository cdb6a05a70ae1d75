//! What the status page and the runbook are made of. Whatever comes from elsewhere goes through [`escaped`].

/// The style sheet of both.
pub(crate) const STYLE: &str = include_str!("page/style.css");

/// A whole page: `head` stands behind the style sheet, `body` is all that is shown.
pub(crate) fn whole(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<link rel=\"icon\" \
         href=\"data:,\">\n<style>{STYLE}</style>\n{head}</head>\n<body>\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

/// A part of a page under a heading.
pub(crate) fn section(id: &str, title: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
    )
}

/// A row of a table: cells of markup. One with an id stays the same row for a browser when others come and go.
pub(crate) struct Row {
    pub(crate) id: Option<String>,
    pub(crate) cells: Vec<String>,
}

/// A table of cells that are markup already, which a narrow screen shows as a list, a row an entry. That takes the roles of a
/// table away from the elements, so they are said.
pub(crate) fn table(label: &str, headings: &[&str], rows: impl IntoIterator<Item = Row>) -> String {
    let head = |heading: &&str| format!("<th scope=\"col\" role=\"columnheader\">{heading}</th>");
    let head: String = headings.iter().map(head).collect();
    let row = |Row { id, cells }: Row| {
        let id = id.map(|id| format!(" id=\"{}\"", escaped(&id))).unwrap_or_default();
        let mut row = format!("<tr role=\"row\"{id}>");
        for (at, (cell, heading)) in cells.iter().zip(headings).enumerate() {
            row += &match at {
                0 => format!("<th scope=\"row\" role=\"rowheader\">{cell}</th>"),
                _ => format!("<td role=\"cell\" data-label=\"{heading}\">{cell}</td>"),
            };
        }
        row + "</tr>\n"
    };
    let rows: String = rows.into_iter().map(row).collect();
    format!(
        "<div class=\"wide\" role=\"group\" aria-label=\"{label}\" tabindex=\"0\">\n<table role=\"table\" \
         aria-label=\"{label}\">\n<thead role=\"rowgroup\">\n<tr role=\"row\">{head}</tr>\n</thead>\n<tbody \
         role=\"rowgroup\">\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

/// Text that is nothing but text, within an element or an attribute's quotation marks.
pub(crate) fn escaped(text: &str) -> String {
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
