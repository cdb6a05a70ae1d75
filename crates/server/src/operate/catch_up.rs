use std::time::Duration;

use sessile_cluster::admin::StatusResponse;
use tokio::time::Instant;

use super::remote::Remote;
use crate::exit::{Failure, Status};
use crate::output;

/// How often it is asked how far the learner is.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How far behind still counts as caught up: a busy log is always a few entries ahead of everybody.
const CLOSE_ENOUGH: u64 = 100;
/// How long the learner may stand still before it is not waited for any longer.
const STANDSTILL: Duration = Duration::from_secs(60);

/// How far a learner is.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// It is no member, or not yet in what the node that was asked knows.
    Unknown,
    Behind {
        applied: u64,
        lag: u64,
        answers: bool,
    },
    Done,
}

/// Waits until the member at that address has caught up, and tells how far it is whenever that changes.
pub(super) async fn watch(node: &Remote, address: &str) -> Result<(), Failure> {
    let (mut last, mut moved) = (None, Instant::now());
    loop {
        let progress = progress(&node.status().await?, address);
        if progress == Progress::Done {
            return Ok(());
        }
        if last.as_ref() != Some(&progress) {
            output::to_stderr(&format!("{address} {}\n", sentence(&progress)));
            moved = Instant::now();
            last = Some(progress);
        }
        if moved.elapsed() >= STANDSTILL {
            let sentence = format!(
                "{address} is admitted and has made no progress for {} s; see its log, and `sessile status`",
                STANDSTILL.as_secs()
            );
            return Err(Failure::new(Status::NoQuorum, sentence));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn progress(status: &StatusResponse, address: &str) -> Progress {
    let Some(member) = status.members.iter().find(|member| member.address == address) else { return Progress::Unknown };
    if member.voter || (member.reachable && member.applied > 0 && member.lag <= CLOSE_ENOUGH) {
        return Progress::Done;
    }
    Progress::Behind { applied: member.applied, lag: member.lag, answers: member.reachable }
}

fn sentence(progress: &Progress) -> String {
    match progress {
        Progress::Unknown => "is not among the members yet".to_owned(),
        Progress::Behind { answers: false, .. } => "does not answer yet".to_owned(),
        Progress::Behind { applied, lag, .. } => {
            format!("has applied {applied} of {} entries", applied.saturating_add(*lag))
        }
        Progress::Done => "has caught up".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sessile_cluster::admin::MemberStatus;

    use super::*;

    #[test]
    fn a_learner_has_caught_up_when_it_answers_and_is_close() {
        let learner = MemberStatus { address: "n4:1".to_owned(), reachable: true, ..MemberStatus::default() };
        for (member, said) in [
            (MemberStatus { address: "n5:1".to_owned(), ..learner.clone() }, "is not among the members yet"),
            (MemberStatus { reachable: false, applied: 5, ..learner.clone() }, "does not answer yet"),
            (MemberStatus { applied: 0, lag: 20, ..learner.clone() }, "has applied 0 of 20 entries"),
            (MemberStatus { applied: 5, lag: 101, ..learner.clone() }, "has applied 5 of 106 entries"),
            (MemberStatus { applied: 5, lag: 100, ..learner.clone() }, "has caught up"),
            (MemberStatus { voter: true, ..learner.clone() }, "has caught up"),
        ] {
            let status = StatusResponse { members: vec![member], ..StatusResponse::default() };
            assert_eq!(sentence(&progress(&status, "n4:1")), said);
        }
    }
}
