use std::time::Duration;

use sessile_core::{
    BaseUri, Command, GroupName, MAX_GROUPS, MAX_NAMESPACES, NamespaceChanged, NamespaceCommand, NamespaceId,
    NamespaceName, NamespaceRefusal, NamespaceSettings, NamespaceTable, Outcome, ReadConsistency, Refusal, Renewal,
    RulesVersion, Tally, Ttl, TtlPolicy,
};
use tokio::time::Instant;
use tonic::Status;

use super::managed::ManagedMember;
use crate::membership::Author;
use crate::wire::{
    CreateNamespaceRequest, DropNamespaceRequest, GroupStatus, ListGroupsRequest, ListGroupsResponse,
    ListNamespacesResponse, NamespaceChoices, NamespaceResponse, NamespaceStatus, SetNamespaceRequest,
    TruncateNamespaceRequest,
};

/// How long the entry that changes a namespace may take: one round of the log, and an election that comes in between.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the proof may take that what is listed is of now.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);
/// The lifetime of what asks for none, of a new namespace that names none: a day, as Kask's.
const DEFAULT_TTL: u64 = 86_400;
/// The longest lifetime of a new namespace that names none: a year, so that what remembers a login fits.
const DEFAULT_MAX_TTL: u64 = 366 * 86_400;

/// The namespaces, with what each counts.
pub(super) async fn list(member: &ManagedMember) -> Result<ListNamespacesResponse, Status> {
    prove(member).await?;
    let counts = member.group.state.counts();
    let status = |(id, settings): (NamespaceId, NamespaceSettings)| {
        let (mut total, mut groups) = (Tally::default(), 0);
        for (_, name, tally) in counts.iter().filter(|(of, ..)| *of == id) {
            total.add(tally);
            groups += u64::from(!name.as_str().is_empty());
        }
        status_of(id, &settings, &total, groups)
    };
    Ok(ListNamespacesResponse { namespaces: all(member).into_iter().map(status).collect() })
}

/// The groups of a namespace, the largest first.
pub(super) async fn groups(member: &ManagedMember, request: &ListGroupsRequest) -> Result<ListGroupsResponse, Status> {
    prove(member).await?;
    let all = all(member);
    let known = all.iter().find(|(_, settings)| settings.name.as_str() == request.namespace);
    let names = || all.iter().map(|(_, settings)| settings.name.as_str());
    let id = known.map(|(id, _)| *id).ok_or_else(|| none(&request.namespace, names()))?;
    let counts = member.group.state.counts().into_iter().filter(|(of, ..)| *of == id);
    let group = |(_, name, tally): (NamespaceId, GroupName, Tally)| GroupStatus {
        name: name.as_str().to_owned(),
        keys: tally.keys,
        bytes: tally.bytes,
    };
    let mut groups: Vec<GroupStatus> = counts.map(group).collect();
    groups.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    Ok(ListGroupsResponse { groups })
}

/// Makes one more. Only where this node leads, as all that follow.
pub(super) async fn create(
    member: &ManagedMember,
    author: &Author,
    request: CreateNamespaceRequest,
) -> Result<NamespaceResponse, Status> {
    make_first(member).await;
    let name = NamespaceName::new(&request.name).map_err(|error| invalid(&error))?;
    let choices = request.choices.unwrap_or_default();
    let base_uri = choices.base_uri.as_deref().ok_or_else(|| invalid(&"a new namespace needs a base URI"))?;
    let new = NamespaceSettings::unlimited(name, base_uri_of(base_uri)?);
    let default = choices.default_ttl_seconds.unwrap_or(DEFAULT_TTL);
    let max = choices.max_ttl_seconds.unwrap_or(if default == 0 { 0 } else { default.max(DEFAULT_MAX_TTL) });
    let settings = NamespaceSettings { ttl: ttl_of(default, max)?, ..chosen(new, &choices)? };
    let (name, base_uri) = (&settings.name, &settings.base_uri);
    let what = format!("create the namespace {name} under {base_uri}");
    let done = format!("the namespace {name} is there, under {base_uri}");
    change(member, author, &what, NamespaceCommand::Create(settings), |_| done).await
}

