use std::collections::BTreeSet;

use parking_lot::Mutex;
use sessile_core::{MAX_WINDOW_COMMANDS, ProposerId};
use tokio::sync::Notify;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use crate::error::ClusterError;

/// How far the newest outstanding command may be ahead of the oldest: what the state remembers of one proposer.
const MAX_SPAN: u64 = MAX_WINDOW_COMMANDS as u64;

/// Numbers this node's commands, so that a repeated one recognises itself.
///
/// Invariant: every number that is handed out is at most [`MAX_SPAN`] above the lowest outstanding one, so that the state
/// never has to refuse one because its table is full of outcomes that nobody waits for any more.
pub(crate) struct Proposer {
    id: ProposerId,
    window: Mutex<Window>,
    moved: Notify,
    unregistered: Notify,
}

#[derive(Default)]
struct Window {
    /// This node stops: nothing begins any more.
    ended: bool,
    incarnation: Option<u64>,
    last: u64,
    outstanding: BTreeSet<u64>,
}

/// A number that is outstanding until this is dropped.
pub(crate) struct Ticket<'proposer> {
    proposer: &'proposer Proposer,
    pub(crate) id: ProposerId,
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
}

impl Ticket<'_> {
    /// The lowest number that is outstanding now: at most this one's.
    pub(crate) fn lowest_outstanding(&self) -> u64 {
        let window = self.proposer.window.lock();
        let same = window.incarnation == Some(self.incarnation);
        window.outstanding.first().copied().filter(|_| same).unwrap_or(self.sequence)
    }

    /// Returns when every lower number is done.
    pub(crate) async fn becomes_lowest(&self, deadline: Instant) -> Result<(), Elapsed> {
        loop {
            let mut moved = std::pin::pin!(self.proposer.moved.notified());
            moved.as_mut().enable();
            if self.lowest_outstanding() == self.sequence {
                return Ok(());
            }
            timeout_at(deadline, moved).await?;
        }
    }
}

impl Proposer {
    pub(crate) fn new(id: ProposerId) -> Self {
        Self { id, window: Mutex::default(), moved: Notify::new(), unregistered: Notify::new() }
    }

    pub(crate) fn id(&self) -> ProposerId {
        self.id
    }

    /// From now on commands are numbered under this incarnation, from 1.
    pub(crate) fn registered(&self, incarnation: u64) {
        let mut window = self.window.lock();
        *window = Window { ended: window.ended, incarnation: Some(incarnation), ..Window::default() };
        drop(window);
        self.moved.notify_waiters();
    }

    /// The state knows another incarnation: nothing is numbered under this one any more.
    pub(crate) fn is_unknown(&self, incarnation: u64) {
        let mut window = self.window.lock();
        if window.incarnation == Some(incarnation) {
            *window = Window { ended: window.ended, ..Window::default() };
            self.unregistered.notify_one();
        }
    }

    /// This node stops: who waits is told so, and nothing begins any more.
    pub(crate) fn end(&self) {
        self.window.lock().ended = true;
        self.moved.notify_waiters();
    }

    /// Returns when this proposer must register again.
    pub(crate) async fn unregistered(&self) {
        self.unregistered.notified().await;
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.window.lock().incarnation.is_some()
    }

    /// How many numbers are outstanding.
    pub(crate) fn outstanding(&self) -> usize {
        self.window.lock().outstanding.len()
    }

    /// The next number. Waits while this proposer is not registered or its window is full.
    pub(crate) async fn begin(&self, deadline: Instant) -> Result<Ticket<'_>, ClusterError> {
        // Nearly always there is room.
        if let Some(ticket) = self.try_begin()? {
            return Ok(ticket);
        }
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if let Some(ticket) = self.try_begin()? {
                return Ok(ticket);
            }
            if timeout_at(deadline, moved).await.is_err() {
                return Err(if self.is_registered() { ClusterError::Overloaded } else { ClusterError::NoQuorum });
            }
        }
    }

    fn try_begin(&self) -> Result<Option<Ticket<'_>>, ClusterError> {
        let mut window = self.window.lock();
        if window.ended {
            return Err(ClusterError::Stopping);
        }
        let Some(incarnation) = window.incarnation else { return Ok(None) };
        let sequence = window.last + 1;
        let lowest_outstanding = window.outstanding.first().copied().unwrap_or(sequence);
        if sequence - lowest_outstanding >= MAX_SPAN {
            return Ok(None);
        }
        window.last = sequence;
        window.outstanding.insert(sequence);
        Ok(Some(Ticket { proposer: self, id: self.id, incarnation, sequence }))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut window = self.proposer.window.lock();
        if window.incarnation == Some(self.incarnation) {
            window.outstanding.remove(&self.sequence);
        }
        drop(window);
        self.proposer.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn a_number_is_never_further_ahead_than_the_state_remembers() {
        let proposer = Proposer::new(ProposerId::new(1));
        assert_eq!(proposer.begin(Instant::now()).await.err(), Some(ClusterError::NoQuorum), "not registered yet");
        proposer.registered(9);
        let oldest = proposer.begin(soon()).await.unwrap();
        let mut kept = Vec::new();
        for sequence in 2..=MAX_SPAN {
            let ticket = proposer.begin(soon()).await.unwrap();
            assert_eq!((ticket.sequence, ticket.lowest_outstanding(), ticket.incarnation), (sequence, 1, 9));
            kept.push(ticket);
        }
        assert_eq!(proposer.begin(Instant::now()).await.err(), Some(ClusterError::Overloaded));
        drop(oldest);
        assert_eq!(proposer.begin(soon()).await.unwrap().lowest_outstanding(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_goes_on_when_there_is_some() {
        let proposer = Proposer::new(ProposerId::new(1));
        let (begun, ()) = tokio::join!(proposer.begin(soon()), async { proposer.registered(3) });
        assert_eq!(begun.unwrap().incarnation, 3);
    }
}
