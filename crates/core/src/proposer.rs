use std::collections::BTreeMap;

use crate::{Outcome, ProposerId, Refusal, Register, SessionCommand};

/// The most proposers that are remembered: one a node, with room for those that were replaced.
pub const MAX_PROPOSERS: usize = 256;
/// The most outcomes remembered for one proposer. A proposer keeps at most this many commands outstanding.
pub const MAX_WINDOW_COMMANDS: usize = 4096;
/// The most bytes of outcomes remembered for one proposer before the last; values that deletes handed out count whole.
/// Together with the largest value it stays below what an engine stores in one piece.
pub const MAX_WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// What is remembered of one proposer, so that a repeated command recognises itself (Raft dissertation 6.3; RIFL).
///
/// Invariants, held by `recall` and `remember` and checked by the properties in tests/:
/// - no outcome has a number below `lowest`;
/// - there are at most [`MAX_WINDOW_COMMANDS`] outcomes, of at most [`MAX_WINDOW_BYTES`] before the last one, and the
///   outcome of the lowest command beyond them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proposer {
    incarnation: u64,
    nonce: u64,
    lowest: u64,
    outcomes: BTreeMap<u64, Outcome>,
    /// The sum of the outcomes' weights, in bytes; found anew when a stored proposer is read.
    #[serde(skip)]
    weight: usize,
}

/// What the table says of a command before it is applied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recall {
    /// It is new and its outcome can be remembered.
    New,
    /// This is what it did, or why it may not do anything.
    Answered(Outcome),
}

impl Proposer {
    fn registered(incarnation: u64, nonce: u64) -> Self {
        Self { incarnation, nonce, lowest: 1, outcomes: BTreeMap::new(), weight: 0 }
    }

    /// The log index of its registration.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// What it said when it registered.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// The lowest number that it still waits for, as far as it has said.
    pub fn lowest(&self) -> u64 {
        self.lowest
    }

    /// The outcomes that are remembered, by number.
    pub fn outcomes(&self) -> impl Iterator<Item = (u64, &Outcome)> {
        self.outcomes.iter().map(|(sequence, outcome)| (*sequence, outcome))
    }

    /// Puts a proposer together again from what the methods above told.
    pub fn from_parts(incarnation: u64, nonce: u64, lowest: u64, outcomes: BTreeMap<u64, Outcome>) -> Self {
        let weight = outcomes.values().map(Outcome::weight).sum();
        Self { incarnation, nonce, lowest, outcomes, weight }
    }

    /// How many outcomes are remembered.
    pub fn window(&self) -> usize {
        self.outcomes.len()
    }

    /// Changes nothing unless the command is new; then forgets what its proposer no longer waits for.
    fn recall(&mut self, command: &SessionCommand) -> Recall {
        let SessionCommand { incarnation, sequence, lowest_outstanding, .. } = *command;
        let refused = |refusal| Recall::Answered(Outcome::Refused(refusal));
        if incarnation != self.incarnation {
            return refused(Refusal::UnknownIncarnation { current: self.incarnation });
        }
        if sequence < self.lowest {
            return refused(Refusal::Forgotten);
        }
        if let Some(outcome) = self.outcomes.get(&sequence) {
            return Recall::Answered(outcome.clone());
        }
        if lowest_outstanding > sequence {
            return refused(Refusal::Malformed);
        }
        let lowest = self.lowest.max(lowest_outstanding);
        let (forgotten, freed) =
            self.outcomes.range(..lowest).fold((0, 0), |(n, bytes), (_, outcome)| (n + 1, bytes + outcome.weight()));
        let full = self.outcomes.len() - forgotten >= MAX_WINDOW_COMMANDS || self.weight - freed >= MAX_WINDOW_BYTES;
        // Not the lowest one: nothing could be forgotten before it is done, so refusing it would be for ever.
        if full && sequence != lowest {
            return refused(Refusal::WindowFull);
        }
        self.lowest = lowest;
        self.weight -= freed;
        for _ in 0..forgotten {
            self.outcomes.pop_first();
        }
        Recall::New
    }
}

/// Every proposer that is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proposers(BTreeMap<ProposerId, Proposer>);

impl Proposers {
    pub(crate) fn get(&self, id: ProposerId) -> Option<&Proposer> {
        self.0.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProposerId, &Proposer)> {
        self.0.iter().map(|(id, proposer)| (*id, proposer))
    }

    pub(crate) fn restore(&mut self, id: ProposerId, mut proposer: Proposer) {
        proposer.weight = proposer.outcomes.values().map(Outcome::weight).sum();
        self.0.insert(id, proposer);
    }

    /// Forgets a proposer; whether there was one.
    pub(crate) fn remove(&mut self, id: ProposerId) -> bool {
        self.0.remove(&id).is_some()
    }

    /// Registers by compare-and-set. The log index of the entry becomes the incarnation.
    pub(crate) fn register(&mut self, register: &Register, index: u64) -> Outcome {
        let current = self.0.get(&register.proposer);
        match current {
            Some(known) if known.nonce == register.nonce => {
                return Outcome::Registered { incarnation: known.incarnation };
            }
            None if self.0.len() >= MAX_PROPOSERS => return Outcome::Refused(Refusal::TooManyProposers),
            _ => {}
        }
        let current = current.map_or(0, Proposer::incarnation);
        if current != register.previous {
            return Outcome::Refused(Refusal::UnknownIncarnation { current });
        }
        self.0.insert(register.proposer, Proposer::registered(index, register.nonce));
        Outcome::Registered { incarnation: index }
    }

    pub(crate) fn recall(&mut self, command: &SessionCommand) -> Recall {
        match self.0.get_mut(&command.proposer) {
            Some(proposer) => proposer.recall(command),
            None => Recall::Answered(Outcome::Refused(Refusal::UnknownIncarnation { current: 0 })),
        }
    }

    pub(crate) fn remember(&mut self, command: &SessionCommand, outcome: &Outcome) {
        if let Some(proposer) = self.0.get_mut(&command.proposer) {
            proposer.weight += outcome.weight();
            proposer.outcomes.insert(command.sequence, outcome.clone());
        }
    }
}
