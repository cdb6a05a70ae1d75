use sessile_core::RulesVersion;

use super::{Always, Seen};

/// Nobody goes by rules that its program does not know (Versions: newer rules are raised once every member knows them).
pub(in super::super) struct FollowedRules;

impl Always for FollowedRules {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        let beyond = seen.iter().find(|seen| seen.status.rules > seen.follows);
        beyond.map_or(Ok(()), |Seen { name, status, follows, .. }| {
            Err(format!("{name} goes by rules {}, and its program knows no newer ones than {follows}", status.rules))
        })
    }
}

/// Once all is mended, the newest rules are in force that every member knows.
pub(in super::super) fn newest_rules(seen: &[Seen<'_>]) -> Result<(), String> {
    let known = seen.iter().map(|seen| seen.follows).min().unwrap_or(RulesVersion::SUPPORTED);
    let lags = seen.iter().find(|seen| seen.status.rules != known);
    lags.map_or(Ok(()), |Seen { name, status, .. }| {
        Err(format!("{name} goes by rules {}, and all members know {known}", status.rules))
    })
}