/// Changes what one may hold, or where it is.
pub(super) async fn set(
    member: &ManagedMember,
    author: &Author,
    request: SetNamespaceRequest,
) -> Result<NamespaceResponse, Status> {
    make_first(member).await;
    let table = member.group.state.namespaces();
    let (namespace, before) = find(&table, &request.name)?;
    let choices = request.choices.unwrap_or_default();
    let after = chosen(before.settings.clone(), &choices)?;
    let seconds = |ttl: Ttl| ttl.as_secs().unwrap_or(0);
    let default = choices.default_ttl_seconds.unwrap_or(seconds(before.settings.ttl.default_ttl()));
    let max = choices.max_ttl_seconds.unwrap_or(seconds(before.settings.ttl.max_ttl()));
    let settings = NamespaceSettings { ttl: ttl_of(default, max)?, ..after };
    let differs = differences(&before.settings, &settings);
    if differs.is_empty() {
        let what = format!("nothing to do: the namespace {} is so already", request.name);
        return Ok(NamespaceResponse { what, keys: 0, bytes: 0 });
    }
    let what = format!("set {} of the namespace {}", differs.join(", "), request.name);
    let done = format!("the namespace {} has {} now", request.name, differs.join(", "));
    let command = NamespaceCommand::Set { namespace, if_changed_at: before.changed_at, settings };
    change(member, author, &what, command, |_| done).await
}

/// Ends all sessions of a namespace, or of one group of it.
pub(super) async fn truncate(
    member: &ManagedMember,
    author: &Author,
    request: TruncateNamespaceRequest,
) -> Result<NamespaceResponse, Status> {
    make_first(member).await;
    let (namespace, _) = find(&member.group.state.namespaces(), &request.name)?;
    let group = match request.group.as_str() {
        "" => None,
        name => Some(GroupName::new(name.as_bytes()).ok_or_else(|| invalid(&sessile_core::GroupNameError))?),
    };
    let whose = match &group {
        Some(group) => format!("group {group} of the namespace {}", request.name),
        None => format!("the namespace {}", request.name),
    };
    let said = |gone: &NamespaceChanged| {
        let have = if gone.keys == 1 { "has" } else { "have" };
        format!("{} of {whose} {have} ended, {} bytes", sessions(gone.keys), gone.bytes)
    };
    let command = NamespaceCommand::Truncate { namespace, group };
    change(member, author, &format!("truncate {whose}"), command, said).await
}

/// Removes one.
pub(super) async fn drop_namespace(
    member: &ManagedMember,
    author: &Author,
    request: DropNamespaceRequest,
) -> Result<NamespaceResponse, Status> {
    make_first(member).await;
    let (namespace, _) = find(&member.group.state.namespaces(), &request.name)?;
    let name = request.name;
    let said = |gone: &NamespaceChanged| {
        format!("the namespace {name} is gone, and {} with it, {} bytes", sessions(gone.keys), gone.bytes)
    };
    let command = NamespaceCommand::Drop { namespace, force: request.force };
    change(member, author, &format!("drop the namespace {name}"), command, said).await
}

/// Has it written into the history, and made.
async fn change(
    member: &ManagedMember,
    author: &Author,
    what: &str,
    command: NamespaceCommand,
    said: impl FnOnce(&NamespaceChanged) -> String + Send,
) -> Result<NamespaceResponse, Status> {
    let making = async {
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        let needed = command.rules_needed();
        member.own_namespaces.raise_rules(needed, &member.group, &member.writes).await;
        let changed = match member.writes.command(Command::Namespace(command), deadline).await {
            Some(Outcome::Namespace(changed)) => changed,
            Some(Outcome::Refused(Refusal::Namespace(refusal))) => {
                return Err(refused(&member.group.state.namespaces(), refusal));
            }
            Some(Outcome::Refused(Refusal::RulesUnsupported)) => return Err(no_rules(member, needed)),
            _ => {
                return Err(Status::deadline_exceeded(
                    "no quorum has answered in time: it may have been done or not; `sessile namespace list` shows it",
                ));
            }
        };
        Ok(NamespaceResponse { what: said(&changed), keys: changed.keys, bytes: changed.bytes })
    };
    member.changes.history().record(author, what, making, |done| done.what.clone()).await
}

/// Returns when what is applied here holds everything that was acknowledged before.
async fn prove(member: &ManagedMember) -> Result<(), Status> {
    if member.group.state.rules() < RulesVersion::NAMESPACES && !goes_by_its_file(member) {
        return Err(no_rules(member, RulesVersion::NAMESPACES));
    }
    member.reads.prove(Instant::now() + LIST_TIMEOUT).await.map_err(|_| {
        Status::unavailable("no quorum confirms what this node knows of the namespaces; try again in a moment")
    })
}

/// Whether this is a single node of which nobody has wanted more than its file says.
fn goes_by_its_file(member: &ManagedMember) -> bool {
    member.own_namespaces.is_alone && !member.group.state.namespaces().is_seeded()
}

