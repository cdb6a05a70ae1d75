use crate::{
    Answer, Bucket, GroupName, HistoryEntry, IdempotencyKey, LogTime, NamespaceId, Proposer, ProposerId, RulesVersion,
    StoredNamespace, Tally, TruncatedGroup,
};

/// Names one row of the state's stored form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum RowKey {
    /// The clock and the rules.
    Clock,
    /// What a group counts in one bucket.
    Tally(NamespaceId, GroupName, Bucket),
    /// What is remembered of a proposer.
    Proposer(ProposerId),
    /// That an id was removed.
    Tombstone(ProposerId),
    /// A change of the cluster that began at this log index.
    History(u64),
    /// The highest id of a namespace that was given. It comes before the namespaces.
    LastNamespace,
    /// A namespace.
    Namespace(NamespaceId),
    /// A group that was truncated.
    TruncatedGroup(NamespaceId, GroupName),
    /// Until when there may be records of groups that are not counted by name.
    Unnamed(NamespaceId),
    /// What a request was told whose client may ask again.
    Answer(NamespaceId, IdempotencyKey),
}

/// One row of the state's stored form.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Row {
    /// The clock and the rules.
    Clock(LogTime, RulesVersion),
    /// What a group counts in one bucket.
    Tally(Tally),
    /// What is remembered of a proposer.
    Proposer(Proposer),
    /// That an id was removed, by the entry at this log index.
    Tombstone(u64),
    /// A change of the cluster.
    History(HistoryEntry),
    /// The highest id of a namespace that was given.
    LastNamespace(NamespaceId),
    /// A namespace.
    Namespace(StoredNamespace),
    /// A group that was truncated.
    TruncatedGroup(TruncatedGroup),
    /// Until when there may be records of groups that are not counted by name.
    Unnamed(Bucket),
    /// What a request was told whose client may ask again.
    Answer(Answer),
}

/// Why a stored row cannot be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It is stored under the name of another kind.
    #[error("a row of the state is stored under the name of another kind")]
    Misplaced,
    /// The state goes by rules that this program does not know; going on would decide differently from the others.
    #[error("it goes by rules version {rules}, but this program knows only {supported}: start the newer one", supported = RulesVersion::SUPPORTED)]
    RulesTooNew {
        /// Its rules.
        rules: RulesVersion,
    },
}
