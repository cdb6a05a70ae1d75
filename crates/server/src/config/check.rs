use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile_cluster::NodeConfig;
use sessile_core::{BaseUri, MAX_TTL, NamespaceName, NamespaceSettings, ReadConsistency, Ttl, TtlPolicy};
use sessile_store::engine::EngineKind;

use super::block::{Block, Located};
use super::document::Node;
use super::fault::{ConfigError, not_one_of, quoted};
use super::namespaces;
use super::read::read_at_most;
use super::tls::tls;
use super::{
    AdminListener, BackupSchedule, ClusterConfig, Config, DEFAULT_GRACE_MS, Flavour, HttpLimits, ListenAddress,
    ListenUnix, LogLevel, OpenApi, Storage,
};

/// What a file may leave out, by whose file it is. Kask's are those of its config.go.
struct Defaults {
    service_name: &'static str,
    base_uri: &'static str,
    listen_address: &'static str,
    listen_port: u16,
    ttl_s: u64,
    log_level: LogLevel,
}

const SESSILE: Defaults = Defaults {
    service_name: "sessile",
    base_uri: "/sessions/v1/",
    listen_address: "127.0.0.1",
    listen_port: 8081,
    ttl_s: 86_400,
    log_level: LogLevel::Info,
};

const KASK: Defaults = Defaults {
    service_name: "kask",
    base_uri: "/v1/",
    listen_address: "localhost",
    listen_port: 8080,
    ttl_s: 86_400,
    log_level: LogLevel::Info,
};

/// The maximum lifetime when the file names none: a year, so that "remember me" cookies fit.
const DEFAULT_MAX_TTL: Duration = Duration::from_secs(366 * 86_400);

/// The longest `service_name`: it stands in every log line.
const MAX_SERVICE_NAME_BYTES: usize = 128;

/// Up to ten minutes to stop. No grace cuts what is in flight; no notice takes no new connection at once.
const STOP_MS: RangeInclusive<u64> = 0..=600_000;

/// The document, checked whole. Any order of the checks would do; it is that of the file as documented.
pub(super) fn check(document: Option<&Node>) -> Result<Config, ConfigError> {
    let top = Block::top(document)?;
    let (flavour, defaults) = if top.has("cassandra") { (Flavour::Kask, KASK) } else { (Flavour::Sessile, SESSILE) };
    let mut warnings = Vec::new();
    if flavour == Flavour::Kask {
        warnings.push("`cassandra` has no effect: this node keeps sessions itself, in `storage.data_dir`".to_owned());
    }
    let sessions = NamespaceSettings::unlimited(NamespaceName::sessions(), base_uri(&top, &defaults)?);
    let (ttl, read_consistency) = (ttl(&top, &defaults)?, read_consistency(&top)?);
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
    let listen = listen(&top, flavour, &defaults)?;
    let cluster = ClusterConfig::check(&top)?;
    if let Some(cluster) = &cluster {
        let line = top.line_of("cluster").unwrap_or(1);
        own_port("cluster.listen", &cluster.listen, line, "listen_address and listen_port", &listen)?;
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
        service_name: service_name(&top, &defaults)?,
        base_uri,
        read_consistency,
        namespaces,
        admin: admin(&top.block("admin")?, &listen, cluster.as_ref(), &mut warnings)?,
        backup: BackupSchedule::check(&top.block("backup")?)?,
        cluster,
        listen,
        listen_unix: ListenUnix::check(&top)?,
        tls,
        ttl,
        log_level: log_level(&top, &defaults)?,
        openapi: openapi(&top, flavour, &mut warnings)?,
        storage: storage(&top.block("storage")?)?,
        http,
        shutdown_grace: millis(&shutdown, "grace_ms", &STOP_MS, DEFAULT_GRACE_MS)?,
        shutdown_notice: millis(&shutdown, "notice_ms", &STOP_MS, 0)?,
        warnings,
    })
}

fn service_name(top: &Block<'_>, defaults: &Defaults) -> Result<String, ConfigError> {
    let Some(Located { value, line }) = top.text("service_name")? else { return Ok(defaults.service_name.to_owned()) };
    if value.is_empty() || value.len() > MAX_SERVICE_NAME_BYTES || value.chars().any(char::is_control) {
        let sentence = format!("`service_name` must be 1 to {MAX_SERVICE_NAME_BYTES} bytes without control characters");
        return Err(ConfigError::at(line, sentence));
    }
    Ok(value.to_owned())
}

fn base_uri(top: &Block<'_>, defaults: &Defaults) -> Result<BaseUri, ConfigError> {
    let Located { value, line } = top.text("base_uri")?.unwrap_or(Located { value: defaults.base_uri, line: 1 });
    BaseUri::new(value).map_err(|why| ConfigError::at(line, format!("`base_uri` {why}")))
}

