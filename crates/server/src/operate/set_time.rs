//! An operator's word for the cluster's time.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use serde_json::json;
use sessile_cluster::admin::{SetTimeRequest, SetTimeResponse};

use super::args::SetTime;
use super::remote::Remote;
use super::show::{print, say};
use crate::exit::{Failure, Status};
use crate::output;

/// What is typed at a terminal before sessions end.
const WORD: &str = "set-time";

/// `sessile cluster set-time`: asks first at a terminal, where sessions would end by it.
pub(super) async fn set_time(asked: &SetTime) -> anyhow::Result<ExitCode> {
    let node = Remote::connect(&asked.server).await?;
    let request = |only_asks| SetTimeRequest { to_ms: asked.time, force: asked.force, only_asks };
    if !asked.yes && io::stdin().is_terminal() {
        let would = node.within(node.client().set_time(request(true))).await?;
        if would.ends > 0 && !is_meant(&would, &mut io::stdin().lock()) {
            let sentence = format!("nothing was changed: {WORD} was not typed");
            return Err(Failure::new(Status::Failure, sentence).into());
        }
    }
    let answer = node.within(node.client().set_time(request(false))).await?;
    if asked.json {
        print(&format!("{:#}\n", document(&answer)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let already = if answer.changed { "" } else { "nothing to do: " };
    say(&format!("{already}{}", answer.what))
}

/// Whether whoever sits there types the word.
fn is_meant(would: &SetTimeResponse, terminal: &mut impl BufRead) -> bool {
    output::to_stderr(&format!("{}. Type {WORD} to do it: ", would.what));
    let mut typed = String::new();
    terminal.read_line(&mut typed).is_ok() && typed.trim() == WORD
}

fn document(answer: &SetTimeResponse) -> serde_json::Value {
    json!({
        "changed": answer.changed,
        "what": answer.what,
        "from_ms": answer.from_ms,
        "to_ms": answer.to_ms,
        "sessions_ended": answer.ends,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_is_taken_for_the_word() {
        let would = SetTimeResponse { what: "3 sessions would end".to_owned(), ends: 3, ..SetTimeResponse::default() };
        for (typed, meant) in
            [("set-time\n", true), (" set-time \r\n", true), ("yes\n", false), ("\n", false), ("", false)]
        {
            assert_eq!(is_meant(&would, &mut typed.as_bytes()), meant, "{typed:?}");
        }
    }
}
