use serde_json::{Value, json};
use sessile_cluster::admin::{HistoryEntry, HistoryResponse};

use crate::status::duration::moment;
use crate::status::row::printable;

/// The history for people: a line for each change, the oldest first, and what came of it.
pub(crate) fn render(history: &HistoryResponse) -> String {
    if !history.kept {
        return "no history is kept: a member runs a program that cannot, or the cluster is just beginning\n"
            .to_owned();
    }
    if history.entries.is_empty() {
        return "nothing was changed so far\n".to_owned();
    }
    history.entries.iter().map(line).collect()
}

fn line(entry: &HistoryEntry) -> String {
    let from = if entry.from.is_empty() { String::new() } else { format!(" ({})", printable(&entry.from)) };
    let result = entry.result.as_deref().unwrap_or("not known: the leader went away meanwhile");
    format!(
        "{}  {}{from}: {}; {}\n",
        moment(entry.at_ms),
        printable(&entry.who),
        printable(&entry.what),
        printable(result)
    )
}

/// The history for scripts.
pub(crate) fn document(history: &HistoryResponse) -> Value {
    json!({ "kept": history.kept, "entries": history.entries.iter().map(entry).collect::<Vec<_>>() })
}

fn entry(entry: &HistoryEntry) -> Value {
    json!({
        "index": entry.index,
        "at_ms": entry.at_ms,
        "at": moment(entry.at_ms),
        "who": entry.who,
        "from": entry.from,
        "what": entry.what,
        "result": entry.result,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::status::examples::changes;

    #[test]
    fn the_history_is_what_stands_in_the_golden_files() {
        let history = HistoryResponse { entries: changes(), kept: true };
        golden::check("history/history.txt", &render(&history));
        golden::check("history/history.json", &format!("{:#}\n", document(&history)));
        assert_eq!(render(&HistoryResponse { entries: Vec::new(), kept: true }), "nothing was changed so far\n");
        assert!(render(&HistoryResponse::default()).starts_with("no history is kept"));
    }

    #[test]
    fn nothing_in_it_steers_a_terminal() {
        let mut entry = changes().remove(0);
        (entry.who, entry.what) = ("\u{1b}[31m".to_owned(), "a\nb".to_owned());
        let text = render(&HistoryResponse { entries: vec![entry], kept: true });
        assert!(!text.contains('\u{1b}') && text.lines().count() == 1, "{text:?}");
    }
}