/// Who wants to change the namespaces of a single node puts those of its file into its log first.
async fn make_first(member: &ManagedMember) {
    if goes_by_its_file(member) {
        member.own_namespaces.make(&member.group, &member.writes).await;
    }
}

/// So many, in words.
fn sessions(count: u64) -> String {
    format!("{count} session{}", if count == 1 { "" } else { "s" })
}

/// Those there are.
fn all(member: &ManagedMember) -> Vec<(NamespaceId, NamespaceSettings)> {
    if goes_by_its_file(member) {
        let sessions = member.own_namespaces.namespaces.iter().take(1);
        return sessions.map(|settings| (NamespaceId::SESSIONS, settings.clone())).collect();
    }
    let table = member.group.state.namespaces();
    table.iter().map(|(id, namespace)| (id, namespace.settings.clone())).collect()
}

fn no_rules(member: &ManagedMember, needed: RulesVersion) -> Status {
    Status::failed_precondition(format!(
        "rules version {} is in force, and this comes with version {needed}: it is raised as soon as every member runs a \
         program that knows it; nothing was changed",
        member.group.state.rules(),
    ))
}

fn find<'table>(
    table: &'table NamespaceTable,
    name: &str,
) -> Result<(NamespaceId, &'table sessile_core::Namespace), Status> {
    let names = || table.iter().map(|(_, namespace)| namespace.settings.name.as_str());
    table.named(name).ok_or_else(|| none(name, names()))
}

fn none<'names>(name: &str, names: impl Iterator<Item = &'names str>) -> Status {
    let names: Vec<&str> = names.collect();
    Status::not_found(format!(
        "there is no namespace {name:?}, and nothing was changed; there are: {}",
        names.join(", ")
    ))
}

/// What an operator chose, over what was before. Lifetimes are looked at together, elsewhere.
fn chosen(before: NamespaceSettings, choices: &NamespaceChoices) -> Result<NamespaceSettings, Status> {
    let base_uri = choices.base_uri.as_deref().map(base_uri_of).transpose()?;
    let read_consistency = choices.local_reads.map(|local| match local {
        true => ReadConsistency::Local,
        false => ReadConsistency::Linearizable,
    });
    let renewal = choices.renew_half.map(|half| if half { Renewal::Half } else { Renewal::Never });
    Ok(NamespaceSettings {
        base_uri: base_uri.unwrap_or(before.base_uri),
        max_keys: choices.max_keys.unwrap_or(before.max_keys),
        max_bytes: choices.max_bytes.unwrap_or(before.max_bytes),
        max_value: choices.max_value_bytes.unwrap_or(before.max_value),
        read_consistency: read_consistency.unwrap_or(before.read_consistency),
        priority: choices.priority.unwrap_or(before.priority),
        renewal: renewal.unwrap_or(before.renewal),
        ..before
    })
}

fn base_uri_of(text: &str) -> Result<BaseUri, Status> {
    BaseUri::new(text).map_err(|why| invalid(&format!("the base URI {why}")))
}

fn ttl_of(default: u64, max: u64) -> Result<TtlPolicy, Status> {
    let ttl = |seconds| Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER);
    TtlPolicy::new(ttl(default), ttl(max)).ok_or_else(|| {
        let default = if default == 0 { "no end".to_owned() } else { format!("{default} s") };
        invalid(&format!(
            "the default lifetime, {default}, is over the longest, {max} s: raise that, or lower the default"
        ))
    })
}

/// What is another now, with its value.
fn differences(before: &NamespaceSettings, after: &NamespaceSettings) -> Vec<String> {
    let shown = |settings: &NamespaceSettings| {
        let seconds = |ttl: Ttl| ttl.as_secs().unwrap_or(0);
        [
            format!("base URI {}", settings.base_uri),
            format!("default TTL {}", seconds(settings.ttl.default_ttl())),
            format!("max TTL {}", seconds(settings.ttl.max_ttl())),
            format!("max keys {}", settings.max_keys),
            format!("max bytes {}", settings.max_bytes),
            format!("max value {}", settings.max_value),
            format!("{} reads", settings.read_consistency.name()),
            format!("priority {}", settings.priority),
            format!("renew {}", settings.renewal.name()),
        ]
    };
    let pairs = shown(before).into_iter().zip(shown(after));
    pairs.filter(|(before, after)| before != after).map(|(_, after)| after).collect()
}

