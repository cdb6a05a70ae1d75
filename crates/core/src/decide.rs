use crate::{Action, Bucket, Condition, Header, LogTime, Record, Refusal, Taken, Version, value_hash};

/// Where in the log, and under what, a command meets a key's record.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The replicated clock, this entry's stamp included.
    pub clock: LogTime,
    /// The entry's version.
    pub version: Version,
    /// The generation of the key's namespace.
    pub namespace_generation: u64,
    /// The generation of the key's group.
    pub group_generation: u64,
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

impl Place {
    /// Whether a stored record is there for anybody: not expired, and of the generations in force.
    pub fn is_live(&self, header: &Header) -> bool {
        header.expires_at > self.clock
            && header.namespace_generation == self.namespace_generation
            && header.group_generation == self.group_generation
    }
}

/// What a command does to the one record its key has now. Pure: same input, same answer, on every replica.
pub fn decide(place: &Place, current: Option<&Record>, action: &Action) -> Decision {
    let live = current.filter(|record| place.is_live(&record.header));
    let condition: &Condition = match action {
        Action::Put(put) => &put.condition,
        Action::Delete(delete) => &delete.condition,
    };
    match action {
        _ if !condition.holds(live) => Decision::Refuse(Refusal::ConditionFailed),
        Action::Put(put) => {
            let expires_at = put.ttl.expires_at(place.clock);
            let header = Header {
                namespace_generation: place.namespace_generation,
                group_generation: place.group_generation,
                expires_at,
                bucket: Bucket::of(place.clock, expires_at),
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
                clock: place.clock,
            }),
        },
    }
}
