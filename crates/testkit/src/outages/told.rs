use std::fmt::{self, Write as _};

use super::alerts::Alert;
use super::logs::{Log, Said};
use super::promises::Promises;
use super::timeline::Timeline;
use crate::Report;

/// How many lines of each node's log are shown.
const SHOWN_LINES: usize = 16;

/// A replay, to be read and looked at.
#[derive(Debug)]
pub struct Told {
    pub(super) title: &'static str,
    pub(super) about: Vec<String>,
    pub(super) report: Report,
    pub(super) timeline: Timeline,
    pub(super) logs: Vec<(String, Log)>,
    pub(super) promises: Promises,
}

impl Told {
    pub(super) fn named(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    /// As a picture: SVG, for light and dark.
    pub fn drawing(&self) -> String {
        self.timeline.draw(self.title)
    }

    /// The promises that were broken, a sentence each.
    pub fn broken(&self) -> Vec<String> {
        self.promises.broken()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        for line in &self.about {
            writeln!(f, "{line}")?;
        }
        write!(f, "\n{}", self.report)?;
        write!(f, "\nWhich alerts fired\n{}", table(&self.timeline.alerts))?;
        writeln!(f, "\nWhat the logs said")?;
        for (name, log) in &self.logs {
            f.write_str(&excerpt(name, log))?;
        }
        write!(f, "\nWhat was promised\n{}", self.promises)
    }
}

fn table(alerts: &[Alert]) -> String {
    let mut table = String::from("     since     fired     ended            alert\n");
    for Alert { name, of, pages, pending, fired, ended } in alerts {
        let ended = ended.map_or("goes on".to_owned(), |ended| format!("{ended:.0} s"));
        let severity = if *pages { "page" } else { "ticket" };
        // A String takes all that is written to it.
        let _ = writeln!(table, "  {pending:>6.0} s  {fired:>6.0} s  {ended:>8}  {severity:6}  {name} {of}");
    }
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// The first lines of a node, and how many more there were.
fn excerpt(name: &str, Log { said, of_libraries }: &Log) -> String {
    let mut text = format!("  {name}\n");
    if said.is_empty() {
        text += "            nothing\n";
    }
    for Said { at, words } in &said[..said.len().min(SHOWN_LINES)] {
        let _ = writeln!(text, "  {at:>6.0} s  {words}");
    }
    if said.len() > SHOWN_LINES {
        let _ = writeln!(text, "            and {} more", said.len() - SHOWN_LINES);
    }
    if *of_libraries > 0 {
        let _ = writeln!(text, "            and {of_libraries} lines of libraries");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_and_logs_are_told_in_lines() {
        let alert = |of: &str, pages, ended| Alert {
            name: "SessileNodeDown".into(),
            of: of.into(),
            pages,
            pending: 30.0,
            fired: 45.0,
            ended,
        };
        assert_eq!(
            table(&[alert("n1", false, Some(90.4)), alert("", true, None)]),
            "     since     fired     ended            alert\n\
             \x20     30 s      45 s      90 s  ticket  SessileNodeDown n1\n\
             \x20     30 s      45 s   goes on  page    SessileNodeDown\n"
        );
        let said: Vec<_> = (0..20).map(|nth| Said { at: f64::from(nth), words: format!("word {nth}") }).collect();
        let told = excerpt("n1", &Log { said, of_libraries: 7 });
        assert!(told.starts_with("  n1\n       0 s  word 0\n"), "{told}");
        assert!(
            told.ends_with("      15 s  word 15\n            and 4 more\n            and 7 lines of libraries\n"),
            "{told}"
        );
    }
}
