use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use sessile_store::NodeId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::tls::Handshake;
use crate::tokens::{OperatorToken, Right};

/// How long a connection that was told to end may take before another one is told to: its task only has to run once.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
/// How many are told to end for one newcomer, before that is turned away.
const TOLD_TO_END: usize = 2;

/// The connections that are open on the gRPC listener, at most so many.
///
/// When all places are taken, a newcomer takes the place of another one, in this order: one that has not said yet who it
/// is, a stranger without a call, a stranger with calls, a member without a call; among those, the one for which that has been true longest. A member is
/// a connection on which a call between members was let in. A connection of a member with a call under way keeps its
/// place whatever comes.
pub(crate) struct Connections {
    max: usize,
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Default)]
struct Open {
    last: u64,
    by_number: HashMap<u64, Arc<OpenConnection>>,
}

/// One of them, as its calls and its socket tell each other.
pub(crate) struct OpenConnection {
    calls: Mutex<Calls>,
    /// What TLS proved of the other side, once that is known; nothing if there is no TLS.
    handshake: OnceLock<Option<Handshake>>,
    /// Whether the other side has proved, on this connection, that it knows the join token.
    has_proved: AtomicBool,
    ended: AtomicBool,
    /// Of the task that serves it.
    task: AtomicWaker,
    /// The address that it comes from, if it has one.
    from: OnceLock<String>,
    /// As whom it may ask what operators ask, once that is known.
    operator: OnceLock<Operator>,
}

/// Somebody who may ask what operators ask.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    /// Who that is, for people.
    pub(crate) who: String,
    /// Where that is, for people.
    pub(crate) from: String,
    /// What it may ask.
    pub(crate) right: Right,
    /// The token that was proved; none on this machine.
    pub(crate) token: Option<OperatorToken>,
}

/// Where a connection comes from.
pub(super) enum Origin {
    /// That address, which proves nothing of who it is.
    Address(SocketAddr),
    /// This machine, and the system says from whom.
    Local(Box<Operator>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calls {
    under_way: u32,
    /// Since when it has calls, or none.
    since: Instant,
    /// It is known how it is spoken on it.
    open: bool,
    /// As whom it was let in, if as a member.
    member: Option<NodeId>,
}

/// A place among the open connections, for as long as it is held.
pub(crate) struct Place {
    connections: Arc<Connections>,
    number: u64,
    connection: Arc<OpenConnection>,
}

/// A call under way, for as long as it is held.
pub(crate) struct Call(Arc<OpenConnection>);

impl Connections {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), open: Mutex::default(), left: Notify::new() })
    }

    /// A place for a newcomer; `None` if there is none, because members use them all.
    pub(crate) async fn place(self: &Arc<Self>) -> Option<Place> {
        for _ in 0..TOLD_TO_END {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if let Some(place) = self.free_place() {
                return Some(place);
            }
            if !self.make_room() {
                return None;
            }
            // Whether one left or the time is up: looked at next.
            let _ = timeout(LEAVES_WITHIN, left).await;
        }
        self.free_place()
    }

    /// Tells one connection to end, if there is one that may be told and was not yet.
    pub(crate) fn make_room(&self) -> bool {
        let open = self.open.lock();
        let candidates = open.by_number.values().filter(|connection| !connection.is_ended());
        let ranked = candidates.filter_map(|connection| Some((connection.rank()?, connection)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, connection)| connection.end()).is_some()
    }

    /// Tells those to end that were let in as a member which `is_still` does not hold of any more.
    pub(crate) fn end_unless(&self, is_still: impl Fn(NodeId, Option<Handshake>) -> bool) {
        for connection in self.open.lock().by_number.values() {
            let member = connection.calls.lock().member;
            if member.is_some_and(|member| !is_still(member, connection.handshake())) {
                connection.end();
            }
        }
    }

    /// Tells those to end on which a token was proved which `is_still` does not hold of any more.
    pub(crate) fn end_operators_unless(&self, is_still: impl Fn(&OperatorToken) -> bool) {
        for connection in self.open.lock().by_number.values() {
            let token = connection.operator().and_then(|operator| operator.token.as_ref());
            if token.is_some_and(|token| !is_still(token)) {
                connection.end();
            }
        }
    }

    fn free_place(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open.lock();
        if open.by_number.len() >= self.max {
            return None;
        }
        open.last += 1;
        let (number, connection) = (open.last, Arc::new(OpenConnection::new()));
        open.by_number.insert(number, connection.clone());
        Some(Place { connections: self.clone(), number, connection })
    }
}

impl Place {
    pub(crate) fn connection(&self) -> &Arc<OpenConnection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().by_number.remove(&self.number);
        self.connections.left.notify_waiters();
    }
}

impl OpenConnection {
    /// The address that it comes from. Proves nothing of who that is.
    pub(crate) fn from(&self) -> Option<&str> {
        self.from.get().map(String::as_str)
    }

