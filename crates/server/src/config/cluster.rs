use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile_cluster::{JoinToken, PeersConfig, Timing};

use super::ListenAddress;
use super::addresses::{address, parse_address};
use super::block::{Block, Located};
use super::fault::{ConfigError, quoted};

/// The `cluster:` block: who this member is, and how it finds the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Its label for people, and the name under which a reimaged node takes its old one's place.
    pub name: String,
    /// Where it listens for peers and for who administers it.
    pub listen: ListenAddress,
    /// Where the other members reach it; `None` for what `listen` is bound to, which is not known before if its port
    /// is 0.
    pub advertise: Option<ListenAddress>,
    /// The first members, each once.
    pub seeds: Vec<ListenAddress>,
    /// How many of them make the first cluster; `None` to wait for a cluster to join or for `sessile cluster init`.
    pub expect: Option<usize>,
    /// What proves that a node may join.
    pub join_token: Option<JoinTokenFile>,
    /// How long a new node listens for a cluster before it takes part in making one.
    pub listen_for: Duration,
    /// How long a learner must have been healthy before it becomes a voter.
    pub stabilise: Duration,
    /// How long a voter must have been silent before a newcomer of another name takes its place.
    pub dead_after: Duration,
    /// How far its voters are from each other at the most, and what follows from that.
    pub timing: Timing,
    /// Whether members come, go and change by themselves.
    pub autopilot: bool,
}

/// What `cluster.join_token_file` names, as it was when the configuration was read. `Debug` shows the path only.
#[derive(Debug, Clone)]
pub struct JoinTokenFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it held.
    pub token: JoinToken,
    /// The same as it is sent by `sessile cluster init`.
    secret: Secret,
}

/// Text that is shown nowhere.
#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for JoinTokenFile {
    /// Whether it is the same file: the secret itself is compared where somebody wants to join, and in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for JoinTokenFile {}

impl JoinTokenFile {
    /// A password generator's longest, and far more than anybody guesses.
    const MAX_BYTES: usize = 1024;

    /// What that file holds. The error says what is wrong with the file, and nothing of what is in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let limit = Self::MAX_BYTES as u64 + 1;
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(|error| {
            format!("cannot be read ({error}); create it, and let the user that runs sessile read it")
        })?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(format!("is longer than {} bytes; a line of 32 random characters does", Self::MAX_BYTES));
        }
        let text = String::from_utf8(bytes).map_err(|_| "is not text; put one line of text into it".to_owned())?;
        if text.trim().is_empty() {
            return Err("is empty; put a secret into it, such as what `openssl rand -hex 32` prints".to_owned());
        }
        if text.trim().chars().any(char::is_control) {
            return Err("has more than one line; put one line of text into it".to_owned());
        }
        let secret = Secret(text.trim().to_owned());
        Ok(Self { path: path.to_owned(), token: JoinToken::new(&text), secret })
    }

    /// What it held, to be sent and never to be shown.
    pub(crate) fn secret(&self) -> &str {
        &self.secret.0
    }
}

impl ClusterConfig {
    /// Beside the HTTP side's 8081, on this machine only: who wants peers on others says where.
    const DEFAULT_LISTEN: (&str, u16) = ("127.0.0.1", 7081);
    /// One machine is no cluster that could be waited for; Raft with more than a handful of voters gets slower, not safer.
    const EXPECT: RangeInclusive<u64> = 2..=64;
    /// Not at all, to an hour.
    const WAIT_MS: RangeInclusive<u64> = 0..=3_600_000;
    /// A voter that is started again is back within seconds; who is away for a week has been given up.
    const DEAD_AFTER_MS: RangeInclusive<u64> = 1_000..=604_800_000;
    const MAX_NAME_BYTES: usize = 63;

    /// The block, checked whole; `None` if the file has none.
    pub(super) fn check(top: &Block<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(line) = top.line_of("cluster") else { return Ok(None) };
        let block = top.block("cluster")?;
        let name = name(&block, line)?;
        let listen = match address(&block, "listen")? {
            Some(found) => found.value,
            None => {
                let (host, port) = Self::DEFAULT_LISTEN;
                ListenAddress::new(host, port).map_err(|why| ConfigError::at(line, why))?
            }
        };
        let advertise = advertise(&block, &listen, line)?;
        let mut seeds: Vec<ListenAddress> = Vec::new();
        for seed in block.texts("seeds")? {
            let parsed = reachable("cluster.seeds", parse_address("cluster.seeds", &seed)?)?;
            if !seeds.contains(&parsed) {
                seeds.push(parsed);
            }
        }
        let expect = expect(&block, &seeds, advertise.as_ref())?;
        let join_token = block.text("join_token_file")?.map(|found| {
            let fault =
                |why| ConfigError::at(found.line, format!("`cluster.join_token_file` {} {why}", quoted(found.value)));
            let path = std::path::absolute(found.value).map_err(|_| fault("must be the path of a file".to_owned()))?;
            JoinTokenFile::read(&path).map_err(fault)
        });
        let wait = |key, default: Duration| {
            let found = block.number(key, "milliseconds", &Self::WAIT_MS)?;
            Ok::<_, ConfigError>(found.map_or(default, |found| Duration::from_millis(found.value)))
        };
        let dead_after = block.number("dead_after_ms", "milliseconds", &Self::DEAD_AFTER_MS)?;
        let dead_after = dead_after.map_or(PeersConfig::DEFAULT_DEAD_AFTER, |found| Duration::from_millis(found.value));
        let max_rtt = block.number("max_rtt_ms", "milliseconds", &Timing::MAX_RTT_MS)?;
        let max_rtt = max_rtt.map_or(Timing::DEFAULT_MAX_RTT, |found| Duration::from_millis(found.value));
        Ok(Some(Self {
            name,
            advertise,
            seeds,
            expect,
            join_token: join_token.transpose()?,
            listen_for: wait("listen_ms", PeersConfig::DEFAULT_LISTEN)?,
            stabilise: wait("stabilise_ms", PeersConfig::DEFAULT_STABILISE)?,
            dead_after,
            timing: Timing::of(max_rtt),
            autopilot: block.flag("autopilot")?.is_none_or(|found| found.value),
            listen,
        }))
    }

