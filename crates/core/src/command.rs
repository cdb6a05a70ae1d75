use std::fmt;

use bytes::Bytes;
use prost::Message;

use crate::injected::rules_supported;
use crate::namespace_token::{right_from_wire, right_to_wire};
use crate::wire;
use crate::{
    Change, Condition, GroupName, HistoryCommand, IdempotencyKey, LogTime, MAX_CONDITION_VERSIONS, MAX_NAMESPACES,
    NamespaceCommand, NamespaceId, NamespaceSettings, ProposerId, RulesVersion, SessionKey, TokenHash, TokenName, Ttl,
    Version,
};

/// What is said of a command of a newer program.
const UNKNOWN: &str = "its kind is unknown";

/// What can be put into the log. Its encoded form (proto/sessile/v1/command.proto) is made once, where the request
/// arrives, and travels as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A write to one key.
    Session(SessionCommand),
    /// A proposer's registration.
    Register(Register),
    /// Time passes: the envelope's stamp is all it carries.
    Tick,
    /// Newer rules, from the next entry on.
    RaiseRules(RulesVersion),
    /// Something about a change of the cluster.
    History(HistoryCommand),
    /// Something about the namespaces.
    Namespace(NamespaceCommand),
}

/// A write to one key, by a proposer that can recognise it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCommand {
    /// Who proposes it.
    pub proposer: ProposerId,
    /// The log index of the proposer's registration.
    pub incarnation: u64,
    /// Its number among the proposer's commands, from 1.
    pub sequence: u64,
    /// The lowest number that the proposer still waits for; at most `sequence`.
    pub lowest_outstanding: u64,
    /// The namespace of the key.
    pub namespace: NamespaceId,
    /// The key.
    pub key: SessionKey,
    /// What to do with its record.
    pub request: SessionRequest,
}

/// What to do with a key's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store a value.
    Put(Put),
    /// Remove the record.
    Delete(Delete),
    /// Let the record live on.
    Renew(Renew),
}

/// Store a value. The value is secret: `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Put {
    /// The value.
    pub value: Bytes,
    /// How long it is to live.
    pub ttl: Ttl,
    /// What must hold.
    pub condition: Condition,
}

/// Remove the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// What must hold.
    pub condition: Condition,
    /// Whether the outcome carries the value.
    pub take: bool,
}

/// Give the record a new lifetime from now on. Its value and its version stay: who has read them has read what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renew {
    /// How long it is to live.
    pub ttl: Ttl,
    /// What must hold.
    pub condition: Condition,
    /// Only if the record is in the last half of the lifetime that it keeps; otherwise it stays as it is.
    pub if_due: bool,
}

/// What a client calls a request by, so that the same again gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The name; one is for one request only.
    pub key: IdempotencyKey,
    /// The lifetime that the client asked for, if it asked: what is granted may be another when it asks again.
    pub asked: Option<Ttl>,
}

/// A write to one key as its client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// What to do with the key's record.
    pub action: Action,
    /// What the client calls it by, if it may ask the same again.
    pub idempotency: Option<Idempotency>,
}

/// Registers a proposer by compare-and-set on its previous incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// Who registers.
    pub proposer: ProposerId,
    /// The incarnation that this one replaces; 0 for none.
    pub previous: u64,
    /// Random; makes a repeated registration one.
    pub nonce: u64,
}

/// Bytes that are no command. Never repeats them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a command: {0}")]
pub struct CommandError(&'static str);

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Put({} bytes, {:?}, {:?})", self.value.len(), self.ttl, self.condition)
    }
}

