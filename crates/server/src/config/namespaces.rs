use sessile_core::{
    BaseUri, MAX_NAMESPACES, NamespaceName, NamespaceSettings, ReadConsistency, Renewal, Ttl, TtlPolicy,
};

use super::block::{Block, Located};
use super::fault::{ConfigError, quoted};
use super::keys::{DEFAULT_MAX_TTL, OF_SESSIONS};
use super::place::Place;

/// The namespaces that the file names, `sessions` among them: from the list, or else as the top of the file says it.
pub(super) fn check(top: &Block<'_>, sessions: NamespaceSettings) -> Result<Vec<NamespaceSettings>, ConfigError> {
    let blocks = top.blocks("namespaces")?;
    if blocks.len() > MAX_NAMESPACES {
        let sentence = format!("`namespaces` has {} of them; at most {MAX_NAMESPACES} are taken", blocks.len());
        return Err(ConfigError::at(top.place_of("namespaces").unwrap_or(top.place()), sentence));
    }
    let mut all: Vec<(NamespaceSettings, Place)> = Vec::new();
    for block in &blocks {
        let place = block.place();
        let settings = one(block)?;
        if settings.name == NamespaceName::sessions()
            && let Some(key) = OF_SESSIONS.iter().find(|key| top.has(key))
        {
            let sentence =
                format!("`namespaces` says what `sessions` is, so `{key}` at the top has no effect; remove it");
            return Err(ConfigError::at(top.place_of(key).unwrap_or(place), sentence));
        }
        all.push((settings, place));
    }
    if !all.iter().any(|(settings, _)| settings.name == NamespaceName::sessions()) {
        all.insert(0, (sessions, top.place()));
    }
    for (number, (settings, place)) in all.iter().enumerate() {
        for (other, _) in &all[..number] {
            if other.name == settings.name {
                let sentence = format!("`namespaces` has {} a second time; keep one of them", settings.name);
                return Err(ConfigError::at(*place, sentence));
            }
            if other.base_uri.overlaps(&settings.base_uri) {
                let sentence = format!(
                    "the base URI of `{}`, {}, overlaps with that of `{}`, {}; choose one that neither leads into the other",
                    settings.name, settings.base_uri, other.name, other.base_uri
                );
                return Err(ConfigError::at(*place, sentence));
            }
        }
    }
    Ok(all.into_iter().map(|(settings, _)| settings).collect())
}

fn one(block: &Block<'_>) -> Result<NamespaceSettings, ConfigError> {
    let missing = |key: &str| ConfigError::at(block.place(), format!("a namespace needs `{key}`"));
    let Located { value, place } = block.text("name")?.ok_or_else(|| missing("name"))?;
    let name = NamespaceName::new(value)
        .map_err(|error| ConfigError::at(place, format!("`namespaces.name` {} is none: {error}", quoted(value))))?;
    let Located { value, place } = block.text("base_uri")?.ok_or_else(|| missing("base_uri"))?;
    let base_uri = BaseUri::new(value).map_err(|why| ConfigError::at(place, format!("`namespaces.base_uri` {why}")))?;
    Ok(NamespaceSettings {
        ttl: ttl(block)?,
        max_keys: block.number_or_default("max_keys")?,
        max_bytes: block.number_or_default("max_bytes")?,
        max_value: block.number_or_default("max_value")?,
        read_consistency: block.word("read_consistency", ReadConsistency::from_name)?,
        priority: block.number_or_default("priority")?.try_into().unwrap_or(0),
        renewal: block.word("renew", Renewal::from_name)?,
        ..NamespaceSettings::unlimited(name, base_uri)
    })
}

fn ttl(block: &Block<'_>) -> Result<TtlPolicy, ConfigError> {
    let lifetime = |seconds| Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER);
    let default = lifetime(block.number_or_default("default_ttl")?);
    let max = block.number("max_ttl")?;
    let longest = max.map_or(lifetime(DEFAULT_MAX_TTL.as_secs()).max(default), |found| lifetime(found.value));
    TtlPolicy::new(default, longest).ok_or_else(|| {
        let place = max.map_or(block.place(), |found| found.place);
        ConfigError::at(place, "`namespaces.max_ttl` is below `default_ttl`; raise it, or leave it out")
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