    /// What the node is told of its peers once `listen` is bound to that address.
    pub(crate) fn peers(&self, bound: SocketAddr) -> PeersConfig {
        PeersConfig {
            advertise: self.advertise.as_ref().map_or(bound.to_string(), ToString::to_string),
            seeds: self.seeds.iter().map(ToString::to_string).collect(),
            expect: self.expect,
            join_token: self.join_token.as_ref().map(|file| file.token.clone()).unwrap_or_default(),
            listen_for: self.listen_for,
            stabilise: self.stabilise,
            dead_after: self.dead_after,
            autopilot: self.autopilot,
        }
    }
}

fn name(block: &Block<'_>, line: usize) -> Result<String, ConfigError> {
    let must = format!(
        "must be 1 to {} characters of A-Z, a-z, 0-9, `.`, `_` and `-`, such as n1",
        ClusterConfig::MAX_NAME_BYTES
    );
    let Some(Located { value, line }) = block.text("name")? else {
        let sentence = format!("`cluster.name` is missing and {must}; a single node has no `cluster`");
        return Err(ConfigError::at(line, sentence));
    };
    let fits = (1..=ClusterConfig::MAX_NAME_BYTES).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(value.to_owned())
    } else {
        Err(ConfigError::at(line, format!("`cluster.name` {must}, not {}", quoted(value))))
    }
}

/// What the others connect to: given, or where it listens, unless that is known only once it does.
fn advertise(block: &Block<'_>, listen: &ListenAddress, line: usize) -> Result<Option<ListenAddress>, ConfigError> {
    if let Some(found) = address(block, "advertise")? {
        return reachable("cluster.advertise", found).map(Some);
    }
    if listen.is_every_interface() {
        let line = block.line_of("listen").unwrap_or(line);
        let sentence = format!(
            "`cluster.listen` is {listen}, which no other machine can connect to; add `cluster.advertise` with the \
             address at which they reach this one"
        );
        return Err(ConfigError::at(line, sentence));
    }
    Ok((listen.port() != 0).then(|| listen.clone()))
}

/// The address, if somebody else could connect to it.
fn reachable(path: &str, found: Located<ListenAddress>) -> Result<ListenAddress, ConfigError> {
    if found.value.is_every_interface() || found.value.port() == 0 {
        let sentence = format!(
            "`{path}` {} is no address to connect to; name this machine's own address or host name, and a port from 1 \
             to 65535",
            quoted(&found.value.to_string())
        );
        return Err(ConfigError::at(found.line, sentence));
    }
    Ok(found.value)
}

fn expect(
    block: &Block<'_>,
    seeds: &[ListenAddress],
    advertise: Option<&ListenAddress>,
) -> Result<Option<usize>, ConfigError> {
    let Some(Located { value, line }) = block.number("expect", "", &ClusterConfig::EXPECT)? else { return Ok(None) };
    let expect = usize::try_from(value).unwrap_or(usize::MAX);
    if expect != seeds.len() {
        let sentence = format!(
            "`cluster.expect` is {expect}, but `cluster.seeds` names {} different addresses; name every first member, \
             this one too",
            seeds.len()
        );
        return Err(ConfigError::at(line, sentence));
    }
    match advertise {
        Some(own) if seeds.contains(own) => Ok(Some(expect)),
        Some(own) => {
            let sentence = format!(
                "`cluster.seeds` lacks this node's own address, {own}; add it as it stands in `cluster.advertise`, or \
                 leave out `cluster.expect` on a node that joins later"
            );
            Err(ConfigError::at(block.line_of("seeds").unwrap_or(line), sentence))
        }
        None => {
            let sentence = "`cluster.expect` wants this node among the seeds, and port 0 has no address to name there; \
                            give `cluster.listen` a port";
            Err(ConfigError::at(line, sentence))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_one_line_of_text_and_is_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.token");
        assert!(JoinTokenFile::read(&path).unwrap_err().starts_with("cannot be read ("));
        for (bytes, said) in [
            (b"".to_vec(), "is empty; "),
            (b" \n\n".to_vec(), "is empty; "),
            (b"sesame\nsesame\n".to_vec(), "has more than one line; "),
            (b"sesame\xff".to_vec(), "is not text; "),
            (vec![b's'; 1025], "is longer than 1024 bytes; "),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = JoinTokenFile::read(&path).unwrap_err();
            assert!(error.starts_with(said) && !error.contains("sesame"), "{error}");
        }
        std::fs::write(&path, "open sesame\n").unwrap();
        let file = JoinTokenFile::read(&path).unwrap();
        assert!(!file.token.is_empty() && !format!("{file:?}").contains("sesame"));
        std::fs::write(&path, vec![b's'; 1024]).unwrap();
        assert!(JoinTokenFile::read(&path).is_ok());
    }
}
