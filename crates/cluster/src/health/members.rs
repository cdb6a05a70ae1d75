use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use sessile_core::LogTime;
use sessile_store::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::alert::{Alert, AlertKind};
use crate::disk::{self, Refuses, Shortage};
use crate::group::OtherClocks;
use crate::wire::MemberReport;

/// How old a report may be for its clock and its disk to count.
pub(crate) const FRESH: Duration = Duration::from_secs(3);

/// What this node knows of the other members, from what they reported. Reports never change what is decided about
/// records; they feed the clock's median, the disk limits, the autopilot, and people.
pub(crate) struct Members {
    known: Mutex<BTreeMap<NodeId, Known>>,
    /// Counts what an onlooker would want to see: who can be reached, who started anew.
    changes: watch::Sender<u64>,
}

/// One other member.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) report: Option<MemberReport>,
    heard: Option<Instant>,
    /// Since when it answers, or does not.
    pub(crate) reachable: bool,
    since: Instant,
    pub(crate) since_wall: LogTime,
    /// How far its log is known to have reached: the lower of what it had and what was committed.
    acknowledged: u64,
    /// It started with less than that.
    pub(crate) rolled_back: Option<RolledBack>,
    /// The first log index at which its state differs from this node's.
    pub(crate) differs_at: Option<u64>,
}

/// A member whose disk shows an older image than what it had acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RolledBack {
    pub(crate) acknowledged: u64,
    pub(crate) started_with: u64,
}

/// What this node's own state is held against.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody differs, as far as indices are shared.
    Agrees,
    /// Two others agree with each other at this index, and not with this node.
    ThisNodeDiffers(u64),
}

impl Known {
    fn new(now: Instant, wall: LogTime) -> Self {
        Self {
            report: None,
            heard: None,
            reachable: false,
            since: now,
            since_wall: wall,
            acknowledged: 0,
            rolled_back: None,
            differs_at: None,
        }
    }

    /// How long ago it was heard of.
    pub(crate) fn last_contact(&self) -> Option<Duration> {
        self.heard.map(|heard| heard.elapsed())
    }

    /// How long it has answered without a gap.
    pub(crate) fn reachable_for(&self) -> Option<Duration> {
        self.reachable.then(|| self.since.elapsed())
    }

    /// How long it has not answered.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        (!self.reachable).then(|| self.since.elapsed())
    }

    fn fresh(&self) -> Option<(&MemberReport, Duration)> {
        let age = self.heard?.elapsed();
        self.report.as_ref().filter(|_| age <= FRESH).map(|report| (report, age))
    }
}

impl Members {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Changes when a member becomes reachable or stops being so, or starts anew.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes a member's report. `committed` is what this node knows to be committed. Says whether it had not answered
    /// before.
    pub(crate) fn heard(&self, member: NodeId, report: MemberReport, committed: u64, wall: LogTime) -> bool {
        let now = Instant::now();
        let mut known = self.known.lock();
        let known = known.entry(member).or_insert_with(|| Known::new(now, wall));
        let started_anew = known.report.as_ref().is_none_or(|before| before.start_id != report.start_id);
        if started_anew && report.started_with_last < known.acknowledged {
            known.rolled_back =
                Some(RolledBack { acknowledged: known.acknowledged, started_with: report.started_with_last });
        }
        known.acknowledged = known.acknowledged.max(report.last.min(committed));
        known.heard = Some(now);
        let is_back = !known.reachable;
        if is_back {
            (known.reachable, known.since, known.since_wall) = (true, now, wall);
            self.changes.send_modify(|changes| *changes += 1);
        } else if started_anew {
            (known.since, known.since_wall) = (now, wall);
            self.changes.send_modify(|changes| *changes += 1);
        }
        known.report = Some(report);
        is_back
    }

    /// A member did not answer. Says whether it had before.
    pub(crate) fn missed(&self, member: NodeId, wall: LogTime) -> bool {
        let now = Instant::now();
        let mut known = self.known.lock();
        let known = known.entry(member).or_insert_with(|| Known::new(now, wall));
        let is_gone = known.reachable;
        if is_gone {
            (known.reachable, known.since, known.since_wall) = (false, now, wall);
            self.changes.send_modify(|changes| *changes += 1);
        }
        is_gone
    }

    /// Forgets who is no member any more.
    pub(crate) fn retain(&self, is_member: impl Fn(NodeId) -> bool) {
        self.known.lock().retain(|&member, _| is_member(member));
    }

    pub(crate) fn get(&self, member: NodeId) -> Option<Known> {
        self.known.lock().get(&member).cloned()
    }

    /// What the clocks of those members show now, of those that reported lately.
    pub(crate) fn fresh_walls(&self, of: impl Fn(NodeId) -> bool) -> Vec<(NodeId, LogTime)> {
        let known = self.known.lock();
        let fresh = known.iter().filter(|(member, _)| of(**member));
        let fresh = fresh.filter_map(|(member, known)| Some((*member, known.fresh()?)));
        fresh.map(|(member, (report, age))| (member, LogTime::from_millis(report.wall_ms).after(age))).collect()
    }

