//! Where members are reached now, by an operator's word, while there is no leader to whom that could be told.

use sessile_store::NodeId;
use tonic::Status;
use tracing::info;

use super::managed::ManagedMember;
use crate::membership::find;
use crate::transport::ThisNode;
use crate::wire::{ChangeResponse, MemberAddress};

/// Looks whether each of them answers there and is who it is meant to be, and only then goes by it. The others hear of this
/// node when it calls them, and so where it is.
pub(super) async fn move_addresses(
    member: &ManagedMember,
    this: &ThisNode,
    moves: Vec<MemberAddress>,
) -> Result<ChangeResponse, Status> {
    let membership = member.group.membership();
    let mut found: Vec<(NodeId, String)> = Vec::new();
    for MemberAddress { member: who, address } in moves {
        let (node, _) = find(membership.membership().nodes(), &who)?;
        if node == this.node() {
            let text =
                format!("{who} is the node that is asked: its own address is `cluster.advertise`; nothing was changed");
            return Err(Status::invalid_argument(text));
        }
        if !this.is_reached_at(node, &address).await {
            let text = format!("at {address} nobody answers who is {who}; nothing was changed");
            return Err(Status::failed_precondition(text));
        }
        found.push((node, address));
    }
    let mut told = Vec::new();
    for (node, address) in found {
        if this.directory().is_at(node, &address) {
            let name = member.group.name_of(node);
            info!(%node, "by an operator's word {name} is at {address}");
            told.push(format!("{name} at {address}"));
        }
    }
    let what = if told.is_empty() {
        "this node looks for them there already".to_owned()
    } else {
        format!("this node looks for {} from now on; a leader is told by the members themselves", told.join(", "))
    };
    let membership_index = membership.log_id().as_ref().map_or(0, |id| id.index);
    Ok(ChangeResponse { changed: !told.is_empty(), what, membership_index })
}
