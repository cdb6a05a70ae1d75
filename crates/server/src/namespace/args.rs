//! What is asked for: the command lines of `sessile namespace`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use sessile_cluster::admin::NamespaceChoices;

use super::asked::{Asked, Of};
use super::token_args::TokenCommand;
use crate::operate::args::Server;

/// A command of `sessile namespace`.
#[derive(Debug, Subcommand)]
pub(crate) enum NamespaceCommand {
    /// Print the namespaces, with what each counts and may hold
    #[command(after_help = "Example:\n  sessile namespace list --json")]
    List(List),
    /// Print one namespace
    #[command(after_help = "Example:\n  sessile namespace show sessions")]
    Show(Of),
    /// Make one more namespace
    ///
    /// Its path must not lead into that of another, nor the other way round.
    #[command(after_help = "Example:\n  sessile namespace create echo --base-uri /echoseen/v1 --default-ttl 31536000")]
    Create(Create),
    /// Change what a namespace may hold, or where it is
    ///
    /// What is not given stays as it is. A quota below what is there is refused.
    #[command(after_help = "Example:\n  sessile namespace set echo --max-keys 1000000")]
    Set(Set),
    /// End all sessions of a namespace, or of one group of its keys
    ///
    /// At once and whatever their number; their bytes leave the disk later. Asks for the name again at a terminal.
    #[command(after_help = "Example:\n  sessile namespace truncate sessions --group enwiki")]
    Truncate(Truncate),
    /// Remove a namespace
    ///
    /// One that has sessions only with --force.
    #[command(after_help = "Example:\n  sessile namespace drop echo")]
    Drop(Drop),
    /// Print the groups of a namespace, the largest first
    ///
    /// A group is what stands before the first `:` of a key; in MediaWiki it is the wiki.
    #[command(after_help = "Example:\n  sessile namespace groups sessions")]
    Groups(Of),
    /// Print the live keys of a namespace, or of one group of them
    ///
    /// As they are when it begins, from one view of the node that is asked. Keys are credentials: they are shown by a hash.
    /// With --reveal they are shown as they are, and the history of changes tells who asked for it.
    #[command(after_help = "Example:\n  sessile namespace keys sessions --group enwiki --count")]
    Keys(Keys),
    /// Make, list and remove the tokens that a namespace's clients show
    ///
    /// A namespace without tokens is open to whoever reaches a node. Several at once are for replacing one without a request
    /// that fails: add the new one, have every client show it, remove the old one.
    #[command(after_help = "Example:\n  sessile namespace token list sessions", disable_help_subcommand = true)]
    Token {
        /// What to do.
        #[command(subcommand)]
        command: TokenCommand,
    },
}

/// `sessile namespace list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sessile namespace keys`.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// Only the keys of this group; empty for those without one
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Print only how many there are
    #[arg(long)]
    pub(crate) count: bool,
    /// Show the keys as they are
    #[arg(long, conflicts_with = "count")]
    pub(crate) reveal: bool,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print a JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a namespace may hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct Limits {
    /// The lifetime of what asks for none, in seconds; 0 for no end [default of a new one: a day]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) default_ttl: Option<u64>,
    /// The longest lifetime, in seconds; 0 for any [default of a new one: 366 days]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_ttl: Option<u64>,
    /// The most keys; 0 for any number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_keys: Option<u64>,
    /// The most bytes of keys and values; 0 for any number
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_bytes: Option<u64>,
    /// The largest value; 0 for what a node takes
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_value: Option<u64>,
    /// What a read proves before it answers
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) read_consistency: Option<Consistency>,
    /// The higher, the later its writes are refused when disks fill up
    #[arg(long, value_name = "NUMBER")]
    pub(crate) priority: Option<u32>,
    /// Which reads renew what they find
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) renew: Option<Renew>,
}

/// Which reads renew what they find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Renew {
    /// None
    Never,
    /// Those in the last half of its lifetime
    Half,
}

/// What a read proves before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consistency {
    /// That it is as new as everything acknowledged before it came
    Linearizable,
    /// Nothing: it tells what the node knows, and how old that may be
    Local,
}

impl Limits {
    /// As they are asked for.
    pub(super) fn choices(&self) -> NamespaceChoices {
        NamespaceChoices {
            base_uri: None,
            default_ttl_seconds: self.default_ttl,
            max_ttl_seconds: self.max_ttl,
            max_keys: self.max_keys,
            max_bytes: self.max_bytes,
            max_value_bytes: self.max_value,
            local_reads: self.read_consistency.map(|consistency| consistency == Consistency::Local),
            priority: self.priority,
            renew_half: self.renew.map(|renew| renew == Renew::Half),
        }
    }
}

/// `sessile namespace create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name: a-z 0-9 _ -, a letter first
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// The path that its keys are under
    #[arg(long, value_name = "PATH")]
    pub(crate) base_uri: String,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// `sessile namespace set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// The path that its keys are under from now on
    #[arg(long, value_name = "PATH")]
    pub(crate) base_uri: Option<String>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// `sessile namespace truncate`.
#[derive(Debug, Args)]
pub(crate) struct Truncate {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// Only the keys of this group
    #[arg(long, value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) group: Option<String>,
    /// Ask nothing at a terminal
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// `sessile namespace drop`.
#[derive(Debug, Args)]
pub(crate) struct Drop {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// Also if it has sessions, which end
    #[arg(long)]
    pub(crate) force: bool,
    /// Ask nothing at a terminal
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) asked: Asked,
}