    /// Where a member said last that it is reached.
    pub(crate) fn address(&self, member: NodeId) -> Option<String> {
        self.known.lock().get(&member)?.report.as_ref().map(|report| report.address.clone())
    }

    /// What that leader said lately that the replicated clock waits to show.
    pub(crate) fn clock_wants(&self, leader: NodeId) -> Option<LogTime> {
        let known = self.known.lock();
        let (report, _) = known.get(&leader).and_then(Known::fresh)?;
        report.clock_wants_ms.map(LogTime::from_millis)
    }

    /// What must be refused because one of the others has no room: by the leader's word, if another leads and
    /// said so lately; otherwise by what the voters reported lately. What was said before that counts for nothing: a voter that is gone takes no room
    /// from the others, and one whose disk was full may have been given another.
    pub(crate) fn disks_refuse(&self, leader: Option<NodeId>, is_voter: impl Fn(NodeId) -> bool) -> Refuses {
        let known = self.known.lock();
        let leaders_word = leader.and_then(|leader| {
            let (report, _) = known.get(&leader).and_then(Known::fresh)?;
            Some(Refuses::of(report.refuses_writes?, report.refuses_deletes.unwrap_or_default()))
        });
        leaders_word.unwrap_or_else(|| {
            let voters = known.iter().filter(|(member, _)| is_voter(**member)).filter_map(|(_, known)| known.fresh());
            let disks = voters.map(|(report, _)| Refuses::of(report.disk_nearly_full, report.disk_exhausted));
            disks.max().unwrap_or_default()
        })
    }

    /// The highest pressure on a disk that a voter reported lately, in thousandths.
    pub(crate) fn disk_pressure(&self, is_voter: impl Fn(NodeId) -> bool) -> u32 {
        let known = self.known.lock();
        let voters = known.iter().filter(|(member, _)| is_voter(**member)).filter_map(|(_, known)| known.fresh());
        voters.map(|(report, _)| report.disk_pressure).max().unwrap_or_default()
    }

    /// Holds this node's checksums against those that the others reported.
    pub(crate) fn compare(&self, own: &[(u64, u64)]) -> Verdict {
        let own: BTreeMap<u64, u64> = own.iter().copied().collect();
        let mut known = self.known.lock();
        let mut others: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for known in known.values_mut() {
            let Some(report) = &known.report else { continue };
            let differs = report
                .checksums
                .iter()
                .find(|theirs| own.get(&theirs.index).is_some_and(|own| *own != theirs.checksum));
            known.differs_at = differs.map(|theirs| theirs.index);
            for theirs in report.checksums.iter().filter(|theirs| own.contains_key(&theirs.index)) {
                others.entry(theirs.index).or_default().push(theirs.checksum);
            }
        }
        for (index, theirs) in others {
            let of = |one: &u64| theirs.iter().filter(|other| *other == one).count();
            let Some(mine) = own.get(&index) else { continue };
            let against = theirs.iter().filter(|one| *one != mine).map(of).max().unwrap_or(0);
            // Two that agree are evidence; as many on this node's side are as much.
            if against >= 2 && against > 1 + of(mine) {
                return Verdict::ThisNodeDiffers(index);
            }
        }
        Verdict::Agrees
    }

    /// What an operator should look at.
    pub(super) fn alerts(&self, name: impl Fn(NodeId) -> String) -> Vec<Alert> {
        let known = self.known.lock();
        let mut alerts = Vec::new();
        for (&member, known) in known.iter() {
            let name = name(member);
            if let Some(RolledBack { acknowledged, started_with }) = known.rolled_back {
                let text = format!(
                    "{name} started with entry {started_with} as its last, but had acknowledged {acknowledged}: its disk \
                     shows an older image; replace it with an empty one"
                );
                alerts.push(Alert::new(AlertKind::StateDiffers, text));
            }
            if let Some(index) = known.differs_at {
                let text =
                    format!("the state of {name} differs from this node's at entry {index}; one of them is damaged");
                alerts.push(Alert::new(AlertKind::StateDiffers, text));
            }
            if let Some((report, _)) = known.fresh() {
                let shortage = report.disk_nearly_full.then(|| (Shortage::Bytes.to_string(), report.disk_exhausted));
                let time_left = report.disk_seconds_left.map(Duration::from_secs);
                let (free, limit) = (report.disk_free_bytes, report.disk_limit_bytes);
                let alert = disk::alert(&name, shortage, report.disk_low, free, limit, time_left);
                alerts.extend(alert.map(|text| Alert::of_disk(report.disk_nearly_full, text)));
            }
        }
        alerts
    }
}