fn listen(top: &Block<'_>, flavour: Flavour, defaults: &Defaults) -> Result<ListenAddress, ConfigError> {
    let port = top.number("listen_port", "", &(0..=u64::from(u16::MAX)))?;
    let port = port.and_then(|port| u16::try_from(port.value).ok()).unwrap_or(defaults.listen_port);
    let Located { value, line } =
        top.text("listen_address")?.unwrap_or(Located { value: defaults.listen_address, line: 1 });
    match flavour {
        // Go listens on every interface then; whoever wrote that for Kask meant it.
        Flavour::Kask if value.is_empty() => Ok(ListenAddress::every(port)),
        _ => ListenAddress::new(value, port)
            .map_err(|why| ConfigError::at(line, format!("`listen_address` {} is no host: {why}", quoted(value)))),
    }
}

fn ttl(top: &Block<'_>, defaults: &Defaults) -> Result<TtlPolicy, ConfigError> {
    let range = 0..=MAX_TTL.as_secs();
    let asked = top.number("default_ttl", "seconds", &range)?;
    // 0 means no expiry, and no maximum.
    let lifetime = |seconds: u64| Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER);
    let default = lifetime(asked.map_or(defaults.ttl_s, |found| found.value));
    let Some(Located { value, line }) = top.number("max_ttl", "seconds", &range)? else {
        let longest = lifetime(DEFAULT_MAX_TTL.as_secs()).max(default);
        return TtlPolicy::new(default, longest).ok_or_else(|| ConfigError::new("`default_ttl` has no maximum"));
    };
    TtlPolicy::new(default, lifetime(value)).ok_or_else(|| {
        let than = default.as_secs().map_or("which never expires".to_owned(), |seconds| format!("{seconds} s"));
        ConfigError::at(line, format!("`max_ttl` is below `default_ttl`, {than}; raise it, or leave it out"))
    })
}

fn log_level(top: &Block<'_>, defaults: &Defaults) -> Result<LogLevel, ConfigError> {
    let Some(Located { value, line }) = top.text("log_level")? else { return Ok(defaults.log_level) };
    let names = LogLevel::ALL.map(LogLevel::name).join(", ");
    LogLevel::from_name(value).ok_or_else(|| not_one_of("log_level", &names, value, line))
}

/// Kask starts with a file that is not there, and fails `/openapi` only.
fn openapi(top: &Block<'_>, flavour: Flavour, warnings: &mut Vec<String>) -> Result<OpenApi, ConfigError> {
    let Some(Located { value, line }) = top.text("openapi_spec")?.filter(|found| !found.value.is_empty()) else {
        return Ok(OpenApi::BuiltIn);
    };
    let not_text = |_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8");
    let read = read_at_most(OpenApi::MAX_BYTES, Path::new(value));
    match read.and_then(|content| String::from_utf8(content).map_err(not_text)) {
        Ok(content) => Ok(OpenApi::File { path: PathBuf::from(value), content }),
        Err(error) if flavour == Flavour::Kask => {
            let cause = format!("line {line}: `openapi_spec` {} cannot be read ({error})", quoted(value));
            warnings.push(format!("{cause}; /openapi serves the built-in one"));
            Ok(OpenApi::BuiltIn)
        }
        Err(error) => {
            let cause = format!("`openapi_spec` {} cannot be read ({error})", quoted(value));
            Err(ConfigError::at(line, format!("{cause}; correct the path, or leave it out for the built-in one")))
        }
    }
}

