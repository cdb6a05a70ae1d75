//! What a command does to the namespaces. Pure: same table, same counts, same answer, on every replica.

use std::sync::Arc;

use crate::checksum;
use crate::ledger::Ledger;
use crate::namespace_table::Namespace;
use crate::token_rules;
use crate::{
    Bucket, GroupName, LogTime, MAX_GROUPS, MAX_NAMESPACES, NamespaceChanged, NamespaceCommand, NamespaceId,
    NamespaceName, NamespaceRefusal, NamespaceSettings, NamespaceTable, Row, RowKey, StoredNamespace, Tally,
    TruncatedGroup,
};

/// Carries out a command of the entry at that log index and time, or says why not, and then changes nothing.
pub(crate) fn carry_out(
    table: &mut Arc<NamespaceTable>,
    ledger: &mut Ledger,
    (index, clock): (u64, LogTime),
    command: &NamespaceCommand,
) -> Result<NamespaceChanged, NamespaceRefusal> {
    judge(table, ledger, command)?;
    let table = Arc::make_mut(table);
    let (namespace, gone) = match command {
        NamespaceCommand::Seed(all) => (seed(table, ledger, index, all), Tally::default()),
        NamespaceCommand::Create(settings) => (create(table, ledger, index, settings), Tally::default()),
        NamespaceCommand::Set { namespace, settings, .. } => {
            let set = |of: &mut Namespace| (of.settings, of.changed_at) = (settings.clone(), index);
            change(table, ledger, *namespace, set);
            (*namespace, Tally::default())
        }
        NamespaceCommand::Drop { namespace, .. } => (*namespace, drop_namespace(table, ledger, *namespace)),
        NamespaceCommand::Truncate { namespace, group: None } => {
            (*namespace, truncate(table, ledger, *namespace, index))
        }
        NamespaceCommand::Truncate { namespace, group: Some(group) } => {
            (*namespace, truncate_group(table, ledger, *namespace, group, index))
        }
        NamespaceCommand::AddToken { namespace, name, right, hash } => {
            token_rules::add(table, ledger, (*namespace, name), (*right, *hash), clock);
            (*namespace, Tally::default())
        }
        NamespaceCommand::RemoveToken { namespace, name } => {
            token_rules::remove(table, ledger, *namespace, name);
            (*namespace, Tally::default())
        }
        NamespaceCommand::TokenUsed { namespace, hash, used_at } => {
            token_rules::note_use(table, ledger, *namespace, hash, (*used_at).min(clock));
            (*namespace, Tally::default())
        }
    };
    Ok(NamespaceChanged { namespace, keys: gone.keys, bytes: gone.bytes })
}

/// Time goes on: a group that was truncated is forgotten once all has expired that was written before.
pub(crate) fn pass(table: &mut Arc<NamespaceTable>, ledger: &mut Ledger, clock: LogTime) {
    let passed = |(id, of): (NamespaceId, &Namespace)| {
        let groups = of.truncated.iter().filter(|(_, group)| group.until.has_passed(clock));
        groups.map(|(name, _)| (id, name.clone())).collect::<Vec<_>>()
    };
    let passed: Vec<(NamespaceId, GroupName)> = table.iter().flat_map(passed).collect();
    for (id, name) in passed {
        forget_group(Arc::make_mut(table), ledger, id, &name);
    }
}

/// The rows of a table; none until it is seeded.
pub(crate) fn rows(table: &NamespaceTable) -> impl Iterator<Item = (RowKey, Row)> {
    let last = table.last_id().map(|last| (RowKey::LastNamespace, Row::LastNamespace(last)));
    let all = table.iter().filter(|_| table.is_seeded());
    let namespaces = all.flat_map(|(id, namespace)| {
        let groups = namespace.truncated.iter();
        let groups =
            groups.map(move |(name, group)| (RowKey::TruncatedGroup(id, name.clone()), Row::TruncatedGroup(*group)));
        let tokens = namespace.tokens.iter();
        let tokens = tokens.map(move |(name, token)| (RowKey::Token(id, name.clone()), Row::Token(token.clone())));
        std::iter::once((RowKey::Namespace(id), Row::Namespace(namespace.stored()))).chain(groups).chain(tokens)
    });
    last.into_iter().chain(namespaces)
}

/// One of those.
pub(crate) fn row(table: &NamespaceTable, key: &RowKey) -> Option<Row> {
    match key {
        RowKey::LastNamespace => table.last_id().map(Row::LastNamespace),
        RowKey::Namespace(id) => Some(Row::Namespace(table.get(*id)?.stored())),
        RowKey::TruncatedGroup(id, name) => table.get(*id)?.truncated.get(name).copied().map(Row::TruncatedGroup),
        RowKey::Token(id, name) => table.get(*id)?.tokens.get(name).cloned().map(Row::Token),
        _ => None,
    }
}

/// Puts stored rows back.
pub(crate) fn restore_last(table: &mut Arc<NamespaceTable>, ledger: &mut Ledger, last: NamespaceId) {
    Arc::make_mut(table).restore_last_id(last);
    ledger.sums.add(checksum::last_namespace(last));
}

