use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile_core::{BaseUri, NamespaceName, NamespaceSettings, ReadConsistency, Ttl, TtlPolicy};
use sessile_store::engine::EngineKind;

use super::block::{Block, Located};
use super::document::Node;
use super::fault::{ConfigError, quoted};
use super::keys::{DEFAULT_MAX_TTL, MAX_SERVICE_NAME_BYTES};
use super::namespaces;
use super::place::Place;
use super::read::read_at_most;
use super::tls::tls;
use super::{
    AdminListener, BackupSchedule, ClusterConfig, Config, Flavour, HttpLimits, ListenAddress, ListenUnix, LogLevel,
    OpenApi, Storage, TraceExport,
};

const MIB: u64 = 1024 * 1024;

/// The document, checked whole. Any order of the checks would do; it is that of the file as documented.
pub(super) fn check(document: Option<&Node>) -> Result<Config, ConfigError> {
    let top = Block::top(document)?;
    let flavour = if top.is_kask() { Flavour::Kask } else { Flavour::Sessile };
    let mut warnings = Vec::new();
    if flavour == Flavour::Kask {
        warnings.push("`cassandra` has no effect: this node keeps sessions itself, in `storage.data_dir`".to_owned());
    }
    let sessions = NamespaceSettings::unlimited(NamespaceName::sessions(), base_uri(&top)?);
    let (ttl, read_consistency) = (ttl(&top)?, top.word("read_consistency", ReadConsistency::from_name)?);
    let namespaces = namespaces::check(&top, NamespaceSettings { ttl, read_consistency, ..sessions })?;
    let sessions = namespaces.iter().find(|namespace| namespace.name == NamespaceName::sessions());
    let Some(NamespaceSettings { base_uri, ttl, read_consistency, .. }) = sessions.cloned() else {
        return Err(ConfigError::new("`namespaces` has no `sessions`"));
    };
    if base_uri.as_str() == "/" {
        warnings
            .push("with `base_uri` / the keys healthz, livez, readyz, metrics and openapi cannot be reached".into());
    }
    let tls = tls(&top.block("tls")?, &mut warnings)?;
    let listen = listen(&top)?;
    let cluster = ClusterConfig::check(&top)?;
    if let Some(cluster) = &cluster {
        let block = top.block("cluster")?;
        let place = block.place_of("listen").unwrap_or(block.place());
        own_port("cluster.listen", &cluster.listen, place, "listen_address and listen_port", &listen)?;
    }
    let shutdown = top.block("shutdown")?;
    let http = http(&top.block("http")?)?;
    warnings.extend(cluster.as_ref().and_then(|cluster| outlasts_no_leader(cluster, &http)));
    warnings.extend(cluster.as_ref().and_then(|cluster| {
        let file = &cluster.join_token;
        file.weakness.as_ref().map(|weakness| format!("`cluster.join_token_file` {} {weakness}", file.path.display()))
    }));
    Ok(Config {
        flavour,
        service_name: service_name(&top)?,
        base_uri,
        read_consistency,
        namespaces,
        admin: admin(&top.block("admin")?, &listen, cluster.as_ref(), &mut warnings)?,
        backup: BackupSchedule::check(&top.block("backup")?)?,
        traces: TraceExport::check(&top.block("traces")?)?,
        cluster,
        listen,
        listen_unix: ListenUnix::check(&top)?,
        tls,
        ttl,
        log_level: top.word("log_level", LogLevel::from_name)?,
        openapi: openapi(&top, flavour, &mut warnings)?,
        storage: storage(&top.block("storage")?)?,
        http,
        shutdown_grace: millis(&shutdown, "grace_ms")?,
        shutdown_notice: millis(&shutdown, "notice_ms")?,
        warnings,
    })
}

fn service_name(top: &Block<'_>) -> Result<String, ConfigError> {
    let found = top.text_or_default("service_name")?;
    let value = found.value;
    if value.is_empty() || value.len() > MAX_SERVICE_NAME_BYTES || value.chars().any(char::is_control) {
        return Err(top.must("service_name", &found));
    }
    Ok(value.to_owned())
}

fn base_uri(top: &Block<'_>) -> Result<BaseUri, ConfigError> {
    let Located { value, place } = top.text_or_default("base_uri")?;
    BaseUri::new(value).map_err(|why| ConfigError::at(place, format!("`base_uri` {why}")))
}

fn listen(top: &Block<'_>) -> Result<ListenAddress, ConfigError> {
    let port = top.number_or_default("listen_port")?;
    let port = u16::try_from(port).map_err(|_| ConfigError::at(top.place(), "`listen_port` is no port"))?;
    let Located { value, place } = top.text_or_default("listen_address")?;
    // Go listens on every interface then; whoever wrote that for Kask meant it.
    if top.is_kask() && value.is_empty() {
        return Ok(ListenAddress::every(port));
    }
    ListenAddress::new(value, port)
        .map_err(|why| ConfigError::at(place, format!("`listen_address` {} is no host: {why}", quoted(value))))
}

fn ttl(top: &Block<'_>) -> Result<TtlPolicy, ConfigError> {
    // 0 means no expiry, and no maximum.
    let lifetime = |seconds: u64| Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER);
    let default = lifetime(top.number_or_default("default_ttl")?);
    let Some(Located { value, place }) = top.number("max_ttl")? else {
        let longest = lifetime(DEFAULT_MAX_TTL.as_secs()).max(default);
        return TtlPolicy::new(default, longest).ok_or_else(|| ConfigError::new("`default_ttl` has no maximum"));
    };
    TtlPolicy::new(default, lifetime(value)).ok_or_else(|| {
        let than = default.as_secs().map_or("which never expires".to_owned(), |seconds| format!("{seconds} s"));
        ConfigError::at(place, format!("`max_ttl` is below `default_ttl`, {than}; raise it, or leave it out"))
    })
}

