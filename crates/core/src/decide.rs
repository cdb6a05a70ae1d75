use crate::{Action, Bucket, Condition, Header, Horizon, Record, Refusal, Taken, Version, value_hash};

/// Where in the log a command meets a key's record.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// By what the record is live or not, this entry's stamp included.
    pub horizon: Horizon,
    /// The entry's version.
    pub version: Version,
    /// Whether the key's group is counted by name.
    pub counted_by_name: bool,
}

/// What becomes of a key's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays as it is.
    Refuse(Refusal),
    /// This one takes its place.
    Write(Record),
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
    let condition: &Condition = match action {
        Action::Put(put) => &put.condition,
        Action::Delete(delete) => &delete.condition,
    };
    match action {
        _ if !condition.holds(live) => Decision::Refuse(Refusal::ConditionFailed),
        Action::Put(put) => {
            let expires_at = put.ttl.expires_at(place.horizon.clock);
            let header = Header {
                namespace_generation: place.horizon.namespace_generation,
                group_generation: place.horizon.group_generation,
                expires_at,
                bucket: Bucket::of(place.horizon.clock, expires_at),
                counted_by_name: place.counted_by_name,
                version: place.version,
                value_bytes: put.value.len() as u64,
                value_hash: value_hash(&put.value),
            };
            Decision::Write(Record { header, value: put.value.clone() })
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
    }
}
