use std::time::Duration;

use sessile_core::{LogTime, MAX_SET_AHEAD, TimeOrder, TimeRefusal};
use sessile_store::off_the_runtime;
use tokio::time::Instant;
use tonic::Status;

use super::managed::ManagedMember;
use crate::error::ClusterError;
use crate::wall_clock::in_words;
use crate::wire::{SetTimeRequest, SetTimeResponse};

/// How long the entry that moves the clock may take: one round of the log, and an election that comes in between.
const MOVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Moves the replicated clock by an operator's word, or says why not. Only where this node leads.
pub(super) async fn set_time(member: &ManagedMember, request: &SetTimeRequest) -> Result<SetTimeResponse, Status> {
    let group = &*member.group;
    let from = group.state.clock();
    let wanted = request.to_ms.map(LogTime::from_millis);
    let order = group.set_time(wanted, request.force).map_err(|refusal| refused(from, wanted, refusal))?;
    let stays =
        |what| SetTimeResponse { changed: false, what, from_ms: from.as_millis(), to_ms: from.as_millis(), ends: 0 };
    let (to, ahead) = match order {
        TimeOrder::Agrees => return Ok(stays("the cluster's time goes with its members' clocks".to_owned())),
        TimeOrder::Stands { ahead } => return Ok(stays(stands(from, ahead))),
        TimeOrder::Forward { to, ahead } => (to, ahead),
    };
    let state = group.state.clone();
    let ends = off_the_runtime(move || state.counted_until(to)).await;
    let ends = ends.map_err(|_| Status::internal("the sessions cannot be counted; see the node's log"))?;
    if !request.only_asks {
        group.move_clock(to, Instant::now() + MOVE_TIMEOUT).await.map_err(not_moved)?;
    }
    let what = moved(from, to, ahead, ends, request.only_asks);
    Ok(SetTimeResponse { changed: true, what, from_ms: from.as_millis(), to_ms: to.as_millis(), ends })
}

fn moved(from: LogTime, to: LogTime, ahead: Duration, ends: u64, would: bool) -> String {
    let (goes, end) = if would { ("would go", "would end") } else { ("went", "ended") };
    let by = to.since(from).as_secs();
    // A cluster whose time has not begun has no session either.
    let forward = if from == LogTime::default() { String::new() } else { format!(" by {by} s") };
    let mut what =
        format!("the cluster's time {goes} forward{forward}, to {}, and about {ends} sessions {end}", in_words(to));
    if ahead > Duration::ZERO {
        what += &format!(
            "; that is {} s ahead of the members' clocks: until they reach it, no session expires",
            ahead.as_secs()
        );
    }
    what
}

/// What standing still means for sessions.
fn stands(clock: LogTime, ahead: Duration) -> String {
    format!(
        "the cluster's time is {}, {} s ahead of its members' clocks, and never goes back: it stands still until they have \
         reached it, and every session that has a lifetime lives longer by what is left of that",
        in_words(clock),
        ahead.as_secs()
    )
}

fn refused(clock: LogTime, wanted: Option<LogTime>, refusal: TimeRefusal) -> Status {
    let wanted = wanted.map(in_words).unwrap_or_default();
    match refusal {
        TimeRefusal::Past { .. } => Status::failed_precondition(format!(
            "the cluster's time is {} and never goes back to {wanted}: sessions that have ended would be there again; \
             nothing was changed",
            in_words(clock)
        )),
        TimeRefusal::FarAhead { by } => Status::failed_precondition(format!(
            "{wanted} is {} s ahead of every member's clock, more than {} s: no session would expire until they reach it, and \
             the cluster's time never goes back; nothing was changed; give --force if that is meant",
            by.as_secs(),
            MAX_SET_AHEAD.as_secs()
        )),
        TimeRefusal::ClocksUnknown => Status::unavailable(
            "the clocks of a majority of the members are not known now; nothing was changed; try again in a moment",
        ),
    }
}

fn not_moved(error: ClusterError) -> Status {
    match error {
        ClusterError::NoQuorum => {
            Status::unavailable("this node leads no more; nothing was changed; try again in a moment")
        }
        _ => Status::deadline_exceeded(
            "no quorum has answered in time: the cluster's time may have been moved or not; `sessile status` shows it",
        ),
    }
}
