use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use sessile_store::NodeId;

use crate::timing::Timing;

/// So many answers in a row are late before a voter is said to be far away: one may wait for a connection or a processor.
const ENOUGH: usize = 8;

/// How far away the other voters are, and how far each was told that they are.
#[derive(Default)]
pub(super) struct Distances(Mutex<BTreeMap<NodeId, Distance>>);

#[derive(Default)]
struct Distance {
    /// How long the last answers took.
    answers: VecDeque<Duration>,
    /// What is wrong with it, as a sentence each.
    too_far: Option<String>,
    differs: Option<String>,
}

impl Distances {
    /// A voter has answered in so long, and says what its `cluster.max_rtt_ms` is (0 if it does not). Returns what is news.
    pub(super) fn answered(&self, voter: NodeId, name: &str, took: Duration, its: u32, own: Timing) -> Vec<String> {
        let mut distances = self.0.lock();
        let known = distances.entry(voter).or_default();
        known.answers.push_back(took);
        if known.answers.len() > ENOUGH {
            known.answers.pop_front();
        }
        let least = known.answers.iter().min().copied().unwrap_or_default();
        let set = own.max_rtt().as_millis();
        let is_too_far = known.answers.len() == ENOUGH && least > own.far();
        let too_far = is_too_far.then(|| {
            let least = least.as_millis();
            format!(
                "{name} answers after {least} ms at best, and cluster.max_rtt_ms is {set}: what is asked of it may be given \
                 up too early, elections and writes among that; set it to what the network needs, on every node"
            )
        });
        let differs = (its != 0 && u128::from(its) != set).then(|| {
            format!(
                "cluster.max_rtt_ms of {name} is {its}, and this node's is {set}: whoever leads goes by its own; set the \
                 same on every node"
            )
        });
        let mut news: Vec<String> = too_far.clone().filter(|_| known.too_far.is_none()).into_iter().collect();
        news.extend(differs.clone().filter(|_| known.differs != differs));
        (known.too_far, known.differs) = (too_far, differs);
        news
    }

    /// Forgets who is no voter any more.
    pub(super) fn retain(&self, is_voter: impl Fn(NodeId) -> bool) {
        self.0.lock().retain(|&node, _| is_voter(node));
    }

    pub(super) fn sentences(&self) -> Vec<String> {
        let distances = self.0.lock();
        distances.values().flat_map(|known| [&known.too_far, &known.differs]).flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_voter_that_is_further_than_was_set_is_named_once_and_until_it_is_near() {
        let (distances, own, n2) = (Distances::default(), Timing::default(), NodeId::from(2));
        let answered = |took| distances.answered(n2, "n2", millis(took), 40, own);
        let news = [180, 90, 84, 95, 91, 96, 93, 97, 91].map(|took| answered(took).len());
        assert_eq!(news, [0, 0, 0, 0, 0, 0, 0, 1, 0]);
        let said = distances.sentences();
        assert!(said[0].starts_with("n2 answers after 84 ms at best, and cluster.max_rtt_ms is 40: "), "{said:?}");
        assert_eq!(answered(48).len() + distances.sentences().len(), 0, "as far as was set, and a little");
        assert!((1..ENOUGH).all(|_| answered(400).is_empty()), "late for a while");
        assert_eq!(answered(400).len(), 1);
        distances.retain(|_| false);
        assert!(answered(84).is_empty() && distances.sentences().is_empty());
    }

    #[test]
    fn voters_with_another_setting_are_named() {
        let (distances, own, n2) = (Distances::default(), Timing::of(millis(120)), NodeId::from(2));
        let answered = |its| distances.answered(n2, "n2", millis(1), its, own);
        assert!(answered(0).is_empty(), "a program that does not know it");
        assert_eq!(answered(40), distances.sentences());
        assert!(distances.sentences()[0].starts_with("cluster.max_rtt_ms of n2 is 40, and this node's is 120: "));
        assert!(answered(40).is_empty(), "no news");
        assert_eq!((answered(80).len(), answered(120).len(), distances.sentences().len()), (1, 0, 0));
    }
}
