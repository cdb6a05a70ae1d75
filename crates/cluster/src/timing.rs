use std::ops::RangeInclusive;
use std::time::Duration;

/// How long everything between nodes may take, by one number: the longest round trip between two voters
/// (`cluster.max_rtt_ms`, `R` below).
///
/// Nothing is given up in less than the round trips that it needs, and what a leader's death costs is bounded by them. At the
/// default everything is as fast as on one network; a smaller number changes nothing, because processors and disks take
/// their time too.
///
/// | what | ms | at 40 | at 300 | why |
/// |---|---|---|---|---|
/// | heartbeat | 50 | 50 | 50 | or as soon as the one before is answered, where that takes longer |
/// | answer to a heartbeat | `R` + 150 | 190 | 450 | then openraft sends the next one and the answer is nobody's |
/// | election timeout, least | 2 `R` + 230 | 310 | 830 | openraft gives a vote up after it, and one that needs a connection first is answered at the next try |
/// | election timeout, most | 3 `R` + 280 | 400 | 1180 | the lease: an answer tells of the moment at which its heartbeat was sent, so it is two answers and the wait for one that is lost |
/// | first in line | 200 | 200 | 200 | how long after the lease the first voter in line campaigns; the others wait so much longer that its vote reaches them first, though they heard of the leader a heartbeat earlier |
/// | call | 3 `R` + 380 | 500 | 1280 | to connect, which takes two with TLS, and to hear an answer |
/// | round of reads | 4 `R` + 340 | 500 | 1540 | to connect to the leader and ask it, which may ask others |
/// | probe | 4 `R` + 840 | 1000 | 2040 | to connect, to prove who one is, and to hear who the other is |
/// | registration | 4 `R` + 1840 | 2000 | 3040 | to connect, and one entry of the log |
/// | answers | lease + 600 | 1000 | 1780 | a member that took a heartbeat within that time counts as one that answers |
/// | request | 25/2 `R` + 500 | 1000 | 4250 | what a request needs that meets the death of a leader: up to two round trips before it; half a one of news, lease, first in line, pre-vote and vote; and a command that another member forwards on a new connection to a leader that begins to replicate |
///
/// What needs at most three round trips and has a second or more anyway does not follow.
///
/// Members with different numbers do not endanger anything: a lease only tells a leader when to refuse writes, reads are
/// confirmed by votes, and no pause between two heartbeats (a round trip and 50 ms) is as long as the shortest silence after
/// which anybody campaigns (600 ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    max_rtt: Duration,
}

/// How often a leader is heard of.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// How long the first voter in line waits when its leader's lease has ended.
const FIRST_IN_LINE: Duration = Duration::from_millis(200);

impl Timing {
    /// What `cluster.max_rtt_ms` may be. A longer way to a voter than the upper end makes every write take half a second.
    pub const MAX_RTT_MS: RangeInclusive<u64> = 1..=400;
    /// The default of `cluster.max_rtt_ms`.
    pub const DEFAULT_MAX_RTT: Duration = Duration::from_millis(40);

    /// For voters that are so far from each other at the most.
    pub fn of(max_rtt: Duration) -> Self {
        Self { max_rtt }
    }

    /// What was set.
    pub fn max_rtt(self) -> Duration {
        self.max_rtt
    }

    /// What is reckoned with.
    fn round_trip(self) -> Duration {
        self.max_rtt.max(Self::DEFAULT_MAX_RTT)
    }

    /// How often a leader sends a heartbeat, unless the one before has no answer yet.
    pub fn heartbeat(self) -> Duration {
        HEARTBEAT
    }

    /// How long it waits for the answer.
    pub fn heartbeat_answer(self) -> Duration {
        self.round_trip() + Duration::from_millis(150)
    }

    /// Who takes longer to answer is further away than was set.
    pub(crate) fn far(self) -> Duration {
        self.round_trip() * 9 / 8 + Duration::from_millis(5)
    }

    /// Between these a node that has heard nothing since the lease draws when it campaigns.
    pub fn election_timeout(self) -> RangeInclusive<Duration> {
        self.round_trip() * 2 + Duration::from_millis(230)..=self.round_trip() * 3 + Duration::from_millis(280)
    }

    /// How long a leader takes writes after the last moment at which a quorum is known to have followed it, and how long a
    /// member that has heard of it helps nobody else to lead.
    pub fn lease(self) -> Duration {
        *self.election_timeout().end()
    }

    /// How long after it last heard of the leader the first voter in line campaigns.
    pub fn first_campaign(self) -> Duration {
        self.lease() + FIRST_IN_LINE
    }

    /// How long a vote may take. openraft waits no longer.
    pub(crate) fn vote(self) -> Duration {
        *self.election_timeout().start()
    }

    /// How much later than another a member may have last heard of a leader that is gone: by a heartbeat.
    pub(crate) fn heard_apart(self) -> Duration {
        self.round_trip() + HEARTBEAT
    }

    /// How long a leader that was removed goes on, so that the others hear that it was.
    pub(crate) fn step_down(self) -> Duration {
        self.round_trip() + Duration::from_millis(110)
    }

    /// How long a connection may take to come about, and a call that may need one.
    pub(crate) fn call(self) -> Duration {
        self.round_trip() * 3 + Duration::from_millis(380)
    }