impl Command {
    /// The bytes that go into the log.
    pub fn encode(&self) -> Bytes {
        use wire::command::Kind;
        let kind = match self {
            Self::Session(session) => Kind::Session(session.to_wire()),
            Self::Register(Register { proposer, previous, nonce }) => {
                Kind::Register(wire::Register { proposer: proposer.to_bytes(), previous: *previous, nonce: *nonce })
            }
            Self::Tick => Kind::Tick(wire::Tick {}),
            Self::RaiseRules(version) => Kind::RaiseRules(wire::RaiseRules { to: version.number() }),
            Self::History(HistoryCommand::Begin(change)) => Kind::ChangeBegins(wire::ChangeBegins {
                who: change.who().to_owned(),
                from: change.from().to_owned(),
                what: change.what().to_owned(),
            }),
            Self::History(HistoryCommand::End { entry, result }) => {
                Kind::ChangeEnds(wire::ChangeEnds { entry: *entry, result: result.clone() })
            }
            Self::Namespace(command) => Kind::Namespace(namespace_to_wire(command)),
        };
        wire::Command { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads what `encode` wrote. Keys and values share the bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        let command = wire::Command::decode(bytes).map_err(|_| CommandError("the protobuf is damaged"))?;
        let command = Self::from_wire(command.kind.ok_or(CommandError(UNKNOWN))?)?;
        // A program that does not know these rules knows no such command.
        if command.rules_needed() > rules_supported() { Err(CommandError(UNKNOWN)) } else { Ok(command) }
    }

    /// The first rules by which it can be followed.
    fn rules_needed(&self) -> RulesVersion {
        match self {
            Self::Session(session) => session.request.rules_needed(),
            Self::Namespace(command) => command.rules_needed(),
            Self::History(_) => RulesVersion::HISTORY,
            Self::Register(_) | Self::Tick | Self::RaiseRules(_) => RulesVersion::FIRST,
        }
    }

    fn from_wire(kind: wire::command::Kind) -> Result<Self, CommandError> {
        use wire::command::Kind;
        Ok(match kind {
            Kind::Session(session) => Self::Session(SessionCommand::from_wire(session)?),
            Kind::Register(register) => Self::Register(Register {
                proposer: ProposerId::from_bytes(&register.proposer).ok_or(CommandError("the proposer is no id"))?,
                previous: register.previous,
                nonce: register.nonce,
            }),
            Kind::Tick(wire::Tick {}) => Self::Tick,
            Kind::RaiseRules(raise) => Self::RaiseRules(RulesVersion::new(raise.to)),
            Kind::ChangeBegins(wire::ChangeBegins { who, from, what }) => {
                Self::History(HistoryCommand::Begin(Change::new(&who, &from, &what)))
            }
            Kind::ChangeEnds(wire::ChangeEnds { entry, result }) => Self::History(HistoryCommand::end(entry, &result)),
            Kind::Namespace(command) => Self::Namespace(namespace_from_wire(command)?),
        })
    }
}

impl Action {
    /// What must hold of the key's live record.
    pub fn condition(&self) -> &Condition {
        match self {
            Self::Put(put) => &put.condition,
            Self::Delete(delete) => &delete.condition,
            Self::Renew(renew) => &renew.condition,
        }
    }
}

impl From<Action> for SessionRequest {
    fn from(action: Action) -> Self {
        Self { action, idempotency: None }
    }
}

impl SessionRequest {
    /// The first rules by which it can be followed.
    pub fn rules_needed(&self) -> RulesVersion {
        let is_newer = matches!(self.action, Action::Renew(_)) || self.idempotency.is_some();
        if is_newer { RulesVersion::RENEWALS } else { RulesVersion::FIRST }
    }
}

impl SessionCommand {
    fn to_wire(&self) -> wire::SessionCommand {
        use wire::session_command::Action as Wire;
        let SessionRequest { action, idempotency } = &self.request;
        let action = match action {
            Action::Put(Put { value, ttl, condition }) => Wire::Put(wire::Put {
                value: value.clone(),
                ttl_seconds: ttl.as_secs().unwrap_or(0),
                condition: condition_to_wire(condition),
            }),
            Action::Delete(Delete { condition, take }) => {
                Wire::Delete(wire::Delete { condition: condition_to_wire(condition), take: *take })
            }
            Action::Renew(Renew { ttl, condition, if_due }) => Wire::Renew(wire::Renew {
                ttl_seconds: ttl.as_secs().unwrap_or(0),
                condition: condition_to_wire(condition),
                if_due: *if_due,
            }),
        };
        wire::SessionCommand {
            proposer: self.proposer.to_bytes(),
            incarnation: self.incarnation,
            sequence: self.sequence,
            lowest_outstanding: self.lowest_outstanding,
            namespace: self.namespace.number(),
            key: self.key.to_bytes(),
            action: Some(action),
            idempotency_key: idempotency.as_ref().map(|named| named.key.to_bytes()).unwrap_or_default(),
            asked_ttl_seconds: idempotency.as_ref().and_then(|named| named.asked?.as_secs()).unwrap_or(0),
        }
    }

