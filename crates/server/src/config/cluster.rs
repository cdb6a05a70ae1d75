use std::time::Duration;

use sessile_cluster::Timing;
use sessile_embed::Member;

use super::ListenAddress;
use super::addresses::{address, parse_address};
use super::block::{Block, Located};
use super::fault::{ConfigError, quoted};
use super::keys::DEFAULT_CLUSTER_LISTEN;
use super::operator_tokens::OperatorTokens;
use super::place::Place;
use super::token_file::TokenFile;

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
    pub join_token: TokenFile,
    /// By what operators from elsewhere are known; `None` for by the join token, if it is a strong one.
    pub operators: Option<OperatorTokens>,
    /// Whether members speak without TLS.
    pub plaintext: Plaintext,
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

/// Whether members speak without TLS: then whoever reaches their port is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// They speak TLS.
    No,
    /// They do not, on this machine only.
    Loopback,
    /// They do not, and somebody has said so in as many words.
    Insecure,
}

impl ClusterConfig {
    /// Where it listens if nothing is said.
    pub(crate) fn usual_listen() -> Result<ListenAddress, String> {
        ListenAddress::parse(DEFAULT_CLUSTER_LISTEN)
    }

    /// The block, checked whole; `None` if the file has none.
    pub(super) fn check(top: &Block<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(place) = top.place_of("cluster") else { return Ok(None) };
        let block = top.block("cluster")?;
        let name = name(&block, place)?;
        let listen = parse_address("cluster.listen", &block.text_or_default("listen")?)?.value;
        let advertise = advertise(&block, &listen, place)?;
        let mut seeds: Vec<ListenAddress> = Vec::new();
        for seed in block.texts("seeds")? {
            let parsed = reachable("cluster.seeds", parse_address("cluster.seeds", &seed)?)?;
            if !seeds.contains(&parsed) {
                seeds.push(parsed);
            }
        }
        let expect = expect(&block, &seeds, advertise.as_ref())?;
        let wait = |key| block.number_or_default(key).map(Duration::from_millis);
        let (listen_for, stabilise) = (wait("listen_ms")?, wait("stabilise_ms")?);
        let (dead_after, timing) = (wait("dead_after_ms")?, Timing::of(wait("max_rtt_ms")?));
        let autopilot = block.flag("autopilot")?;
        let plaintext = plaintext(&block, &listen, advertise.as_ref())?;
        Ok(Some(Self {
            name,
            advertise,
            seeds,
            expect,
            // Last, so that who tries things out is told of what is wrong before of what is missing.
            join_token: join_token(&block, place)?,
            operators: operators(&block)?,
            plaintext,
            listen_for,
            stabilise,
            dead_after,
            timing,
            autopilot,
            listen,
        }))
    }

    /// What the node is told of its cluster.
    pub(crate) fn member(&self, max_connections: usize) -> Member {
        Member {
            name: self.name.clone(),
            listen: self.listen.to_string(),
            advertise: self.advertise.as_ref().map(ToString::to_string),
            seeds: self.seeds.iter().map(ToString::to_string).collect(),
            expect: self.expect,
            join_token: self.join_token.token.clone(),
            plaintext: self.plaintext != Plaintext::No,
            listen_for: self.listen_for,
            stabilise: self.stabilise,
            dead_after: self.dead_after,
            timing: self.timing,
            autopilot: self.autopilot,
            max_connections,
        }
    }
}

fn join_token(block: &Block<'_>, place: Place) -> Result<TokenFile, ConfigError> {
    let Some(found) = block.text("join_token_file")? else {
        let sentence = "`cluster.join_token_file` is missing: it names the file with the secret by which the members know \
                        each other; make one with `sessile cluster new-token`, the same for all";
        return Err(ConfigError::at(place, sentence));
    };
    let fault = |why| ConfigError::at(found.place, format!("`cluster.join_token_file` {} {why}", quoted(found.value)));
    let path = std::path::absolute(found.value).map_err(|_| fault("must be the path of a file".to_owned()))?;
    TokenFile::read(&path).map_err(fault)
}

