use sessile_store::Reservation;

use super::lobby::Lobby;
use crate::transport::{ThisNode, cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
use crate::wire::Identity;

/// Who this node is, also while it belongs to no cluster.
pub(super) fn identity(this: &ThisNode, lobby: &Lobby) -> Identity {
    let reservation = lobby.reservation();
    Identity {
        reserved: reservation.map(|reservation| cluster_to_wire(reservation.cluster)).unwrap_or_default(),
        initiator: reservation.map(|reservation| id_to_wire(reservation.initiator)).unwrap_or_default(),
        former: lobby.former(),
        joining: lobby.clusters().into_keys().next().map(cluster_to_wire).unwrap_or_default(),
        ..this.identity()
    }
}

pub(super) fn reservation_from(cluster: &[u8], initiator: &[u8]) -> Option<Reservation> {
    Some(Reservation { cluster: cluster_from_wire(cluster)?, initiator: id_from_wire(initiator)? })
}