    /// As whom it may ask what operators ask.
    pub(crate) fn operator(&self) -> Option<&Operator> {
        self.operator.get()
    }

    pub(super) fn comes_from(&self, origin: Origin) {
        // It is said once, before anything is done with the connection.
        match origin {
            Origin::Address(address) => drop(self.from.set(address.to_string())),
            Origin::Local(operator) => self.asks_as(*operator),
        }
    }

    /// From now on it may ask as that operator. Of two that prove it on one connection it is the first.
    pub(crate) fn asks_as(&self, operator: Operator) {
        let _ = self.operator.set(operator);
    }

    fn new() -> Self {
        let calls = Calls { under_way: 0, since: Instant::now(), open: false, member: None };
        Self {
            calls: Mutex::new(calls),
            handshake: OnceLock::new(),
            has_proved: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            task: AtomicWaker::new(),
            from: OnceLock::new(),
            operator: OnceLock::new(),
        }
    }

    /// From now on it is spoken on it, after that handshake or without TLS.
    pub(super) fn opens(&self, handshake: Option<Handshake>) {
        // A second call says the same: a connection opens once.
        let _ = self.handshake.set(handshake);
        self.calls.lock().open = true;
    }

    /// What TLS proved of the other side; nothing if there is no TLS.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.handshake.get().copied().flatten()
    }

    /// The other side has proved that it knows the join token.
    pub(super) fn proves(&self) {
        self.has_proved.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub(super) fn has_proved(&self) -> bool {
        self.has_proved.load(Ordering::Acquire)
    }

    /// A call begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Call {
        let mut calls = self.calls.lock();
        if calls.under_way == 0 {
            calls.since = Instant::now();
        }
        calls.under_way += 1;
        drop(calls);
        Call(self.clone())
    }

    /// A call of that member was let in.
    pub(crate) fn is_of(&self, member: NodeId) {
        self.calls.lock().member = Some(member);
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Whether it was told to end.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// That task is to look again when this connection is told to end.
    pub(crate) fn wakes(&self, task: &Waker) {
        self.task.register(task);
    }

    fn rank(&self) -> Option<(u8, Instant)> {
        let calls = *self.calls.lock();
        rank(&calls)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut calls = self.0.calls.lock();
        calls.under_way -= 1;
        if calls.under_way == 0 {
            calls.since = Instant::now();
        }
    }
}

/// The connection with the lowest rank ends first; one without a rank stays.
fn rank(calls: &Calls) -> Option<(u8, Instant)> {
    match (calls.member.is_some(), calls.under_way > 0) {
        _ if !calls.open => Some((0, calls.since)),
        (false, false) => Some((1, calls.since)),
        (false, true) => Some((2, calls.since)),
        (true, false) => Some((3, calls.since)),
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_make_room_before_members_and_a_member_with_a_call_never_does() {
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let calls = |member: bool, under_way, since| {
            rank(&Calls { under_way, since, open: true, member: member.then(|| NodeId::from(1)) })
        };
        let unknown = |since| rank(&Calls { under_way: 0, since, open: false, member: None });
        let order = [
            unknown(early),
            unknown(late),
            calls(false, 0, early),
            calls(false, 0, late),
            calls(false, 1, early),
            calls(false, 2, late),
            calls(true, 0, early),
            calls(true, 0, late),
        ];
        assert!(order.is_sorted() && order.iter().all(Option::is_some), "{order:?}");
        assert_eq!(calls(true, 1, early), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_the_stranger_that_was_idle_longest() {
        let connections = Connections::new(3);
        let member = connections.place().await.unwrap();
        member.connection().opens(None);
        member.connection().is_of(NodeId::from(1));
        let longest = connections.place().await.unwrap();
        longest.connection().opens(None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let busy = connections.place().await.unwrap();
        busy.connection().opens(None);
        let call = busy.connection().begin();
        let (newcomer, ()) = tokio::join!(connections.place(), async {
            assert!(longest.connection().is_ended() && !busy.connection().is_ended());
            drop(longest);
        });
        assert!(newcomer.is_some() && !member.connection().is_ended());

        drop((call, newcomer));
        let busy_member = member.connection().begin();
        let (newcomer, ()) = tokio::join!(connections.place(), async { drop(busy) });
        assert!(newcomer.is_some(), "there was a free place");
        drop(busy_member);
    }

    #[tokio::test(start_paused = true)]
    async fn where_members_use_every_place_a_newcomer_is_turned_away_at_once() {
        let connections = Connections::new(1);
        let member = connections.place().await.unwrap();
        member.connection().opens(None);
        member.connection().is_of(NodeId::from(1));
        let call = member.connection().begin();
        assert!(connections.place().await.is_none());
        drop(call);
        let begin = Instant::now();
        assert!(connections.place().await.is_none(), "it is told to end, and does not");
        assert!(member.connection().is_ended() && begin.elapsed() >= LEAVES_WITHIN);
    }
}