    /// How long a node that need not be a member may take to say who it is, to one that has no connection to it.
    pub(crate) fn probe(self) -> Duration {
        self.round_trip() * 4 + Duration::from_millis(840)
    }

    /// How long the confirmation of reads may take, before those that wait for it are told to try again.
    pub(crate) fn read_round(self) -> Duration {
        self.round_trip() * 4 + Duration::from_millis(340)
    }

    /// How long one try to register this node's commands may take.
    pub(crate) fn registration(self) -> Duration {
        self.round_trip() * 4 + Duration::from_millis(1_840)
    }

    /// How old the last heartbeat that a member took may be for it to count as one that answers.
    pub(crate) fn answers(self) -> Duration {
        self.lease() + Duration::from_millis(600)
    }

    /// The shortest deadline of a request that outlasts the death of a leader.
    pub fn request(self) -> Duration {
        self.round_trip() * 25 / 2 + Duration::from_millis(500)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::of(Self::DEFAULT_MAX_RTT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [u64; 9] = [1, 20, 40, 41, 80, 120, 200, 300, 400];

    fn millis(duration: Duration) -> u128 {
        duration.as_millis()
    }

    #[test]
    fn near_nodes_are_as_fast_as_before_there_was_a_setting() {
        for near in [1, 20, 40] {
            let timing = Timing::of(Duration::from_millis(near));
            let election = timing.election_timeout();
            assert_eq!((millis(timing.heartbeat()), millis(*election.end()), millis(timing.lease())), (50, 400, 400));
            assert_eq!(millis(timing.first_campaign()), 600, "the soonest that openraft would");
            assert_eq!((millis(timing.call()), millis(timing.read_round())), (500, 500));
            assert_eq!((millis(timing.registration()), millis(timing.answers())), (2_000, 1_000));
            assert_eq!(millis(timing.step_down()), 150);
        }
        assert_eq!(Timing::default().max_rtt(), Timing::DEFAULT_MAX_RTT);
    }

    #[test]
    fn nothing_is_given_up_in_less_than_the_round_trips_that_it_needs() {
        for round_trip in ALL.map(Duration::from_millis) {
            let timing = Timing::of(round_trip);
            assert!(timing.heartbeat_answer() >= round_trip + Duration::from_millis(150));
            assert!(timing.heartbeat_answer() < timing.vote(), "as openraft wants it");
            assert!(timing.vote() > 2 * round_trip, "a connection is there at the next try, at the latest");
            assert!(timing.call() > 3 * round_trip, "to connect, and an answer");
            assert!(timing.read_round() > 4 * round_trip && timing.registration() > 5 * round_trip);
            assert!(timing.probe() > 4 * round_trip);
            let deadline = timing.request();
            assert!(timing.read_round() < deadline && timing.call() < deadline, "there is time for one more try");
        }
    }

    #[test]
    fn a_lease_outlives_a_heartbeat_whose_answer_is_lost() {
        for round_trip in ALL.map(Duration::from_millis) {
            let timing = Timing::of(round_trip);
            // Sent, answered; the next one is given up; the one after that is answered.
            let between = round_trip + timing.heartbeat() + timing.heartbeat_answer() + timing.heartbeat() + round_trip;
            assert!(timing.lease() > between, "{round_trip:?}");
        }
    }

    #[test]
    fn who_has_heard_of_the_leader_lately_refuses_a_campaign_at_once() {
        for round_trip in ALL.map(Duration::from_millis) {
            let timing = Timing::of(round_trip);
            let left = timing.lease() - (round_trip + timing.heartbeat());
            assert!(left > timing.heard_apart(), "{round_trip:?}");
            assert!(timing.heard_apart() + round_trip < timing.vote(), "the answer is waited for: {round_trip:?}");
        }
    }

    #[test]
    fn a_leaders_death_is_over_within_a_second_and_eight_round_trips() {
        for round_trip in ALL.map(Duration::from_millis) {
            let timing = Timing::of(round_trip);
            let reckoned = timing.round_trip();
            // Half a round trip of news, pre-vote and vote; the leader is known; a connection, the command, and its answer.
            let longest = timing.first_campaign() + reckoned * 6;
            assert!(longest < reckoned * 8 + Duration::from_secs(1), "{round_trip:?}");
            assert!(longest + reckoned * 2 < timing.request(), "one that was under way: {round_trip:?}");
            // A pre-vote there and back and a vote there; and what one heard later than the other.
            let reaches_all = reckoned * 3 / 2 + timing.heartbeat();
            let others = timing.lease() + *timing.election_timeout().start();
            assert!(others >= timing.first_campaign() + reaches_all, "nobody else splits the vote: {round_trip:?}");
        }
    }

    /// A leader with one setting, and a follower with another.
    #[test]
    fn no_two_settings_make_a_member_campaign_against_a_leader_that_is_well() {
        for (leads, follows) in ALL.into_iter().flat_map(|one| ALL.map(|other| (one, other))) {
            let [leads, follows] = [leads, follows].map(|millis| Timing::of(Duration::from_millis(millis)));
            let longest_pause = leads.max_rtt() + leads.heartbeat();
            assert!(longest_pause < follows.first_campaign(), "{leads:?} {follows:?}");
        }
    }
}