/// Kask starts with a file that is not there, and fails `/openapi` only.
fn openapi(top: &Block<'_>, flavour: Flavour, warnings: &mut Vec<String>) -> Result<OpenApi, ConfigError> {
    let Some(Located { value, place }) = top.text("openapi_spec")?.filter(|found| !found.value.is_empty()) else {
        return Ok(OpenApi::BuiltIn);
    };
    let not_text = |_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8");
    let read = read_at_most(OpenApi::MAX_BYTES, Path::new(value));
    match read.and_then(|content| String::from_utf8(content).map_err(not_text)) {
        Ok(content) => Ok(OpenApi::File { path: PathBuf::from(value), content }),
        Err(error) if flavour == Flavour::Kask => {
            let cause = format!("{place}: `openapi_spec` {} cannot be read ({error})", quoted(value));
            warnings.push(format!("{cause}; /openapi serves the built-in one"));
            Ok(OpenApi::BuiltIn)
        }
        Err(error) => {
            let cause = format!("`openapi_spec` {} cannot be read ({error})", quoted(value));
            Err(ConfigError::at(place, format!("{cause}; correct the path, or leave it out for the built-in one")))
        }
    }
}

/// What to say where a request that meets the death of a leader fails, because its deadline is shorter than an election takes.
fn outlasts_no_leader(cluster: &ClusterConfig, http: &HttpLimits) -> Option<String> {
    let (deadline, needed) = (http.request_timeout.as_millis(), cluster.timing.request().as_millis());
    let max_rtt = cluster.timing.max_rtt().as_millis();
    (deadline < needed).then(|| {
        format!(
            "`http.request_timeout_ms` is {deadline}, and with `cluster.max_rtt_ms` {max_rtt} a request that meets the death of \
             a leader may need {needed}; raise it to that, or such requests fail"
        )
    })
}

/// The second HTTP listener, if there is one.
fn admin(
    block: &Block<'_>,
    listen: &ListenAddress,
    cluster: Option<&ClusterConfig>,
    warnings: &mut Vec<String>,
) -> Result<Option<AdminListener>, ConfigError> {
    let Some(Located { value, place }) = AdminListener::check(block, warnings)? else { return Ok(None) };
    own_port("admin.listen", &value.listen, place, "listen_address and listen_port", listen)?;
    if let Some(cluster) = cluster {
        own_port("admin.listen", &value.listen, place, "cluster.listen", &cluster.listen)?;
    }
    Ok(Some(value))
}

/// Two listeners cannot share an address, unless the system chooses the port.
fn own_port(
    path: &str,
    address: &ListenAddress,
    place: Place,
    other_path: &str,
    other: &ListenAddress,
) -> Result<(), ConfigError> {
    if address == other && address.port() != 0 {
        let sentence = format!("`{path}` {address} is taken by `{other_path}` of this file; choose another port");
        return Err(ConfigError::at(place, sentence));
    }
    Ok(())
}

fn storage(block: &Block<'_>) -> Result<Storage, ConfigError> {
    let data_dir = block.text_or_default("data_dir")?;
    let data_dir = std::path::absolute(data_dir.value).map_err(|_| block.must("data_dir", &data_dir))?;
    let engine = block.word("engine", |name| name.parse::<EngineKind>().ok())?;
    let memory_mb = block.number("memory_mb")?;
    let cache_mb = block.number("cache_mb")?;
    if let (Some(memory), Some(cache)) = (memory_mb, cache_mb)
        && cache.value + *Storage::MEMORY_MB.start() > memory.value
    {
        let sentence = format!(
            "`storage.cache_mb` is a part of `storage.memory_mb`, {}, and must leave {} of it; lower it, or leave it out",
            memory.value,
            Storage::MEMORY_MB.start()
        );
        return Err(ConfigError::at(cache.place, sentence));
    }
    let mebibytes = |found: Located<u64>| found.value * MIB;
    Ok(Storage {
        data_dir,
        engine,
        memory_bytes: memory_mb.map(mebibytes),
        cache_bytes: cache_mb.map(mebibytes),
        reserve_bytes: block.number_or_default("reserve_mb")? * MIB,
        log_keep: Duration::from_secs(block.number_or_default("log_keep_minutes")? * 60),
        log_keep_bytes: block.number_or_default("log_keep_mb")? * MIB,
    })
}

fn http(block: &Block<'_>) -> Result<HttpLimits, ConfigError> {
    Ok(HttpLimits {
        max_value_bytes: count(block, "max_value_bytes")?,
        request_timeout: millis(block, "request_timeout_ms")?,
        header_timeout: millis(block, "header_timeout_ms")?,
        body_timeout: millis(block, "body_timeout_ms")?,
        idle_timeout: millis(block, "idle_timeout_ms")?,
        max_connections: count(block, "max_connections")?,
        ready_patience: millis(block, "ready_patience_ms")?,
    })
}

fn millis(block: &Block<'_>, key: &str) -> Result<Duration, ConfigError> {
    block.number_or_default(key).map(Duration::from_millis)
}

/// A number whose range fits every `usize`.
fn count(block: &Block<'_>, key: &str) -> Result<usize, ConfigError> {
    let value = block.number_or_default(key)?;
    usize::try_from(value).map_err(|_| ConfigError::new(format!("`{}` is too large", block.path(key))))
}
