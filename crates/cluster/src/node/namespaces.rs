use std::sync::Arc;
use std::time::Duration;

use sessile_core::{Command, NamespaceCommand, NamespaceSettings, NamespaceTable, Outcome, Renewal};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::warn;

use crate::admin::{ManagedMember, OwnNamespaces, are_plain};
use crate::membership::Author;

/// How often it is looked whether the namespaces are still to be made.
const ROUND: Duration = Duration::from_millis(250);
/// How long the entry that changes a namespace may take, on a node that is a quorum by itself.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Says once which namespaces there are, as soon as the rules in force know such, and then ends. Whoever leads then says
/// what its configuration says; what others would say has no effect any more.
pub(super) async fn run(member: Arc<ManagedMember>, stop: CancellationToken) {
    let own = &member.own_namespaces;
    if own.is_alone && stop.run_until_cancelled(member.group.when_leading()).await.is_none() {
        return;
    }
    if own.is_alone && are_plain(&own.namespaces) && !member.group.state.namespaces().is_seeded() {
        return;
    }
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        if !own.is_alone && member.group.state.namespaces().is_seeded() {
            return;
        }
        let is_done = async { member.group.leads() && look(&member, own).await };
        if stop.run_until_cancelled(is_done).await == Some(true) {
            return;
        }
    }
}

/// Whether the namespaces have what this configuration says of them, where it is followed.
pub(super) fn follow(table: &NamespaceTable, own: &[NamespaceSettings]) -> bool {
    if table.is_seeded() { own.iter().all(|own| missing(table, own).is_none()) } else { are_plain(own) }
}

/// Says whether nothing is left to do.
async fn look(member: &ManagedMember, own: &OwnNamespaces) -> bool {
    own.make(&member.group, &member.writes).await;
    let state = &member.group.state;
    state.namespaces().is_seeded() && (!own.is_alone || follow_file(member, &own.namespaces).await)
}

/// Makes and changes what a file of a single node says; what it does not name stays. Says whether each was decided.
async fn follow_file(member: &ManagedMember, own: &[NamespaceSettings]) -> bool {
    for own in own {
        let Some((command, what)) = missing(&member.group.state.namespaces(), own) else { continue };
        let changing = async {
            let deadline = Instant::now() + CHANGE_TIMEOUT;
            match member.writes.command(Command::Namespace(command), deadline).await {
                Some(Outcome::Namespace(_)) => Ok(()),
                Some(Outcome::Refused(refusal)) => Err(Status::failed_precondition(refusal.to_string())),
                _ => Err(Status::unavailable("it is not known that it came about")),
            }
        };
        let author = Author::operator("the configuration file".to_owned(), String::new());
        let changed = member.changes.history().record(&author, &what, changing, |()| "done".to_owned()).await;
        match changed {
            Ok(()) => {}
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                warn!(namespace = own.name.as_str(), "the configuration is not followed: {}", status.message());
            }
            Err(_) => return false,
        }
    }
    true
}

/// What is to be done so that a namespace has what a file says of it; a limit that the file leaves out stays as it is.
fn missing(table: &NamespaceTable, own: &NamespaceSettings) -> Option<(NamespaceCommand, String)> {
    let Some((namespace, before)) = table.named(own.name.as_str()) else {
        let what = format!("create the namespace {} under {}", own.name, own.base_uri);
        return Some((NamespaceCommand::Create(own.clone()), what));
    };
    let or_before = |own, before| if own == 0 { before } else { own };
    let settings = NamespaceSettings {
        max_keys: or_before(own.max_keys, before.settings.max_keys),
        max_bytes: or_before(own.max_bytes, before.settings.max_bytes),
        max_value: or_before(own.max_value, before.settings.max_value),
        priority: if own.priority == 0 { before.settings.priority } else { own.priority },
        renewal: if own.renewal == Renewal::Never { before.settings.renewal } else { own.renewal },
        ..own.clone()
    };
    let differs = settings != before.settings;
    let what = format!("set the namespace {} as the file says", own.name);
    differs.then_some((NamespaceCommand::Set { namespace, if_changed_at: before.changed_at, settings }, what))
}
