use sessile_store::Member;
use tonic::Status;

use super::changes::MembershipChanges;
use super::history::Author;

/// Has the leader say that of this member.
pub(super) async fn tell_leader(changes: &MembershipChanges, wanted: Member) -> Result<(), Status> {
    let (group, this) = (changes.group(), changes.this());
    match group.leader() {
        Some(leader) if leader == group.node => {
            let author = Author::node(&wanted.name, &wanted.address);
            changes.admit(group.node, wanted, None, Some(author)).await.map(drop)
        }
        Some(leader) => {
            let address = group.address_of(leader).ok_or_else(|| Status::unavailable("the leader has no address"))?;
            this.announce(&wanted, &address).await
        }
        None => Err(Status::unavailable("no leader is known")),
    }
}