fn status_of(id: NamespaceId, settings: &NamespaceSettings, total: &Tally, groups: u64) -> NamespaceStatus {
    NamespaceStatus {
        id: id.number(),
        name: settings.name.as_str().to_owned(),
        base_uri: settings.base_uri.as_str().to_owned(),
        default_ttl_seconds: settings.ttl.default_ttl().as_secs().unwrap_or(0),
        max_ttl_seconds: settings.ttl.max_ttl().as_secs().unwrap_or(0),
        max_keys: settings.max_keys,
        max_bytes: settings.max_bytes,
        max_value_bytes: settings.max_value,
        local_reads: settings.read_consistency == ReadConsistency::Local,
        priority: settings.priority,
        renew_half: settings.renewal == Renewal::Half,
        keys: total.keys,
        bytes: total.bytes,
        groups,
    }
}

fn invalid(what: &dyn std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{what}; nothing was changed"))
}

fn refused(table: &NamespaceTable, refusal: NamespaceRefusal) -> Status {
    let of = |id: NamespaceId| {
        let base_uri = table.get(id).map(|namespace| namespace.settings.base_uri.to_string()).unwrap_or_default();
        format!("{} ({base_uri})", table.name_of(id))
    };
    match refusal {
        NamespaceRefusal::NotSeeded => {
            Status::unavailable("the namespaces are just being made; nothing was changed; try again in a moment")
        }
        NamespaceRefusal::Seeded => Status::failed_precondition("the namespaces are there already"),
        NamespaceRefusal::Unknown => Status::not_found("there is no such namespace any more; nothing was changed"),
        NamespaceRefusal::NameTaken { by } => Status::already_exists(format!(
            "a namespace of that name exists: {}; nothing was changed; change it with `sessile namespace set`",
            of(by)
        )),
        NamespaceRefusal::BaseUriTaken { by } => Status::already_exists(format!(
            "the base URI overlaps with that of {}; nothing was changed; choose one that neither leads into the other",
            of(by)
        )),
        NamespaceRefusal::TooMany => Status::failed_precondition(format!(
            "there are {MAX_NAMESPACES} namespaces, and no more are taken; nothing was changed; groups of keys within a \
             namespace have counts of their own and can be truncated, too"
        )),
        NamespaceRefusal::Changed => {
            Status::aborted("the namespace was changed by somebody else meanwhile; nothing was changed; look again")
        }
        NamespaceRefusal::NotEmpty { keys, bytes } => Status::failed_precondition(format!(
            "the namespace has {}, {bytes} bytes; nothing was changed; to end them with it, give --force",
            sessions(keys)
        )),
        NamespaceRefusal::QuotaBelow { keys, bytes } => Status::failed_precondition(format!(
            "the namespace has {}, {bytes} bytes, which is over that quota; nothing was changed; choose a \
             larger one, or truncate first",
            sessions(keys)
        )),
        NamespaceRefusal::UnknownGroup => Status::not_found(
            "the namespace has no session of that group; nothing was changed; `sessile namespace groups` lists them",
        ),
        NamespaceRefusal::TooManyGroups => Status::failed_precondition(format!(
            "{MAX_GROUPS} groups of this namespace were truncated one by one and are not forgotten before all has expired \
             that was written before; nothing was changed; truncate the namespace as a whole, or wait"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_that_nothing_was_changed_or_what_is_so() {
        let (by, table) = (NamespaceId::SESSIONS, NamespaceTable::default());
        for refusal in [
            NamespaceRefusal::NotSeeded,
            NamespaceRefusal::Unknown,
            NamespaceRefusal::NameTaken { by },
            NamespaceRefusal::BaseUriTaken { by },
            NamespaceRefusal::TooMany,
            NamespaceRefusal::Changed,
            NamespaceRefusal::NotEmpty { keys: 1, bytes: 2 },
            NamespaceRefusal::QuotaBelow { keys: 1, bytes: 2 },
            NamespaceRefusal::UnknownGroup,
            NamespaceRefusal::TooManyGroups,
        ] {
            let text = refused(&table, refusal).message().to_owned();
            assert!(text.contains("nothing was changed"), "{text}");
        }
    }

    #[test]
    fn a_lifetime_over_the_longest_is_refused_in_so_many_words() {
        assert!(ttl_of(60, 60).is_ok() && ttl_of(60, 0).is_ok() && ttl_of(0, 0).is_ok());
        for (default, max) in [(61, 60), (0, 60)] {
            let text = ttl_of(default, max).unwrap_err().message().to_owned();
            assert!(text.contains("over the longest, 60 s"), "{text}");
        }
    }
}