    fn from_wire(wire: wire::SessionCommand) -> Result<Self, CommandError> {
        use wire::session_command::Action as Wire;
        let action = match wire.action.ok_or(CommandError("its action is unknown"))? {
            Wire::Put(put) => Action::Put(Put {
                value: put.value,
                ttl: Ttl::from_secs(put.ttl_seconds).unwrap_or(Ttl::FOREVER),
                condition: condition_from_wire(put.condition)?,
            }),
            Wire::Delete(delete) => {
                Action::Delete(Delete { condition: condition_from_wire(delete.condition)?, take: delete.take })
            }
            Wire::Renew(renew) => Action::Renew(Renew {
                ttl: Ttl::from_secs(renew.ttl_seconds).unwrap_or(Ttl::FOREVER),
                condition: condition_from_wire(renew.condition)?,
                if_due: renew.if_due,
            }),
        };
        let key = Some(wire.idempotency_key).filter(|key| !key.is_empty());
        let key = key.map(IdempotencyKey::new).transpose().map_err(|_| CommandError("the idempotency key is none"))?;
        let idempotency = key.map(|key| Idempotency { key, asked: Ttl::from_secs(wire.asked_ttl_seconds) });
        Ok(Self {
            proposer: ProposerId::from_bytes(&wire.proposer).ok_or(CommandError("the proposer is no id"))?,
            incarnation: wire.incarnation,
            sequence: wire.sequence,
            lowest_outstanding: wire.lowest_outstanding,
            namespace: NamespaceId::new(wire.namespace),
            key: SessionKey::new(wire.key).map_err(|_| CommandError("the key is no key"))?,
            request: SessionRequest { action, idempotency },
        })
    }
}

fn namespace_to_wire(command: &NamespaceCommand) -> wire::NamespaceCommand {
    use wire::namespace_command::Kind;
    let kind = match command {
        NamespaceCommand::Seed(all) => {
            Kind::Seed(wire::SeedNamespaces { namespaces: all.iter().map(NamespaceSettings::to_wire).collect() })
        }
        NamespaceCommand::Create(settings) => Kind::Create(settings.to_wire()),
        NamespaceCommand::Set { namespace, if_changed_at, settings } => Kind::Set(wire::SetNamespace {
            namespace: namespace.number(),
            if_changed_at: *if_changed_at,
            settings: Some(settings.to_wire()),
        }),
        NamespaceCommand::Drop { namespace, force } => {
            Kind::Drop(wire::DropNamespace { namespace: namespace.number(), force: *force })
        }
        NamespaceCommand::Truncate { namespace, group } => Kind::Truncate(wire::TruncateNamespace {
            namespace: namespace.number(),
            group: group.as_ref().map_or_else(String::new, |group| group.as_str().to_owned()),
        }),
        NamespaceCommand::AddToken { namespace, name, right, hash } => Kind::AddToken(wire::AddToken {
            namespace: namespace.number(),
            name: name.as_str().to_owned(),
            right: right_to_wire(*right).into(),
            sha256: Bytes::copy_from_slice(hash.as_bytes()),
        }),
        NamespaceCommand::RemoveToken { namespace, name } => {
            Kind::RemoveToken(wire::RemoveToken { namespace: namespace.number(), name: name.as_str().to_owned() })
        }
        NamespaceCommand::TokenUsed { namespace, hash, used_at } => Kind::TokenUsed(wire::TokenUsed {
            namespace: namespace.number(),
            sha256: Bytes::copy_from_slice(hash.as_bytes()),
            used_at_ms: used_at.as_millis(),
        }),
    };
    wire::NamespaceCommand { kind: Some(kind) }
}

fn namespace_from_wire(command: wire::NamespaceCommand) -> Result<NamespaceCommand, CommandError> {
    use wire::namespace_command::Kind;
    let settings = |settings: &wire::NamespaceSettings| {
        NamespaceSettings::from_wire(settings).map_err(|_| CommandError("the settings of a namespace break a rule"))
    };
    Ok(match command.kind.ok_or(CommandError("what it wants of a namespace is unknown"))? {
        Kind::Seed(seed) if seed.namespaces.len() > MAX_NAMESPACES => {
            return Err(CommandError("it names too many namespaces"));
        }
        Kind::Seed(seed) => NamespaceCommand::Seed(seed.namespaces.iter().map(settings).collect::<Result<_, _>>()?),
        Kind::Create(create) => NamespaceCommand::Create(settings(&create)?),
        Kind::Set(set) => NamespaceCommand::Set {
            namespace: NamespaceId::new(set.namespace),
            if_changed_at: set.if_changed_at,
            settings: settings(&set.settings.ok_or(CommandError("there are no settings in it"))?)?,
        },
        Kind::Drop(drop) => NamespaceCommand::Drop { namespace: NamespaceId::new(drop.namespace), force: drop.force },
        Kind::Truncate(truncate) => {
            let group = GroupName::new(truncate.group.as_bytes()).ok_or(CommandError("the group's name is none"))?;
            let group = Some(group).filter(|group| !group.as_str().is_empty());
            NamespaceCommand::Truncate { namespace: NamespaceId::new(truncate.namespace), group }
        }
        Kind::AddToken(add) => NamespaceCommand::AddToken {
            namespace: NamespaceId::new(add.namespace),
            name: token_name(&add.name)?,
            right: right_from_wire(add.right).ok_or(CommandError("the token's right is unknown"))?,
            hash: token_hash(&add.sha256)?,
        },
        Kind::RemoveToken(remove) => NamespaceCommand::RemoveToken {
            namespace: NamespaceId::new(remove.namespace),
            name: token_name(&remove.name)?,
        },
        Kind::TokenUsed(used) => NamespaceCommand::TokenUsed {
            namespace: NamespaceId::new(used.namespace),
            hash: token_hash(&used.sha256)?,
            used_at: LogTime::from_millis(used.used_at_ms),
        },
    })
}

fn token_name(name: &str) -> Result<TokenName, CommandError> {
    TokenName::new(name).map_err(|_| CommandError("the token's name is none"))
}

fn token_hash(bytes: &[u8]) -> Result<TokenHash, CommandError> {
    TokenHash::from_bytes(bytes).ok_or(CommandError("the token's hash has not 32 bytes"))
}

fn condition_to_wire(condition: &Condition) -> Option<wire::Condition> {
    use wire::condition::Kind;
    let listed = |versions: &[Version]| wire::Versions { version: versions.iter().map(|v| v.log_index()).collect() };
    let kind = match condition {
        Condition::None => return None,
        Condition::Absent => Kind::Absent(wire::Unit {}),
        Condition::Present => Kind::Present(wire::Unit {}),
        Condition::Matches(versions) => Kind::Matches(listed(versions)),
        Condition::Differs(versions) => Kind::Differs(listed(versions)),
    };
    Some(wire::Condition { kind: Some(kind) })
}

fn condition_from_wire(condition: Option<wire::Condition>) -> Result<Condition, CommandError> {
    use wire::condition::Kind;
    let Some(condition) = condition else { return Ok(Condition::None) };
    let listed = |versions: wire::Versions| {
        let few = versions.version.len() <= MAX_CONDITION_VERSIONS;
        few.then(|| versions.version.into_iter().map(Version::new).collect())
            .ok_or(CommandError("its condition lists too many versions"))
    };
    Ok(match condition.kind.ok_or(CommandError("its condition is unknown"))? {
        Kind::Absent(_) => Condition::Absent,
        Kind::Present(_) => Condition::Present,
        Kind::Matches(versions) => Condition::Matches(listed(versions)?),
        Kind::Differs(versions) => Condition::Differs(listed(versions)?),
    })
}