fn read_consistency(top: &Block<'_>) -> Result<ReadConsistency, ConfigError> {
    match top.text("read_consistency")? {
        None => Ok(ReadConsistency::Linearizable),
        Some(Located { value, line }) => ReadConsistency::from_name(value).ok_or_else(|| {
            let names = ReadConsistency::ALL.map(ReadConsistency::name).join(", ");
            not_one_of("read_consistency", &names, value, line)
        }),
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
    let Some(Located { value, line }) = AdminListener::check(block, warnings)? else { return Ok(None) };
    own_port("admin.listen", &value.listen, line, "listen_address and listen_port", listen)?;
    if let Some(cluster) = cluster {
        own_port("admin.listen", &value.listen, line, "cluster.listen", &cluster.listen)?;
    }
    Ok(Some(value))
}

/// Two listeners cannot share an address, unless the system chooses the port.
fn own_port(
    path: &str,
    address: &ListenAddress,
    line: usize,
    other_path: &str,
    other: &ListenAddress,
) -> Result<(), ConfigError> {
    if address == other && address.port() != 0 {
        let sentence = format!("`{path}` {address} is taken by `{other_path}` of this file; choose another port");
        return Err(ConfigError::at(line, sentence));
    }
    Ok(())
}

fn storage(block: &Block<'_>) -> Result<Storage, ConfigError> {
    let data_dir = match block.text("data_dir")? {
        None => PathBuf::from(Storage::DEFAULT_DATA_DIR),
        Some(Located { value, line }) => std::path::absolute(value)
            .map_err(|_| ConfigError::at(line, "`storage.data_dir` must be the path of a directory"))?,
    };
    let engine = match block.text("engine")? {
        None => EngineKind::Fjall,
        Some(Located { value, line }) => {
            let names = EngineKind::ALL.map(EngineKind::name).join(", ");
            value.parse().map_err(|_| not_one_of("storage.engine", &names, value, line))?
        }
    };
    let memory_mb = block.number("memory_mb", "MiB", &Storage::MEMORY_MB)?;
    let cache_mb = block.number("cache_mb", "MiB", &Storage::CACHE_MB)?;
    if let (Some(memory), Some(cache)) = (memory_mb, cache_mb)
        && cache.value + *Storage::MEMORY_MB.start() > memory.value
    {
        let sentence = format!(
            "`storage.cache_mb` is a part of `storage.memory_mb`, {}, and must leave {} of it; lower it, or leave it out",
            memory.value,
            Storage::MEMORY_MB.start()
        );
        return Err(ConfigError::at(cache.line, sentence));
    }
    let bytes = |found: Located<u64>| found.value * 1024 * 1024;
    let (memory_bytes, cache_bytes) = (memory_mb.map(bytes), cache_mb.map(bytes));
    let reserve_mb = block.number("reserve_mb", "MiB", &Storage::RESERVE_MB)?;
    let reserve_bytes = reserve_mb.map_or(Storage::DEFAULT_RESERVE_MB, |found| found.value) * 1024 * 1024;
    let log_keep_minutes = block.number("log_keep_minutes", "minutes", &Storage::LOG_KEEP_MINUTES)?;
    let log_keep = log_keep_minutes
        .map_or(NodeConfig::DEFAULT_KEEP_LOG_FOR, |found| Duration::from_secs(found.value.saturating_mul(60)));
    let log_keep_mb = block.number("log_keep_mb", "MiB", &Storage::LOG_KEEP_MB)?;
    let log_keep_bytes = log_keep_mb.map_or(NodeConfig::DEFAULT_KEEP_LOG_BYTES, |found| found.value * 1024 * 1024);
    Ok(Storage { data_dir, engine, memory_bytes, cache_bytes, reserve_bytes, log_keep, log_keep_bytes })
}

fn http(block: &Block<'_>) -> Result<HttpLimits, ConfigError> {
    let timeout = |key, default| millis(block, key, &HttpLimits::TIMEOUT_MS, default);
    let value_bytes = &HttpLimits::MAX_VALUE_BYTES;
    Ok(HttpLimits {
        max_value_bytes: count(block, "max_value_bytes", "bytes", value_bytes, HttpLimits::DEFAULT_MAX_VALUE_BYTES)?,
        request_timeout: timeout("request_timeout_ms", HttpLimits::DEFAULT_REQUEST_TIMEOUT_MS)?,
        header_timeout: timeout("header_timeout_ms", HttpLimits::DEFAULT_HEADER_TIMEOUT_MS)?,
        body_timeout: timeout("body_timeout_ms", HttpLimits::DEFAULT_BODY_TIMEOUT_MS)?,
        idle_timeout: millis(
            block,
            "idle_timeout_ms",
            &HttpLimits::IDLE_TIMEOUT_MS,
            HttpLimits::DEFAULT_IDLE_TIMEOUT_MS,
        )?,
        max_connections: count(
            block,
            "max_connections",
            "",
            &HttpLimits::MAX_CONNECTIONS,
            HttpLimits::DEFAULT_MAX_CONNECTIONS,
        )?,
        ready_patience: millis(
            block,
            "ready_patience_ms",
            &HttpLimits::READY_PATIENCE_MS,
            HttpLimits::DEFAULT_READY_PATIENCE_MS,
        )?,
    })
}

fn millis(block: &Block<'_>, key: &str, range: &RangeInclusive<u64>, default: u64) -> Result<Duration, ConfigError> {
    let found = block.number(key, "milliseconds", range)?;
    Ok(Duration::from_millis(found.map_or(default, |found| found.value)))
}

/// A number whose range fits every `usize`.
fn count(
    block: &Block<'_>,
    key: &str,
    unit: &str,
    range: &RangeInclusive<u64>,
    default: u64,
) -> Result<usize, ConfigError> {
    let value = block.number(key, unit, range)?.map_or(default, |found| found.value);
    usize::try_from(value).map_err(|_| ConfigError::new(format!("`{}` is too large", block.path(key))))
}
