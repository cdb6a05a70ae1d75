//! `sessile cluster rescue`: what is left of a cluster whose majority is lost for ever becomes a new one. First a plan that a
//! person can read, and then the act, once the cluster's id was typed.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use sessile_cluster::Operators;
use sessile_embed::{ClusterId, Error, NodeId, OldData, StoreError, Survivor, Unfinished};

use super::args::Rescue;
use super::show::{print, say};
use crate::config::{Config, Environment};
use crate::exit::{Failure, Status};
use crate::output;
use crate::resources::Resources;
use crate::status::duration::moment;
use crate::status::row::printable;
use crate::unix_user::this_user;

/// How many digits of the cluster's id are enough to show that it was read.
const TYPED_DIGITS: usize = 8;

pub(super) async fn rescue(asked: &Rescue) -> anyhow::Result<ExitCode> {
    let config = Config::load(&asked.config, &Environment::of_process())?;
    if config.cluster.is_none() {
        let sentence = format!(
            "{} has no `cluster`: a single node has nobody to lose, and starts as it is; without its data, restore a \
             backup with `sessile restore`",
            asked.config.display()
        );
        return Err(Failure::new(Status::Usage, sentence).into());
    }
    let resources = Resources::of(&config)?;
    let node = resources.node(OldData::Keep, Operators::default());
    let survivor = match Survivor::open(&node).await {
        Ok(survivor) => survivor,
        Err(Error::Store(StoreError::CutShort { act: Unfinished::Rescue, .. })) if !asked.plan => {
            let ended = Survivor::go_on(&node, this_user()).await.map_err(failure)?;
            return say(&ended.map_or_else(|| "nothing is left to do".to_owned(), made));
        }
        Err(error) => return Err(failure(error).into()),
    };
    let refusal = refusal(&survivor);
    print(&plan(&survivor, refusal.as_deref()))?;
    let cluster = survivor.plan.cluster;
    if asked.plan || refusal.is_some() {
        survivor.leave(&node).await.map_err(failure)?;
        return match refusal.filter(|_| !asked.plan) {
            Some(refusal) => Err(Failure::new(Status::Refused, format!("nothing was changed: {refusal}")).into()),
            None => Ok(ExitCode::SUCCESS),
        };
    }
    if let Err(refused) = is_meant(cluster, asked.cluster.as_deref()) {
        survivor.leave(&node).await.map_err(failure)?;
        return Err(refused.into());
    }
    say(&made(survivor.carry_out(&node, this_user()).await.map_err(failure)?))
}

fn made(cluster: ClusterId) -> String {
    format!(
        "this node is the only member of the new cluster {cluster}; start it, and then the other nodes with empty data \
         directories: they join it"
    )
}

/// Why there is nothing to rescue: a majority lives.
fn refusal(Survivor { plan, answering, .. }: &Survivor) -> Option<String> {
    let voters = plan.voters.len();
    let is_voter = plan.voters.iter().any(|(node, _)| *node == plan.node);
    let alive: Vec<NodeId> =
        plan.voters.iter().map(|(node, _)| *node).filter(|node| answering.contains(node)).collect();
    let with_this_one = alive.len() + usize::from(is_voter);
    (with_this_one > voters / 2).then(|| {
        if voters <= 1 {
            return "it is the only voter of its cluster, and needs nobody: start it".to_owned();
        }
        let names: Vec<String> = alive.iter().map(|node| name_of(plan, *node)).collect();
        format!(
            "a majority lives ({}, and this node): start this node, and the cluster goes on by itself",
            names.join(", ")
        )
    })
}

fn name_of(plan: &sessile_embed::RescuePlan, node: NodeId) -> String {
    let member = plan.voters.iter().chain(&plan.learners).find(|(member, _)| *member == node);
    match member.map(|(_, member)| member.name.as_str()) {
        Some(name) if !name.is_empty() => printable(name),
        _ => node.to_string(),
    }
}

/// What a person must know before it is done.
fn plan(survivor: &Survivor, refusal: Option<&str>) -> String {
    let Survivor { plan, answering, .. } = survivor;
    let name = name_of(plan, plan.node);
    let last = moment(plan.last_at.as_millis());
    let mut text = format!(
        "This is node {name} ({}) of cluster {}.\n\nWhat it has\n  {} sessions, as of log index {} of {}; its log ends at \
         entry {} of term {}, of {last}.\n",
        plan.node, plan.cluster, plan.sessions, plan.applied, plan.last_index, plan.last_index, plan.last_term,
    );
    text += "\nThe members that its log names\n";
    for (node, member) in plan.voters.iter().chain(&plan.learners) {
        let role = if plan.voters.iter().any(|(voter, _)| voter == node) { "voter" } else { "learner" };
        let state = if *node == plan.node {
            "this node"
        } else if answering.contains(node) {
            "answers"
        } else {
            "does not answer"
        };
        text += &format!("  {} ({node}), {role}, {}: {state}\n", name_of(plan, *node), printable(&member.address));
    }
    if let Some(refusal) = refusal {
        return text + &format!("\nNothing is to be rescued\n  {refusal}.\n");
    }
    let others: Vec<String> = plan
        .voters
        .iter()
        .chain(&plan.learners)
        .filter(|(node, _)| *node != plan.node)
        .map(|(node, _)| name_of(plan, *node))
        .collect();
    text += &format!(
        "\nWhat may be missing\n  Whatever the other voters acknowledged without this node, after {last}. A session that was \
         ended there may be back.\n  If the data of another voter can be read, look at its plan first, and rescue the one \
         whose log ends at the higher term, or at the same with the higher entry.\n\nWhat is kept\n  Everything in its log \
         up to entry {}, versions and namespaces among it.\n\nWho must never come back with what they have\n  {}: empty \
         their data directories before they start. Their ids are refused by the new cluster.\n",
        plan.last_index,
        if others.is_empty() { "nobody".to_owned() } else { others.join(", ") },
    );
    if !answering.is_empty() {
        let names: Vec<String> = answering.iter().map(|node| name_of(plan, *node)).collect();
        text += &format!("  {} still run: stop them now.\n", names.join(", "));
    }
    text
}

/// Whoever sits at a terminal types what the cluster's id begins with; a script says the id.
fn is_meant(cluster: ClusterId, said: Option<&str>) -> Result<(), Failure> {
    let id = cluster.to_string();
    let refused = |what: String| Err(Failure::new(Status::Refused, format!("nothing was changed: {what}")));
    match said {
        Some(said) if said == id => return Ok(()),
        Some(_) => return refused(format!("the cluster is {id}, and --cluster names another one")),
        None => {}
    }
    if !io::stdin().is_terminal() {
        return refused(format!("say that this is meant with --cluster {id}"));
    }
    output::to_stderr(&format!("\nType the first {TYPED_DIGITS} digits of the cluster's id to do it: "));
    let mut typed = String::new();
    let is_typed = io::stdin().lock().read_line(&mut typed).is_ok() && typed.trim() == &id[..TYPED_DIGITS];
    if is_typed { Ok(()) } else { refused("the cluster's id was not typed".to_owned()) }
}

fn failure(error: Error) -> Failure {
    let status = match &error {
        Error::Store(refused) => refused.into(),
        _ => Status::Failure,
    };
    Failure::new(status, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_id_of_the_cluster_is_taken_for_a_script_that_means_it() {
        let cluster = ClusterId::from_bits(7);
        is_meant(cluster, Some(&cluster.to_string())).unwrap();
        let refused = is_meant(cluster, Some("7")).unwrap_err();
        assert_eq!(refused.status(), Status::Refused);
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
    }
}
