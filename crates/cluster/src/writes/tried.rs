use sessile_core::Outcome;

/// What became of one try to put a command into the log.
#[derive(Debug)]
pub(crate) enum Tried {
    Done(Outcome),
    /// It reached no log.
    NotSent,
    /// It reached a log, and another leader may have put another entry in its place.
    Discarded,
    /// It was sent, and no answer came.
    Unknown,
    /// It reached no log, because this node's Raft has ended.
    Ended,
    /// It reached no log, because others took all the room, or all the rounds, until the deadline.
    NoRoom,
}
