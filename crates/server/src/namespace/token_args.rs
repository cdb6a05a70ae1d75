//! What is asked for: the command lines of `sessile namespace token`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use sessile_core::TokenRight;

use super::asked::{Asked, Of};

/// A command of `sessile namespace token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a namespace, and print it
    ///
    /// It is printed once, alone, on standard output: the cluster keeps its hash only. Clients send it as `Authorization: Bearer
    /// TOKEN`. A namespace without tokens is open; from its first one on, whoever shows none is refused.
    #[command(
        after_help = "Example:\n  sessile namespace token add sessions php --right both > php.token  # after `umask 077`"
    )]
    Add(Add),
    /// Print the tokens of a namespace: name, right, and when each was added and used last
    ///
    /// The last use is told to the hour.
    #[command(after_help = "Example:\n  sessile namespace token list sessions --json")]
    List(Of),
    /// Remove a token from a namespace
    ///
    /// Whoever shows it is refused from then on. Without its last token a namespace is open to everybody.
    #[command(after_help = "Example:\n  sessile namespace token remove sessions php")]
    Remove(Remove),
}

/// `sessile namespace token add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// The token's name, for people: a-z 0-9 _ -, a letter first [default: one that is made up]
    #[arg(value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) token: Option<String>,
    /// What it allows
    #[arg(long, value_enum, value_name = "RIGHT")]
    pub(crate) right: Right,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// `sessile namespace token remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// The token's name
    #[arg(value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Right {
    /// GET and HEAD
    Read,
    /// POST, PUT, PATCH and DELETE
    Write,
    /// All of it, and a DELETE that hands out the value
    Both,
}

impl From<Right> for TokenRight {
    fn from(right: Right) -> Self {
        match right {
            Right::Read => Self::Read,
            Right::Write => Self::Write,
            Right::Both => Self::Both,
        }
    }
}