impl OtherClocks for Members {
    fn fresh(&self, of: &BTreeSet<NodeId>) -> Vec<LogTime> {
        self.fresh_walls(|member| of.contains(&member)).into_iter().map(|(_, wall)| wall).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::StateChecksum;

    use super::*;

    fn report(start_id: u64, last: u64, started_with_last: u64) -> MemberReport {
        MemberReport { start_id, last, started_with_last, ..MemberReport::default() }
    }

    fn id(number: u64) -> NodeId {
        NodeId::from(number)
    }

    #[test]
    fn a_member_whose_disk_went_back_is_named() {
        let members = Members::new();
        members.heard(id(2), report(1, 100, 0), 90, LogTime::default());
        members.heard(id(2), report(2, 95, 95), 95, LogTime::default());
        assert_eq!(members.get(id(2)).unwrap().rolled_back, None, "what was not committed may be gone");
        members.heard(id(2), report(3, 94, 94), 120, LogTime::default());
        let found = members.get(id(2)).unwrap().rolled_back;
        assert_eq!(found, Some(RolledBack { acknowledged: 95, started_with: 94 }));
        let alert = &members.alerts(|_| "n2".into())[0];
        assert!(
            alert.text.starts_with("n2 started with entry 94") && alert.kind == AlertKind::StateDiffers,
            "{alert:?}"
        );
    }

    #[test]
    fn one_that_differs_from_two_that_agree_knows_that_it_is_the_one() {
        let members = Members::new();
        let with = |checksum| MemberReport {
            checksums: vec![StateChecksum { index: 64, checksum }],
            ..MemberReport::default()
        };
        members.heard(id(2), with(7), 0, LogTime::default());
        members.heard(id(3), with(8), 0, LogTime::default());
        assert_eq!(members.compare(&[(64, 7)]), Verdict::Agrees, "three agree in twos; the other one is it");
        assert_eq!(members.get(id(3)).unwrap().differs_at, Some(64));
        assert_eq!(members.compare(&[(64, 9)]), Verdict::Agrees, "no two agree against this node");
        members.heard(id(3), with(7), 0, LogTime::default());
        assert_eq!(members.compare(&[(64, 9)]), Verdict::ThisNodeDiffers(64));
        assert_eq!(members.compare(&[(128, 9)]), Verdict::Agrees, "no index is shared");
        members.heard(id(4), with(9), 0, LogTime::default());
        assert_eq!(members.compare(&[(64, 9)]), Verdict::Agrees, "two against two: nobody stops");
        members.heard(id(5), with(7), 0, LogTime::default());
        assert_eq!(members.compare(&[(64, 7)]), Verdict::Agrees, "the majority goes on");
        assert_eq!(members.compare(&[(64, 9)]), Verdict::ThisNodeDiffers(64));
    }

    #[tokio::test(start_paused = true)]
    async fn clocks_and_disks_of_long_ago_do_not_count() {
        let members = Members::new();
        let full = MemberReport { wall_ms: 5_000, disk_nearly_full: true, ..MemberReport::default() };
        members.heard(id(2), full, 0, LogTime::default());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(members.fresh_walls(|_| true), [(id(2), LogTime::from_millis(6_000))]);
        assert!(members.disks_refuse(None, |_| true) == Refuses::Puts, "a voter");
        assert_eq!(members.disks_refuse(None, |member| member != id(2)), Refuses::Nothing, "a learner");
        tokio::time::advance(FRESH).await;
        assert!(
            members.fresh_walls(|_| true).is_empty() && members.disks_refuse(None, |_| true) == Refuses::Nothing,
            "a dead voter"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_has_the_last_word_on_room_while_it_is_heard_of() {
        let members = Members::new();
        let says = |refuses_writes, disk_nearly_full| MemberReport {
            refuses_writes,
            disk_nearly_full,
            ..MemberReport::default()
        };
        let refuses = || members.disks_refuse(Some(id(1)), |_| true) >= Refuses::Puts;
        members.heard(id(2), says(None, false), 0, LogTime::default());
        members.heard(id(1), says(Some(true), false), 0, LogTime::default());
        assert!(refuses(), "it hears of a voter that this node does not");
        members.heard(id(1), says(Some(false), false), 0, LogTime::default());
        members.heard(id(2), says(None, true), 0, LogTime::default());
        assert!(!refuses(), "what it said is as new as anything");
        members.heard(id(1), says(None, false), 0, LogTime::default());
        assert!(refuses(), "a leader of an earlier version says nothing");
        members.heard(id(1), says(Some(false), false), 0, LogTime::default());
        tokio::time::advance(FRESH + Duration::from_millis(1)).await;
        members.heard(id(2), says(None, true), 0, LogTime::default());
        assert!(refuses(), "what it said is too old");
        let used_up = MemberReport { disk_exhausted: true, ..says(None, true) };
        members.heard(id(2), used_up, 0, LogTime::default());
        assert_eq!(members.disks_refuse(Some(id(1)), |_| true), Refuses::Deletes, "what is left is for the clock");
        let leader = MemberReport { refuses_deletes: Some(false), ..says(Some(true), false) };
        members.heard(id(1), leader, 0, LogTime::default());
        assert_eq!(members.disks_refuse(Some(id(1)), |_| true), Refuses::Puts, "by the leader's word");
    }
}
