use crate::{
    Action, Bucket, Header, Horizon, Limit, Limits, Put, Record, Refusal, Renew, Taken, Ttl, Version, value_hash,
};

/// Where in the log a command meets a key's record.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// By what the record is live or not, this entry's stamp included.
    pub horizon: Horizon,
    /// The entry's version.
    pub version: Version,
    /// The newest generation that the key's namespace has given, to itself or to one of its groups.
    pub generation: u64,
    /// Whether the key's group is counted by name.
    pub counted_by_name: bool,
    /// How many bytes the key has.
    pub key_bytes: u64,
    /// What the key's namespace may hold, and holds.
    pub limits: Limits,
    /// Whether reads renew the key's record, so that it keeps its lifetime.
    pub keeps_lifetime: bool,
}

/// What becomes of a key's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays as it is.
    Refuse(Refusal),
    /// This one takes its place.
    Write(Record),
    /// This one, which is the same with another lifetime, takes its place.
    Renew(Record),
    /// It lives on as it is: there is none, or it need not be renewed.
    Leave {
        /// Which write it is.
        version: Option<Version>,
    },
    /// It goes.
    Erase {
        /// Whether there was a live one.
        existed: bool,
        /// What it was, if the command asked.
        taken: Option<Taken>,
    },
}

/// What a command does to the one record its key has now. Pure: same input, same answer, on every replica.
pub fn decide(place: &Place, current: Option<&Record>, action: &Action) -> Decision {
    let live = current.filter(|record| place.horizon.shows(&record.header));
    match action {
        _ if !action.condition().holds(live) => Decision::Refuse(Refusal::ConditionFailed),
        Action::Put(put) => {
            let counted = current.filter(|record| !place.horizon.has_let_go_of(&record.header));
            let replaced = counted.map(|record| record.header.value_bytes);
            match place.limits.broken_by(put, place.key_bytes, replaced) {
                Some(limit) => Decision::Refuse(Refusal::Limit(limit)),
                None => Decision::Write(written(place, put)),
            }
        }
        Action::Delete(delete) => Decision::Erase {
            existed: live.is_some(),
            taken: live.filter(|_| delete.take).map(|record| Taken {
                value: record.value.clone(),
                version: record.header.version,
                expires_at: record.header.expires_at,
                clock: place.horizon.clock,
            }),
        },
        Action::Renew(renew) => decide_renewal(place, live, renew),
    }
}

fn decide_renewal(place: &Place, live: Option<&Record>, renew: &Renew) -> Decision {
    let Some(record) = live else { return Decision::Leave { version: None } };
    if renew.if_due && record.header.due_renewal(place.horizon.clock).is_none() {
        return Decision::Leave { version: Some(record.header.version) };
    }
    if renew.ttl > place.limits.max_ttl {
        return Decision::Refuse(Refusal::Limit(Limit::Lifetime));
    }
    let header = Header { version: record.header.version, ..header(place, &record.value, renew.ttl) };
    Decision::Renew(Record { header, value: record.value.clone() })
}

/// The record that a write makes.
fn written(place: &Place, put: &Put) -> Record {
    Record { header: header(place, &put.value, put.ttl), value: put.value.clone() }
}

fn header(place: &Place, value: &[u8], ttl: Ttl) -> Header {
    let expires_at = ttl.expires_at(place.horizon.clock);
    Header {
        namespace_generation: place.horizon.namespace_generation,
        // Not the oldest of the group that is there: that one is forgotten in time, and what a member made durable before
        // it was may still go by it.
        group_generation: place.generation,
        expires_at,
        bucket: Bucket::of(place.horizon.clock, expires_at),
        counted_by_name: place.counted_by_name,
        version: place.version,
        value_bytes: value.len() as u64,
        value_hash: value_hash(value),
        lifetime: Some(ttl).filter(|_| place.keeps_lifetime),
    }
}
