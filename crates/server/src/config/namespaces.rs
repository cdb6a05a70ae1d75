use std::ops::RangeInclusive;

use sessile_core::{
    BaseUri, MAX_NAMESPACES, MAX_TTL, NamespaceName, NamespaceSettings, ReadConsistency, Renewal, Ttl, TtlPolicy,
};

use super::block::{Block, Located};
use super::fault::{ConfigError, not_one_of, quoted};

/// Any number that a signed one of 64 bits holds too: what scripts in other languages read.
const COUNT: RangeInclusive<u64> = 0..=i64::MAX as u64;
/// Priorities are compared, and nobody needs more of them.
const PRIORITY: RangeInclusive<u64> = 0..=1_000;
/// What the top of the file says of `sessions`, where the list does not.
const OF_SESSIONS: [&str; 4] = ["base_uri", "default_ttl", "max_ttl", "read_consistency"];

/// The namespaces that the file names, `sessions` among them: from the list, or else as the top of the file says it.
pub(super) fn check(top: &Block<'_>, sessions: NamespaceSettings) -> Result<Vec<NamespaceSettings>, ConfigError> {
    let blocks = top.blocks("namespaces")?;
    if blocks.len() > MAX_NAMESPACES {
        let sentence = format!("`namespaces` has {} of them; at most {MAX_NAMESPACES} are taken", blocks.len());
        return Err(ConfigError::at(top.line_of("namespaces").unwrap_or(1), sentence));
    }
    let mut all: Vec<(NamespaceSettings, usize)> = Vec::new();
    for block in &blocks {
        let line = block.line();
        let settings = one(block)?;
        if settings.name == NamespaceName::sessions()
            && let Some(key) = OF_SESSIONS.iter().find(|key| top.has(key))
        {
            let sentence =
                format!("`namespaces` says what `sessions` is, so `{key}` at the top has no effect; remove it");
            return Err(ConfigError::at(top.line_of(key).unwrap_or(line), sentence));
        }
        all.push((settings, line));
    }
    if !all.iter().any(|(settings, _)| settings.name == NamespaceName::sessions()) {
        all.insert(0, (sessions, 1));
    }
    for (place, (settings, line)) in all.iter().enumerate() {
        for (other, _) in &all[..place] {
            if other.name == settings.name {
                let sentence = format!("`namespaces` has {} a second time; keep one of them", settings.name);
                return Err(ConfigError::at(*line, sentence));
            }
            if other.base_uri.overlaps(&settings.base_uri) {
                let sentence = format!(
                    "the base URI of `{}`, {}, overlaps with that of `{}`, {}; choose one that neither leads into the other",
                    settings.name, settings.base_uri, other.name, other.base_uri
                );
                return Err(ConfigError::at(*line, sentence));
            }
        }
    }
    Ok(all.into_iter().map(|(settings, _)| settings).collect())
}

fn one(block: &Block<'_>) -> Result<NamespaceSettings, ConfigError> {
    let missing = |key: &str| ConfigError::at(block.line(), format!("a namespace needs `{key}`"));
    let Located { value, line } = block.text("name")?.ok_or_else(|| missing("name"))?;
    let name = NamespaceName::new(value)
        .map_err(|error| ConfigError::at(line, format!("`namespaces.name` {} is none: {error}", quoted(value))))?;
    let Located { value, line } = block.text("base_uri")?.ok_or_else(|| missing("base_uri"))?;
    let base_uri = BaseUri::new(value).map_err(|why| ConfigError::at(line, format!("`namespaces.base_uri` {why}")))?;
    let count = |key, unit| Ok(block.number(key, unit, &COUNT)?.map_or(0, |found| found.value));
    Ok(NamespaceSettings {
        ttl: ttl(block)?,
        max_keys: count("max_keys", "")?,
        max_bytes: count("max_bytes", "bytes")?,
        max_value: count("max_value", "bytes")?,
        read_consistency: match block.text("read_consistency")? {
            None => ReadConsistency::Linearizable,
            Some(Located { value, line }) => ReadConsistency::from_name(value).ok_or_else(|| {
                let names = ReadConsistency::ALL.map(ReadConsistency::name).join(", ");
                not_one_of("namespaces.read_consistency", &names, value, line)
            })?,
        },
        priority: block.number("priority", "", &PRIORITY)?.map_or(0, |found| found.value.try_into().unwrap_or(0)),
        renewal: match block.text("renew")? {
            None => Renewal::Never,
            Some(Located { value, line }) => Renewal::from_name(value).ok_or_else(|| {
                not_one_of("namespaces.renew", &Renewal::ALL.map(Renewal::name).join(", "), value, line)
            })?,
        },
        ..NamespaceSettings::unlimited(name, base_uri)
    })
}

fn ttl(block: &Block<'_>) -> Result<TtlPolicy, ConfigError> {
    const DAY: u64 = 86_400;
    let seconds = |key| block.number(key, "seconds", &(0..=MAX_TTL.as_secs()));
    let ttl = |seconds| Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER);
    let default = ttl(seconds("default_ttl")?.map_or(DAY, |found| found.value));
    let max = seconds("max_ttl")?;
    let longest = max.map_or(ttl(366 * DAY).max(default), |found| ttl(found.value));
    TtlPolicy::new(default, longest).ok_or_else(|| {
        let line = max.map_or(block.line(), |found| found.line);
        ConfigError::at(line, "`namespaces.max_ttl` is below `default_ttl`; raise it, or leave it out")
    })
}

/// Whether the top of a file can say all of it.
pub(super) fn is_plain(settings: &NamespaceSettings) -> bool {
    let NamespaceSettings { max_keys, max_bytes, max_value, priority, renewal, .. } = *settings;
    (max_keys, max_bytes, max_value, priority, renewal) == (0, 0, 0, 0, Renewal::Never)
}

/// The list as it stands in a file, without what the top of the file says.
pub(super) fn lines(all: &[NamespaceSettings]) -> Vec<String> {
    let sessions = NamespaceName::sessions();
    let listed: Vec<_> = all.iter().filter(|settings| settings.name != sessions || !is_plain(settings)).collect();
    if listed.is_empty() {
        return Vec::new();
    }
    let seconds = |ttl: Ttl| ttl.as_secs().unwrap_or(0);
    let line = |settings: &&NamespaceSettings| {
        format!(
            "  - {{ name: {}, base_uri: {}, default_ttl: {}, max_ttl: {}, max_keys: {}, max_bytes: {}, max_value: {}, \
             read_consistency: {}, priority: {}, renew: {} }}",
            settings.name,
            serde_json::Value::from(settings.base_uri.as_str()),
            seconds(settings.ttl.default_ttl()),
            seconds(settings.ttl.max_ttl()),
            settings.max_keys,
            settings.max_bytes,
            settings.max_value,
            settings.read_consistency.name(),
            settings.priority,
            settings.renewal.name()
        )
    };
    std::iter::once("namespaces:".to_owned()).chain(listed.iter().map(line)).collect()
}
