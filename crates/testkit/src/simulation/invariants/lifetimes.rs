use std::time::Duration;

use super::at;
use crate::simulation::clients::Lifetime;
use crate::simulation::namespaces::RENEWED;
use crate::{Action, Operation, Outcome};

/// By how much less than it was promised a lifetime may come out: time in the log may stand still for up to 5 s before
/// nothing is stamped with it, and makes up for it afterwards.
const EARLY: Duration = Duration::from_secs(7);
/// How late an expiry may show while all is well: an idle log ticks once a second.
const LATE: Duration = Duration::from_secs(3);

/// That a value may expire from its time on, and not before, as operations of nobody: with them a linearizable history is
/// one without ghosts and without sessions that ended early (No ghost; a lifetime is a lower bound).
pub(in super::super) fn expiries(lifetimes: &[Lifetime]) -> impl Iterator<Item = Operation> {
    lifetimes.iter().map(|Lifetime { key, value, asked, lasts, .. }| {
        let start = (*asked + *lasts).saturating_sub(EARLY).max(*asked);
        let (key, action) = (key.clone(), Action::Expire(*value));
        Operation { client: usize::MAX, key, action, start, end: start, outcome: Outcome::Ambiguous }
    })
}

/// Nothing outlives its time for long once all is well: of the reads after `mended` and the log's next tick, which ends what
/// has expired during an outage, none finds what has expired. Not so in the namespace whose sessions live on by being read.
pub(in super::super) fn outlived(
    operations: &[Operation],
    lifetimes: &[Lifetime],
    mended: Duration,
    max_rtt: Duration,
) -> Result<(), String> {
    let late = LATE + 2 * max_rtt;
    for operation in operations.iter().filter(|operation| operation.start > mended + late) {
        let (Outcome::Ok, Action::Get(Some(found))) = (operation.outcome, operation.action) else { continue };
        let lives = lifetimes.iter().find(|lifetime| lifetime.key == operation.key && lifetime.value == found);
        if let Some(Lifetime { answered, lasts, .. }) = lives
            && !operation.key.starts_with(RENEWED)
            && operation.start > *answered + *lasts + late
        {
            return Err(format!("{operation}\nwas to live until {}", at(*answered + *lasts)));
        }
    }
    Ok(())
}