fn operators(block: &Block<'_>) -> Result<Option<OperatorTokens>, ConfigError> {
    let Some(found) = block.text("operator_token_file")? else { return Ok(None) };
    let fault =
        |why| ConfigError::at(found.place, format!("`cluster.operator_token_file` {} {why}", quoted(found.value)));
    let path = std::path::absolute(found.value).map_err(|_| fault("must be the path of a file".to_owned()))?;
    OperatorTokens::read(&path).map(Some).map_err(fault)
}

fn plaintext(
    block: &Block<'_>,
    listen: &ListenAddress,
    advertise: Option<&ListenAddress>,
) -> Result<Plaintext, ConfigError> {
    let found = block.text_or_default("plaintext")?;
    match found.value {
        "false" => Ok(Plaintext::No),
        "insecure" => Ok(Plaintext::Insecure),
        "true" if listen.is_loopback() && advertise.is_none_or(ListenAddress::is_loopback) => Ok(Plaintext::Loopback),
        "true" => {
            let sentence = "`cluster.plaintext` is true, and this node is reached from other machines: whoever reaches it \
                            would be a member; leave it out, or say `plaintext: insecure` if a network of your own keeps \
                            everybody else away";
            Err(ConfigError::at(found.place, sentence))
        }
        _ => Err(block.not_one_of("plaintext", &found)),
    }
}

fn name(block: &Block<'_>, place: Place) -> Result<String, ConfigError> {
    let must = format!("must be {}", block.what("name"));
    let Some(Located { value, place }) = block.text("name")? else {
        let sentence = format!("`cluster.name` is missing and {must}; a single node has no `cluster`");
        return Err(ConfigError::at(place, sentence));
    };
    if Member::is_name(value) {
        Ok(value.to_owned())
    } else {
        Err(ConfigError::at(place, format!("`cluster.name` {must}, not {}", quoted(value))))
    }
}

/// What the others connect to: given, or where it listens, unless that is known only once it does.
fn advertise(block: &Block<'_>, listen: &ListenAddress, place: Place) -> Result<Option<ListenAddress>, ConfigError> {
    if let Some(found) = address(block, "advertise")? {
        return reachable("cluster.advertise", found).map(Some);
    }
    if listen.is_every_interface() {
        let place = block.place_of("listen").unwrap_or(place);
        let sentence = format!(
            "`cluster.listen` is {listen}, which no other machine can connect to; add `cluster.advertise` with the \
             address at which they reach this one"
        );
        return Err(ConfigError::at(place, sentence));
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
        return Err(ConfigError::at(found.place, sentence));
    }
    Ok(found.value)
}

fn expect(
    block: &Block<'_>,
    seeds: &[ListenAddress],
    advertise: Option<&ListenAddress>,
) -> Result<Option<usize>, ConfigError> {
    let Some(Located { value, place }) = block.number("expect")? else { return Ok(None) };
    let expect = usize::try_from(value).unwrap_or(usize::MAX);
    if expect != seeds.len() {
        let sentence = format!(
            "`cluster.expect` is {expect}, but `cluster.seeds` names {} different addresses; name every first member, \
             this one too",
            seeds.len()
        );
        return Err(ConfigError::at(place, sentence));
    }
    match advertise {
        Some(own) if seeds.contains(own) => Ok(Some(expect)),
        Some(own) => {
            let sentence = format!(
                "`cluster.seeds` lacks this node's own address, {own}; add it as it stands in `cluster.advertise`, or \
                 leave out `cluster.expect` on a node that joins later"
            );
            Err(ConfigError::at(block.place_of("seeds").unwrap_or(place), sentence))
        }
        None => {
            let sentence = "`cluster.expect` wants this node among the seeds, and port 0 has no address to name there; \
                            give `cluster.listen` a port";
            Err(ConfigError::at(place, sentence))
        }
    }
}
