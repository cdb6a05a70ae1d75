//! Whether some order explains what clients saw of one key.

mod operation;
mod relevant;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

pub use operation::{Action, Operation, Outcome, Value};
use relevant::relevant;

/// How many operations a violation shows from before the one that cannot be explained.
const SHOWN: usize = 12;

/// An operation that no order explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// It. At its end there is no order left.
    pub operation: Operation,
    /// What the key could have held just before that end, were it not for this operation.
    pub possible: Vec<Option<Value>>,
    /// What happened to the key until then, the last operations only, by their end; it stands among them.
    pub around: Vec<Operation>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no order explains\n  {}\non {}; before it the key could hold", self.operation, self.operation.key)?;
        for (nth, value) in self.possible.iter().enumerate() {
            f.write_str(if nth == 0 { " " } else { " or " })?;
            match value {
                Some(value) => write!(f, "{value:x}")?,
                None => f.write_str("nothing")?,
            }
        }
        f.write_str(". What happened to it until then:")?;
        self.around.iter().try_for_each(|operation| write!(f, "\n  {operation}"))
    }
}

/// Looks for an order of all operations on one key that explains what each was told.
///
/// The search is that of Wing and Gong as Lowe made it practical ([Testing for linearizability], 2017; "just in time"):
/// it walks through starts and ends in the order of time and keeps every configuration that is still possible, that is,
/// what the key holds and which of the open operations have happened already. An operation is made to happen only when
/// one that ends needs it; configurations that agree are one, which is the memo.
///
/// Three rules keep them few. None of them loses an order:
/// - A read that fits happens at once: it changes nothing. So does what was refused for what the key held.
/// - Of two configurations that differ only in writes of unknown outcome, the one in which fewer have happened can do
///   whatever the other can.
/// - Of two equal writes of unknown outcome, the older one happens first; one whose value is never read never happens.
///
/// So a key costs time in proportion to its operations, times what is open at once: with `w` writes of known outcome
/// open together up to `w · 2^w`, and linear in writes of unknown outcome as long as each is read or overwritten.
///
/// [Testing for linearizability]: https://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/paper.pdf
pub fn check_key(operations: &[&Operation]) -> Result<(), Box<Violation>> {
    let relevant = relevant(operations);
    let mut search = Search::new(&relevant);
    for event in events(&relevant) {
        match event {
            Event::Start { nth, .. } => search.start(nth),
            Event::End { nth, at } => {
                search.end(nth).map_err(|possible| violation(operations, &relevant, nth, at, possible))?;
            }
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    // Starts before ends at the same time: they overlapped, as far as can be told.
    Start { nth: usize },
    End { nth: usize, at: Duration },
}

/// Starts and ends in the order of time. What has no known outcome has no end.
fn events(operations: &[&Operation]) -> impl Iterator<Item = Event> {
    let mut events = Vec::with_capacity(operations.len() * 2);
    for (nth, operation) in operations.iter().enumerate() {
        events.push((operation.start, Event::Start { nth }));
        if operation.outcome == Outcome::Ok {
            events.push((operation.end, Event::End { nth, at: operation.end }));
        }
    }
    events.sort_unstable();
    events.into_iter().map(|(_, event)| event)
}

/// One way in which things may have gone so far.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration {
    /// What the key holds.
    value: Option<Value>,
    /// Which of the open operations with an end have happened: their numbers, ascending.
    certain: Vec<usize>,
    /// The same of those without an end.
    uncertain: Vec<usize>,
}

impl Configuration {
    /// Whether it can do whatever the other can.
    fn covers(&self, other: &Self) -> bool {
        self.value == other.value
            && self.certain == other.certain
            && self.uncertain.iter().all(|nth| other.uncertain.contains(nth))
    }

    fn has_happened(&self, nth: usize) -> bool {
        self.certain.binary_search(&nth).is_ok() || self.uncertain.contains(&nth)
    }
}

struct Search<'a> {
    operations: &'a [&'a Operation],
    /// Those that have started and not ended, in the order of their start. One of unknown outcome leaves when it has
    /// happened in every configuration.
    open: Vec<usize>,
    possible: Vec<Configuration>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [&'a Operation]) -> Self {
        let nothing = Configuration { value: None, certain: Vec::new(), uncertain: Vec::new() };
        Self { operations, open: Vec::new(), possible: vec![nothing] }
    }

    fn start(&mut self, nth: usize) {
        self.open.push(nth);
        if self.operations[nth].only_looks() {
            let mut possible = std::mem::take(&mut self.possible);
            possible.iter_mut().for_each(|configuration| self.read_what_fits(configuration));
            self.possible = possible;
        }
    }

    /// Keeps the configurations in which it has happened; if there are none, gives what the key could hold.
    fn end(&mut self, nth: usize) -> Result<(), Vec<Option<Value>>> {
        let (mut settled, mut seen): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.possible).into_iter().partition(|configuration| configuration.has_happened(nth));
        let before: BTreeSet<_> = seen.iter().map(|configuration| configuration.value).collect();
        // First in, first out: what covers, because less has happened in it, comes before what is covered.
        let mut frontier = VecDeque::from(seen.clone());
        while let Some(configuration) = frontier.pop_front() {
            for next in self.successors(&configuration) {
                let place = if next.has_happened(nth) { &mut settled } else { &mut seen };
                if place.iter().any(|known| known.covers(&next)) {
                    continue;
                }
                place.retain(|known| !next.covers(known));
                place.push(next.clone());
                if !next.has_happened(nth) {
                    frontier.push_back(next);
                }
            }
        }
        if settled.is_empty() {
            return Err(before.into_iter().collect());
        }
        self.open.retain(|open| *open != nth);
        for configuration in &mut settled {
            configuration.certain.retain(|happened| *happened != nth);
        }
        self.possible = settled;
        self.forget_what_happened_everywhere();
        Ok(())
    }

    /// One more open write happens.
    fn successors(&self, from: &Configuration) -> Vec<Configuration> {
        let mut tried: Vec<Action> = Vec::new();
        let mut successors = Vec::new();
        for &nth in &self.open {
            let operation = self.operations[nth];
            if operation.only_looks() || from.has_happened(nth) {
                continue;
            }
            let Some(value) = operation.action.makes_of(from.value, operation.outcome == Outcome::Ok) else { continue };
            let mut next = from.clone();
            next.value = value;
            if operation.outcome == Outcome::Ok {
                let place = next.certain.partition_point(|happened| *happened < nth);
                next.certain.insert(place, nth);
            } else {
                // Of equal ones the oldest stands for all. One that would change nothing had better come later.
                if tried.contains(&operation.action) || next.value == from.value {
                    continue;
                }
                tried.push(operation.action);
                next.uncertain.push(nth);
            }
            self.read_what_fits(&mut next);
            successors.push(next);
        }
        successors
    }

    /// Every open read that finds what is there happens.
    fn read_what_fits(&self, configuration: &mut Configuration) {
        for &nth in &self.open {
            let operation = self.operations[nth];
            if operation.only_looks()
                && operation.action.makes_of(configuration.value, true).is_some()
                && let Err(place) = configuration.certain.binary_search(&nth)
            {
                configuration.certain.insert(place, nth);
            }
        }
    }

    fn forget_what_happened_everywhere(&mut self) {
        let [first, others @ ..] = &*self.possible else { return };
        let everywhere = |nth: &usize| others.iter().all(|configuration| configuration.uncertain.contains(nth));
        let settled: Vec<_> = first.uncertain.iter().copied().filter(everywhere).collect();
        if settled.is_empty() {
            return;
        }
        self.open.retain(|nth| !settled.contains(nth));
        for configuration in &mut self.possible {
            configuration.uncertain.retain(|nth| !settled.contains(nth));
        }
    }
}

fn violation(
    all: &[&Operation],
    relevant: &[&Operation],
    nth: usize,
    at: Duration,
    possible: Vec<Option<Value>>,
) -> Box<Violation> {
    let mut before: Vec<_> = all.iter().filter(|operation| operation.start <= at).collect();
    before.sort_by_key(|operation| operation.end);
    let until = before.iter().position(|operation| std::ptr::eq(**operation, relevant[nth])).unwrap_or(0);
    let overlapping = before.iter().skip(until + 1).take(SHOWN);
    let around = before.iter().skip((until + 1).saturating_sub(SHOWN)).take(SHOWN.min(until + 1)).chain(overlapping);
    let around = around.map(|operation| (**operation).clone()).collect();
    Box::new(Violation { operation: relevant[nth].clone(), possible, around })
}

#[cfg(test)]
mod tests;