pub(crate) fn restore(table: &mut Arc<NamespaceTable>, ledger: &mut Ledger, id: NamespaceId, stored: StoredNamespace) {
    ledger.sums.add(checksum::namespace(id, &stored));
    Arc::make_mut(table).restore(id, stored);
}

/// `None` for a group of a namespace that is not there.
pub(crate) fn restore_group(
    table: &mut Arc<NamespaceTable>,
    ledger: &mut Ledger,
    (id, name): (NamespaceId, GroupName),
    group: TruncatedGroup,
) -> Option<()> {
    let namespace = Arc::make_mut(table).get_mut(id)?;
    ledger.sums.add(checksum::truncated_group(id, &name, &group));
    namespace.truncated.insert(name, group);
    Some(())
}

/// Whether a command may be carried out.
fn judge(table: &NamespaceTable, ledger: &Ledger, command: &NamespaceCommand) -> Result<(), NamespaceRefusal> {
    let known = |id: &NamespaceId| table.get(*id).ok_or(NamespaceRefusal::Unknown);
    let others = |than: Option<NamespaceId>| {
        table.iter().filter(move |(id, _)| Some(*id) != than).map(|(id, namespace)| (id, &namespace.settings))
    };
    match command {
        NamespaceCommand::Seed(_) if table.is_seeded() => Err(NamespaceRefusal::Seeded),
        NamespaceCommand::Seed(all) => judge_seed(all),
        _ if !table.is_seeded() => Err(NamespaceRefusal::NotSeeded),
        NamespaceCommand::Create(_) if table.len() >= MAX_NAMESPACES => Err(NamespaceRefusal::TooMany),
        NamespaceCommand::Create(settings) => fits(others(None), settings),
        NamespaceCommand::Set { namespace, if_changed_at, settings } => {
            let before = known(namespace)?;
            if before.changed_at != *if_changed_at {
                return Err(NamespaceRefusal::Changed);
            }
            fits(others(Some(*namespace)), settings)?;
            quota_holds(&before.settings, settings, &ledger.total(*namespace))
        }
        NamespaceCommand::Drop { namespace, force } => {
            known(namespace)?;
            let Tally { keys, bytes, .. } = ledger.total(*namespace);
            if keys > 0 && !force { Err(NamespaceRefusal::NotEmpty { keys, bytes }) } else { Ok(()) }
        }
        NamespaceCommand::Truncate { namespace, group: None } => known(namespace).map(|_| ()),
        NamespaceCommand::Truncate { namespace, group: Some(group) } => {
            let before = known(namespace)?;
            let is_there = ledger.group(*namespace, group.as_str()).is_some();
            if !is_there && ledger.unnamed_until(*namespace).is_none() {
                return Err(NamespaceRefusal::UnknownGroup);
            }
            let has_place = before.truncated.contains_key(group) || before.truncated.len() < MAX_GROUPS;
            if has_place { Ok(()) } else { Err(NamespaceRefusal::TooManyGroups) }
        }
        NamespaceCommand::AddToken { namespace, name, right, hash } => {
            token_rules::judge_new(known(namespace)?, name, *right, hash)
        }
        NamespaceCommand::RemoveToken { namespace, name } => {
            let is_there = known(namespace)?.tokens.contains_key(name);
            if is_there { Ok(()) } else { Err(NamespaceRefusal::UnknownToken) }
        }
        NamespaceCommand::TokenUsed { namespace, .. } => known(namespace).map(|_| ()),
    }
}

/// Of those that are told together none may be in another's way, and `sessions` is one of them.
fn judge_seed(all: &[NamespaceSettings]) -> Result<(), NamespaceRefusal> {
    if all.len() > MAX_NAMESPACES {
        return Err(NamespaceRefusal::TooMany);
    }
    if !all.iter().any(|settings| settings.name == NamespaceName::sessions()) {
        return Err(NamespaceRefusal::Unknown);
    }
    let all: Vec<_> = numbered(all).collect();
    let mut each = all.iter().enumerate();
    each.try_for_each(|(place, (settings, _))| fits(all[..place].iter().map(|(other, id)| (*id, *other)), settings))
}

/// Whether a namespace can have these settings beside the others.
fn fits<'a>(
    others: impl IntoIterator<Item = (NamespaceId, &'a NamespaceSettings)>,
    new: &NamespaceSettings,
) -> Result<(), NamespaceRefusal> {
    for (by, other) in others {
        if other.name == new.name {
            return Err(NamespaceRefusal::NameTaken { by });
        }
        if other.base_uri.overlaps(&new.base_uri) {
            return Err(NamespaceRefusal::BaseUriTaken { by });
        }
    }
    Ok(())
}

/// Whether no quota that is another now is below what is counted.
fn quota_holds(
    before: &NamespaceSettings,
    after: &NamespaceSettings,
    &Tally { keys, bytes, .. }: &Tally,
) -> Result<(), NamespaceRefusal> {
    let is_below = |before: u64, after: u64, counted: u64| before != after && after > 0 && counted > after;
    if is_below(before.max_keys, after.max_keys, keys) || is_below(before.max_bytes, after.max_bytes, bytes) {
        return Err(NamespaceRefusal::QuotaBelow { keys, bytes });
    }
    Ok(())
}

