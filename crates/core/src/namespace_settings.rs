use bytes::Bytes;
use prost::Message;

use crate::wire;
use crate::{BaseUri, NamespaceName, ReadConsistency, Renewal, Ttl, TtlPolicy};

/// What an operator chooses about a namespace. Encoded as protobuf wherever it is stored or sent, so that later programs
/// can add to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub struct NamespaceSettings {
    /// Its name.
    pub name: NamespaceName,
    /// The path that its keys are under.
    pub base_uri: BaseUri,
    /// What lifetimes it gives.
    pub ttl: TtlPolicy,
    /// How many keys it may count; 0 for as many as there are.
    pub max_keys: u64,
    /// How many bytes of keys and values it may count; 0 for as many as there are.
    pub max_bytes: u64,
    /// The largest value, in bytes; 0 for what a node takes.
    pub max_value: u64,
    /// What a read proves before it answers.
    pub read_consistency: ReadConsistency,
    /// The higher, the later its writes are refused when disks fill up.
    pub priority: u32,
    /// Whether reads renew its records.
    pub renewal: Renewal,
}

/// Bytes that are no settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the settings of a namespace: {0}")]
pub struct SettingsError(&'static str);

impl NamespaceSettings {
    /// A namespace without limits, of that name and under that path.
    pub fn unlimited(name: NamespaceName, base_uri: BaseUri) -> Self {
        Self {
            name,
            base_uri,
            ttl: TtlPolicy::UNLIMITED,
            max_keys: 0,
            max_bytes: 0,
            max_value: 0,
            read_consistency: ReadConsistency::Linearizable,
            priority: 0,
            renewal: Renewal::Never,
        }
    }

    /// The bytes that stand for it everywhere.
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are damaged, or break a rule of a setting.
    pub fn decode(bytes: &[u8]) -> Result<Self, SettingsError> {
        let wire = wire::NamespaceSettings::decode(bytes).map_err(|_| SettingsError("the protobuf is damaged"))?;
        Self::from_wire(&wire)
    }

    pub(crate) fn to_wire(&self) -> wire::NamespaceSettings {
        let seconds = |ttl: Ttl| ttl.as_secs().unwrap_or(0);
        wire::NamespaceSettings {
            name: self.name.as_str().to_owned(),
            base_uri: self.base_uri.as_str().to_owned(),
            default_ttl_seconds: seconds(self.ttl.default_ttl()),
            max_ttl_seconds: seconds(self.ttl.max_ttl()),
            max_keys: self.max_keys,
            max_bytes: self.max_bytes,
            max_value_bytes: self.max_value,
            local_reads: self.read_consistency == ReadConsistency::Local,
            priority: self.priority,
            renew_half: self.renewal == Renewal::Half,
        }
    }

    pub(crate) fn from_wire(wire: &wire::NamespaceSettings) -> Result<Self, SettingsError> {
        let ttl = |seconds| Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER);
        let ttl = TtlPolicy::new(ttl(wire.default_ttl_seconds), ttl(wire.max_ttl_seconds));
        Ok(Self {
            name: NamespaceName::new(&wire.name).map_err(|_| SettingsError("the name is none"))?,
            base_uri: BaseUri::new(&wire.base_uri).map_err(|_| SettingsError("the base URI is none"))?,
            ttl: ttl.ok_or(SettingsError("the default lifetime is longer than the longest"))?,
            max_keys: wire.max_keys,
            max_bytes: wire.max_bytes,
            max_value: wire.max_value_bytes,
            read_consistency: if wire.local_reads { ReadConsistency::Local } else { ReadConsistency::Linearizable },
            priority: wire.priority,
            renewal: if wire.renew_half { Renewal::Half } else { Renewal::Never },
        })
    }
}

impl From<NamespaceSettings> for Vec<u8> {
    fn from(settings: NamespaceSettings) -> Self {
        settings.encode().into()
    }
}

impl TryFrom<Vec<u8>> for NamespaceSettings {
    type Error = SettingsError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, SettingsError> {
        Self::decode(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_went_and_nonsense_is_refused() {
        let echo = NamespaceSettings {
            ttl: TtlPolicy::new(Ttl::from_secs(60).unwrap(), Ttl::from_secs(31_536_000).unwrap()).unwrap(),
            max_keys: 1,
            max_bytes: 2,
            max_value: 3,
            read_consistency: ReadConsistency::Local,
            priority: 4,
            renewal: Renewal::Half,
            ..NamespaceSettings::unlimited(NamespaceName::new("echo").unwrap(), BaseUri::new("/echoseen/v1").unwrap())
        };
        for settings in [echo.clone(), NamespaceSettings::unlimited(NamespaceName::sessions(), BaseUri::default())] {
            assert_eq!(NamespaceSettings::decode(&settings.encode()), Ok(settings));
        }
        let wire = echo.to_wire();
        for broken in [
            wire::NamespaceSettings { name: "Echo".into(), ..wire.clone() },
            wire::NamespaceSettings { base_uri: "/a//b".into(), ..wire.clone() },
            wire::NamespaceSettings { default_ttl_seconds: 31_536_001, ..wire },
        ] {
            NamespaceSettings::from_wire(&broken).expect_err("it breaks a rule");
        }
    }
}
