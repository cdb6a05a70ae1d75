//! What is asked for: the command lines of `sessile status` and `sessile cluster`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Args, Subcommand};

use crate::config::{DEFAULT_FILE, ListenAddress};
use crate::value_parsers::{address, member_at, patience, point_in_time};

/// The variable that names the nodes to ask.
pub(crate) const SERVER_VARIABLE: &str = "SESSILE_SERVER";
/// The variable that names the data directory of the node to ask.
pub(crate) const DATA_DIR_VARIABLE: &str = "SESSILE_DATA_DIR";

/// Which nodes are asked, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Server {
    /// The node to ask from another machine: its `cluster.listen`. Any member does; of several, separated by commas, the
    /// first that answers [env: SESSILE_SERVER]
    #[arg(long = "server", value_name = "HOST:PORT", value_delimiter = ',', value_parser = address)]
    pub(crate) servers: Vec<ListenAddress>,
    /// The node to ask on this machine: its `storage.data_dir`. Its user and root may [env: SESSILE_DATA_DIR] [default:
    /// /var/lib/sessile, or else the node at 127.0.0.1:7081]
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "servers",
        value_parser = NonEmptyStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// With --server: the file with the token that says who asks, one of those in the node's `cluster.operator_token_file`; the
    /// join token, if it has no such file. None is needed for a node on this machine, by root and its own user.
    /// It is not sent
    // As `cluster init` had it, for the secret that its node takes where it has no other tokens.
    #[arg(
        long,
        alias = "join-token-file",
        value_name = "FILE",
        env = "SESSILE_TOKEN_FILE",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// How long to wait for each answer: seconds, or with a unit such as 500ms, 10s or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = patience)]
    pub(crate) timeout: Duration,
}

/// A change of the membership: who is asked for it, and on which membership it was decided.
#[derive(Debug, Clone, Args)]
pub(crate) struct Change {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Only if the membership is still the one of that log index: `membership_index` of `status --json`
    #[arg(long, value_name = "INDEX")]
    pub(crate) if_membership: Option<u64>,
}

/// `sessile status`.
#[derive(Debug, Args)]
pub(crate) struct StatusOf {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print it again whenever the membership, a role or a member's reachability changes
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `sessile ready`.
#[derive(Debug, Args)]
pub(crate) struct ReadyOf {
    #[command(flatten)]
    pub(crate) server: Server,
}

/// A command of `sessile cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Print a new secret, for `cluster.join_token_file`, `cluster.operator_token_file` or `admin.token_file`
    #[command(after_help = "Example:\n  sessile cluster new-token > /etc/sessile/join.token  # after `umask 077`")]
    NewToken,
    /// Make the node that is asked the first member of a new cluster
    ///
    /// For a cluster that begins with one node; seeds with `cluster.expect` make theirs by themselves.
    #[command(after_help = "Example:\n  sessile cluster init --data-dir /var/lib/sessile")]
    Init(Init),
    /// Admit the node that answers at an address, as a learner, and wait until it has caught up
    ///
    /// A learner receives the log and has no vote. With `cluster.autopilot` it becomes a voter by itself.
    #[command(after_help = "Example:\n  sessile cluster add-learner 10.0.0.4:7081")]
    AddLearner(AddLearner),
    /// Make a learner that has caught up a voter
    #[command(after_help = "Example:\n  sessile cluster promote n4")]
    Promote(Promote),
    /// Put a learner in the place of a member, which is removed for good, in one change
    #[command(after_help = "Example:\n  sessile cluster replace n3 n4")]
    Replace(Replace),
    /// Remove a member for good
    ///
    /// Its id is never accepted again; its machine comes back with `serve --discard-data-and-rejoin`.
    #[command(after_help = "Example:\n  sessile cluster remove n3")]
    Remove(Remove),
    /// Hand leadership to another voter
    #[command(after_help = "Example:\n  sessile cluster transfer-leader n2")]
    TransferLeader(TransferLeader),
    /// Change where a member is reached
    #[command(after_help = "Example:\n  sessile cluster set-address n3 10.0.0.33:7081")]
    SetAddress(SetAddress),
    /// Tell a node where the others are reached now, while there is no leader
    ///
    /// For the day on which all nodes came back at other addresses and their seeds lead nowhere. The node that is asked looks
    /// whether each answers there and is who it is meant to be; once there is a leader, the members tell it themselves.
    #[command(after_help = "Example:\n  sessile cluster move-addresses n2=10.1.0.2:7081 n3=10.1.0.3:7081")]
    MoveAddresses(MoveAddresses),
    /// Move the cluster's time forward, where its clocks are not to decide
    ///
    /// By that time sessions expire. It goes with the median of the members' clocks and never goes back. A step of more
    /// than an hour waits for a majority of clocks that agree, or for this command; until then writes are refused. Without
    /// a time it goes to the median of the clocks, or, where it is ahead of them, stands still until they have reached it.
    #[command(after_help = "Example:\n  sessile cluster set-time 2026-11-30T12:00:00Z")]
    SetTime(SetTime),
    /// Change the key by which a member is recognised
    #[command(after_help = "Example:\n  sessile cluster rotate-key n2")]
    RotateKey(RotateKey),
    /// Make a member's state durable, so that its log can be shortened
    #[command(after_help = "Example:\n  sessile cluster snapshot n2")]
    Snapshot(Snapshot),
    /// Make a node that is left the only member of a new cluster, after the majority was lost for ever
    ///
    /// On that node's machine, while it does not run. First it prints what the node has, from when, what may be missing and
    /// who must never come back, and asks for the beginning of the cluster's id. Where a majority answers it is refused.
    #[command(after_help = "Example:\n  sessile cluster rescue --config /etc/sessile/config.yaml --plan")]
    Rescue(Rescue),
    /// Print the changes that operators and the autopilot made, with who, from where, when and with what result
    ///
    /// The newest 1,000 are kept. An entry without a result is of a change whose leader went away in the middle.
    #[command(after_help = "Example:\n  sessile cluster history --json")]
    History(HistoryOf),
    /// Print a line for every change of the membership, of a role or of a member's reachability
    #[command(after_help = "Example:\n  sessile cluster watch --json")]
    Watch(Watch),
}

