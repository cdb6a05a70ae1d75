use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, TypedValueParser};

use super::mediawiki::Form;
use super::source_url::SourceUrl;
use crate::session_client::Endpoint;
use crate::value_parsers::patience;

/// `sessile import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What is copied: redis://[USER:PASSWORD@]HOST[:PORT][/DB], or the same with valkey://; it is only read. Others on
    /// this machine may read a command line, so the password is better in --password-file
    #[arg(value_name = "SOURCE", value_parser = TypedSource::of)]
    pub(crate) source: TypedSource,
    /// Where to: the base URI of a namespace at any node, such as http://127.0.0.1:8081/sessions/v1/; of several,
    /// separated by commas, another one is asked when one does not answer
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "dry_run",
        value_delimiter = ',',
        value_parser = Endpoint::parse
    )]
    pub(crate) to: Vec<Endpoint>,
    /// Only keys that this glob of Redis matches, such as `*:MWSession:*`
    #[arg(long = "match", value_name = "PATTERN", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) pattern: Option<String>,
    /// Only keys that begin with this text
    #[arg(long, value_name = "TEXT", conflicts_with = "pattern", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) prefix: Option<String>,
    /// What keys begin with in Sessile in the place of --prefix; may be empty
    #[arg(long, value_name = "TEXT", requires = "prefix")]
    pub(crate) rename: Option<String>,
    /// Make of each value that MediaWiki's RedisBagOStuff has written what its RESTBagOStuff reads, with this
    /// `serialization_type`
    #[arg(long, value_name = "TYPE", value_enum)]
    pub(crate) mediawiki: Option<Form>,
    /// The file with RESTBagOStuff's `hmac_key`, if it has one
    #[arg(
        long,
        value_name = "FILE",
        requires = "mediawiki",
        value_parser = NonEmptyStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) hmac_key_file: Option<PathBuf>,
    /// The file with the source's password
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) password_file: Option<PathBuf>,
    /// The file with a token of the namespace with the right `both`, if it has tokens
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) token_file: Option<PathBuf>,
    /// The file that says how far the import is; the same line again goes on from there. It holds neither keys nor
    /// values
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "dry_run",
        value_parser = NonEmptyStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) state: Option<PathBuf>,
    /// How many connections write, each one session at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) connections: u16,
    /// At most so many sessions a second, all connections together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// How long to go on asking nodes that do not answer, or answer 429 or 503, for one session: seconds, or with a unit
    /// such as 500ms, 10s or 2m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = patience)]
    pub(crate) patience: Duration,
    /// Read all, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print a JSON document instead of sentences
    #[arg(long)]
    pub(crate) json: bool,
}

/// The source as it was typed. What is wrong with it is told without repeating it, as clap would: it may hold a password.
#[derive(Debug, Clone)]
pub(crate) struct TypedSource(pub(crate) Result<SourceUrl, String>);

impl TypedSource {
    fn of(text: &str) -> Result<Self, String> {
        Ok(Self(SourceUrl::parse(text)))
    }
}

impl Import {
    /// The same command line, without a password.
    pub(super) fn line(&self) -> String {
        let mut words = vec!["sessile".to_owned(), "import".to_owned()];
        words.push(self.source.0.as_ref().map(SourceUrl::to_be_typed).unwrap_or_default());
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| [format!("--{name}"), value]).into_iter().flatten());
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        option("to", Some(to.join(",")).filter(|to| !to.is_empty()));
        option("match", self.pattern.clone());
        option("prefix", self.prefix.clone());
        option("rename", self.rename.clone());
        option("mediawiki", self.mediawiki.map(|form| form.name().to_lowercase()));
        option("hmac-key-file", path(&self.hmac_key_file));
        option("password-file", path(&self.password_file));
        option("token-file", path(&self.token_file));
        option("state", path(&self.state));
        option("connections", Some(self.connections).filter(|many| *many != 32).map(|many| many.to_string()));
        option("rate", self.rate.map(|rate| rate.to_string()));
        option(
            "patience",
            Some(self.patience.as_millis()).filter(|millis| *millis != 60_000).map(|millis| format!("{millis}ms")),
        );
        words.extend(self.dry_run.then(|| "--dry-run".to_owned()));
        words.extend(self.json.then(|| "--json".to_owned()));
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        import: Import,
    }

    fn line(words: &[&str]) -> String {
        Line::try_parse_from([&["import"], words].concat()).unwrap_or_else(|error| panic!("{error}")).import.line()
    }

    #[test]
    fn the_line_that_goes_on_says_all_but_the_password() {
        let to = ["--to", "http://n1:8081/sessions/v1/,http://n2:8081/sessions/v1"];
        let short = line(&[&["redis://h"], &to[..]].concat());
        assert_eq!(
            short,
            "sessile import redis://h:6379/0 --to http://n1:8081/sessions/v1/,http://n2:8081/sessions/v1/"
        );
        let full = line(
            &[
                &["valkey://ada:secret@h:1/2", "--prefix", "a b'", "--rename", "", "--mediawiki", "json"][..],
                &to[..],
                &["--hmac-key-file", "k", "--password-file", "p", "--token-file", "t", "--state", "s", "--rate", "9"],
                &["--connections", "8", "--patience", "2m", "--json"],
            ]
            .concat(),
        );
        assert_eq!(
            full,
            "sessile import redis://ada:PASSWORD@h:1/2 --to \
             http://n1:8081/sessions/v1/,http://n2:8081/sessions/v1/ --prefix 'a b'\\''' --rename '' --mediawiki json \
             --hmac-key-file k --password-file p --token-file t --state s --connections 8 --rate 9 --patience 120000ms \
             --json"
        );
        assert_eq!(
            line(&["redis://ada@h", "--dry-run", "--match", "*"]),
            "sessile import redis://ada@h:6379/0 --match '*' --dry-run"
        );
    }

    #[test]
    fn a_wrong_source_is_not_repeated() {
        let parsed = Line::try_parse_from(["import", "redis://:secret@h:x", "--dry-run"]);
        let import = parsed.unwrap_or_else(|error| panic!("{error}")).import;
        assert!(!format!("{import:?}").contains("secret") && import.source.0.is_err());
    }
}