/// `sessions` has the first id, whatever its place among them.
fn numbered(all: &[NamespaceSettings]) -> impl Iterator<Item = (&NamespaceSettings, NamespaceId)> {
    let is_sessions = |settings: &&NamespaceSettings| settings.name == NamespaceName::sessions();
    let sessions = all.iter().filter(is_sessions);
    let others = all.iter().filter(move |settings| !is_sessions(settings));
    sessions.chain(others).zip((NamespaceId::SESSIONS.number()..).map(NamespaceId::new))
}

fn seed(table: &mut NamespaceTable, ledger: &mut Ledger, index: u64, all: &[NamespaceSettings]) -> NamespaceId {
    table.seed(numbered(all).map(|(settings, id)| (id, settings.clone())), index);
    for (id, namespace) in table.iter() {
        ledger.sums.add(checksum::namespace(id, &namespace.stored()));
        ledger.changed.insert(RowKey::Namespace(id));
    }
    note_last(table, ledger, None);
    NamespaceId::SESSIONS
}

fn create(table: &mut NamespaceTable, ledger: &mut Ledger, index: u64, settings: &NamespaceSettings) -> NamespaceId {
    let last = table.last_id();
    let id = table.add(settings.clone(), index);
    note_last(table, ledger, last);
    if let Some(made) = table.get(id) {
        ledger.sums.add(checksum::namespace(id, &made.stored()));
        ledger.changed.insert(RowKey::Namespace(id));
    }
    id
}

fn note_last(table: &NamespaceTable, ledger: &mut Ledger, before: Option<NamespaceId>) {
    before.iter().for_each(|last| ledger.sums.subtract(checksum::last_namespace(*last)));
    table.last_id().iter().for_each(|last| ledger.sums.add(checksum::last_namespace(*last)));
    ledger.changed.insert(RowKey::LastNamespace);
}

fn change(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId, change: impl FnOnce(&mut Namespace)) {
    let Some(namespace) = table.get_mut(id) else { return };
    ledger.sums.subtract(checksum::namespace(id, &namespace.stored()));
    change(namespace);
    ledger.sums.add(checksum::namespace(id, &namespace.stored()));
    ledger.changed.insert(RowKey::Namespace(id));
}

fn drop_namespace(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId) -> Tally {
    forget_groups(table, ledger, id);
    token_rules::remove_all(table, ledger, id);
    if let Some(gone) = table.remove(id) {
        ledger.sums.subtract(checksum::namespace(id, &gone.stored()));
        ledger.changed.insert(RowKey::Namespace(id));
    }
    ledger.clear(id)
}

fn truncate(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId, index: u64) -> Tally {
    // All of their records are of an older generation of the namespace now.
    forget_groups(table, ledger, id);
    change(table, ledger, id, |namespace| {
        namespace.last_generation += 1;
        namespace.generation = namespace.last_generation;
        namespace.changed_at = index;
    });
    ledger.clear(id)
}

fn truncate_group(
    table: &mut NamespaceTable,
    ledger: &mut Ledger,
    id: NamespaceId,
    name: &GroupName,
    index: u64,
) -> Tally {
    // What an earlier truncate hid must stay hidden, too.
    let hidden_before = table.get(id).and_then(|namespace| namespace.truncated.get(name)).map(|group| group.until);
    let until = ledger.last_bucket(id, name.as_str()).max(ledger.unnamed_until(id)).max(hidden_before);
    let gone = ledger.clear_group(id, name).unwrap_or_default();
    forget_group(table, ledger, id, name);
    change(table, ledger, id, |namespace| {
        namespace.last_generation += 1;
        namespace.changed_at = index;
        let until = until.unwrap_or(Bucket::ending(LogTime::NEVER));
        let group = TruncatedGroup { generation: namespace.last_generation, until };
        namespace.truncated.insert(name.clone(), group);
    });
    if let Some(group) = table.get(id).and_then(|namespace| namespace.truncated.get(name)) {
        ledger.sums.add(checksum::truncated_group(id, name, group));
        ledger.changed.insert(RowKey::TruncatedGroup(id, name.clone()));
    }
    gone
}

fn forget_groups(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId) {
    let names: Vec<GroupName> =
        table.get(id).map(|namespace| namespace.truncated.keys().cloned().collect()).unwrap_or_default();
    names.iter().for_each(|name| forget_group(table, ledger, id, name));
}

fn forget_group(table: &mut NamespaceTable, ledger: &mut Ledger, id: NamespaceId, name: &GroupName) {
    if let Some(group) = table.get_mut(id).and_then(|namespace| namespace.truncated.remove(name)) {
        ledger.sums.subtract(checksum::truncated_group(id, name, &group));
        ledger.changed.insert(RowKey::TruncatedGroup(id, name.clone()));
    }
}