/// `sessile cluster init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `sessile cluster add-learner`.
#[derive(Debug, Args)]
pub(crate) struct AddLearner {
    /// The new node's `cluster.advertise`
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub(crate) address: ListenAddress,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Return once it is admitted, before it has caught up
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `sessile cluster promote`.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// The learner's name or id, or as much of its id as only it has
    #[arg(value_name = "MEMBER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) member: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// `sessile cluster replace`.
#[derive(Debug, Args)]
pub(crate) struct Replace {
    /// Name or id of who goes, or as much of its id as only it has
    #[arg(value_name = "OLD", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) old: String,
    /// Name or id of who comes: a learner that has caught up
    #[arg(value_name = "NEW", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) new: String,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Without effect: what leaves fewer healthy voters than a majority cannot be made, and is refused
    #[arg(long)]
    pub(crate) force: bool,
}

/// `sessile cluster remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The member's name or id, or as much of its id as only it has
    #[arg(value_name = "MEMBER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) member: String,
    #[command(flatten)]
    pub(crate) change: Change,
    /// Without effect: what leaves fewer healthy voters than a majority cannot be made, and is refused
    #[arg(long)]
    pub(crate) force: bool,
}

/// `sessile cluster rescue`.
#[derive(Debug, Args)]
pub(crate) struct Rescue {
    /// The node's configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// Print the plan, and change nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// That it is meant, for scripts: the id of the cluster that ends
    #[arg(long, value_name = "ID", conflicts_with = "plan")]
    pub(crate) cluster: Option<String>,
}

/// `sessile cluster transfer-leader`.
#[derive(Debug, Args)]
pub(crate) struct TransferLeader {
    /// Name or id of the voter that is to lead [default: the one that has caught up furthest]
    #[arg(value_name = "MEMBER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `sessile cluster set-address`.
#[derive(Debug, Args)]
pub(crate) struct SetAddress {
    /// The member's name or id, or as much of its id as only it has
    #[arg(value_name = "MEMBER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) member: String,
    /// Where it is reached from now on
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub(crate) address: ListenAddress,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// `sessile cluster move-addresses`.
#[derive(Debug, Args)]
pub(crate) struct MoveAddresses {
    /// A member's name or id, and its `cluster.advertise` now
    #[arg(value_name = "MEMBER=ADDRESS", required = true, value_parser = member_at)]
    pub(crate) moves: Vec<(String, ListenAddress)>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `sessile cluster set-time`.
#[derive(Debug, Args)]
pub(crate) struct SetTime {
    /// Where it goes, as in 2026-11-30T12:00:00Z [default: the median of the members' clocks]
    #[arg(value_name = "TIME", value_parser = point_in_time)]
    pub(crate) time: Option<u64>,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Although that is more than a day ahead of every member's clock: nothing expires until they reach it
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing at a terminal, although sessions end
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print a JSON document instead of a sentence
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sessile cluster rotate-key`.
#[derive(Debug, Args)]
pub(crate) struct RotateKey {
    /// The member's name or id [default: the node that is asked]
    #[arg(value_name = "MEMBER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) member: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `sessile cluster snapshot`.
#[derive(Debug, Args)]
pub(crate) struct Snapshot {
    /// The member's name or id [default: the node that is asked]
    #[arg(value_name = "MEMBER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) member: Option<String>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `sessile cluster history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryOf {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print a JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sessile cluster watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print the whole status as a JSON document a line instead
    #[arg(long)]
    pub(crate) json: bool,
}
