//! Showing what was answered: for people a table or a sentence, for scripts JSON.

mod changes;
mod history;
mod json;
mod table;

use std::process::ExitCode;

use anyhow::Context;
use sessile_cluster::admin::{ChangeResponse, HistoryResponse, StatusResponse};

pub(super) use changes::between;

use crate::output;

/// A status as it is printed; one of several is a line, or ends with an empty one.
pub(super) fn written(status: &StatusResponse, as_json: bool, one_of_several: bool) -> String {
    match (as_json, one_of_several) {
        (true, true) => format!("{}\n", json::render(status)),
        (true, false) => format!("{:#}\n", json::render(status)),
        (false, true) => table::render(status) + "\n",
        (false, false) => table::render(status),
    }
}

/// The history of changes as it is printed.
pub(super) fn history(history: &HistoryResponse, as_json: bool) -> String {
    if as_json { format!("{:#}\n", history::document(history)) } else { history::render(history) }
}

/// What a change did, or that there was nothing to do, which is as good.
pub(super) fn told(answer: &ChangeResponse) -> anyhow::Result<ExitCode> {
    let already = if answer.changed { "" } else { "nothing to do: " };
    say(&format!("{already}{} (membership {})", answer.what, answer.membership_index))
}

pub(crate) fn say(sentence: &str) -> anyhow::Result<ExitCode> {
    print(&format!("{sentence}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    output::to_stdout(text).context(output::UNWRITABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_documents_is_one_line() {
        let status = StatusResponse { alerts: vec!["a\nb".to_owned()], ..StatusResponse::default() };
        let line = written(&status, true, true);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(written(&status, true, false).lines().count() > 1);
        assert!(written(&status, false, true).ends_with("alert: a?b\n\n"));
    }
}
