//! The command line as a whole: which commands there are, how a wrong one is told, and completion scripts. What a command
//! takes is told in its family's folder: `serve`, `operate`, `namespace`, `bench`, `import`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::backup::{Backup, Look, Restore};
use crate::bench::Bench;
use crate::exit::{Failure, Status};
use crate::import::Import;
use crate::metrics::MetricsOf;
use crate::namespace::NamespaceCommand;
use crate::operate::{ClusterCommand, ReadyOf, StatusOf};
use crate::serve::{CheckConfig, Dev, Serve};

/// How wide help is, whatever the terminal: golden files and manuals show what everybody sees.
const HELP_WIDTH: usize = 100;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "sessile",
    version,
    about = "A session store that speaks Kask's HTTP API and keeps what it acknowledged",
    term_width = HELP_WIDTH,
    disable_help_subcommand = true,
    after_help = "Examples:\n  sessile dev\n  sessile status --server n1.example:7081\n\nExit codes: 64 wrong command line \
                  or configuration, 69 the port is in use or no node\nanswers, 73 the data directory cannot be used, 1 \
                  anything else; 130 and 143 ended by a second\nsignal. status and cluster have more: see their help."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How `sessile status` ends.
const STATUS_HELP: &str = "Example:\n  sessile status --server 10.0.0.1:7081,10.0.0.2:7081\n\nExit codes: 0 healthy, 1 degraded or not \
                           ready, 75 no quorum or no answer in time, 69 no node\nanswers, 77 no token or a wrong one, 64 wrong command line.";
/// How the commands of `sessile cluster` end.
const CLUSTER_HELP: &str = "Example:\n  sessile cluster remove n3\n\nExit codes: 0 done, or so \
                            already; 65 refused, as it would lose the quorum or was decided on\nanother membership; 68 no such \
                            member; 69 no node answers; 75 no quorum, no leader or no answer in\ntime; 77 no token, a \
                            wrong one, or one that only allows to look; 64 wrong command line; 1 anything else.";

/// How the commands of `sessile namespace` end.
const NAMESPACE_HELP: &str = "Example:\n  sessile namespace truncate sessions --group enwiki --server 10.0.0.1:7081\n\nExit codes: 0 \
                              done, or so already; 65 refused, as it is in the way of another or would break a\nlimit; 68 no \
                              such namespace, group or token; 69 no node answers; 75 no quorum, no leader or no answer\nin time; 64 \
                              wrong command line; 1 anything else.";

/// How `sessile backup` ends.
const BACKUP_HELP: &str = "Example:\n  sessile backup /var/backups/sessions.backup --server 10.0.0.1:7081 --token-file admin.token\n\nExit \
                           codes: 0 done; 69 no node answers, or it ended early; 73 FILE is there already or cannot be\nwritten; 75 no quorum or no answer in time; 77 no token, a wrong one, or one that only allows to\nlook; 64 wrong command line; 1 anything else.";

/// How `sessile restore` ends.
const RESTORE_HELP: &str = "Example:\n  sessile restore sessions.backup --data-dir /var/lib/sessile\n\nExit codes: 0 done; 65 the \
                            backup is damaged, or does not fit what is in DIR; 73 DIR is in use, or\ncannot be written; 64 wrong command line; 1 anything else. What was refused changed nothing.";

/// How `sessile bench` ends.
const BENCH_HELP: &str = "Example:\n  sessile bench http://n1.example:8081/sessions/v1/ --rate 2000 --duration 5m\n\nExit codes: \
                          0 every request was answered, 1 some were not, 69 nobody answers, 64 wrong\ncommand line.";

/// How `sessile import` ends.
const IMPORT_HELP: &str = "Example:\n  sessile import redis://10.0.0.9:6379 --to http://n1:8081/sessions/v1/ --mediawiki json\n\nExit codes: 0 all \
                           strings are there, 1 some are not, as the report says; 65 the target is full,\nor no Sessile; 68 it has no \
                           such namespace; 69 the source breaks off, or one of both cannot be\nreached; 73 the state cannot be written; 75 the \
                           target took no write for --patience; 77 a password\nor token is wrong or missing; 64 wrong command line or state \
                           file; 130 interrupted. The same line again\ngoes on.";

/// How `sessile ready` ends.
const READY_HELP: &str = "Example:\n  sessile ready --timeout 3s\n\nExit codes: 0 it could, 75 it could not or has not answered in \
                          time, 69 no node answers, 77 no token or a\nwrong one, 64 wrong command line.";

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one node on this machine to try things out
    ///
    /// Without --data-dir its sessions go when it stops.
    #[command(after_help = "Example:\n  sessile dev --listen 127.0.0.1:9000 --data-dir ./sessions")]
    Dev(Dev),
    /// Run a node
    ///
    /// A Kask configuration file starts a single node as it is.
    #[command(after_help = "Example:\n  sessile serve --config /etc/sessile/config.yaml")]
    Serve(Serve),
    /// Say what a configuration file would run, or what is wrong with it
    ///
    /// Prints the effective values as YAML, with the warnings as comments. Starts nothing.
    #[command(after_help = "Example:\n  sessile check-config /etc/kask/config.yaml")]
    CheckConfig(CheckConfig),
    /// Print every key that a configuration file may have, with its default, its bounds and its variable
    ///
    /// As Markdown. It is docs/configuration.md, of the program that is asked.
    #[command(after_help = "Example:\n  sessile configuration | less")]
    Configuration,
    /// Show who is in a cluster and how it is
    ///
    /// A table of the members as the node that is asked knows them, a sentence on health, and what to look at. It is
    /// told without a quorum too, and before there is a cluster.
    #[command(after_help = STATUS_HELP)]
    Status(StatusOf),
    /// Change who is in a cluster, who leads it, or its time
    ///
    /// Through any of its nodes. What is so already is no error.
    #[command(after_help = CLUSTER_HELP, disable_help_subcommand = true)]
    Cluster {
        /// What to do.
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Show or change which namespaces there are, what they may hold, and end their sessions
    ///
    /// Keys of different namespaces never meet; each has a path of its own. Through any node of the cluster.
    #[command(after_help = NAMESPACE_HELP, disable_help_subcommand = true)]
    Namespace {
        /// What to do.
        #[command(subcommand)]
        command: NamespaceCommand,
    },
    /// Keep all sessions of a cluster in a file
    ///
    /// As they are when it begins, from one view of the node that is asked, with everything that was acknowledged before.
    /// Requests go on meanwhile. What is written is verified on its way, and has the name FILE once it is whole and durable.
    #[command(after_help = BACKUP_HELP)]
    Backup(Backup),
    /// Read a backup to its end, and say whether it is whole
    #[command(
        after_help = "Example:\n  sessile verify sessions.backup\n\nExit codes: 0 it is whole, 65 it is not, 73 it cannot be read."
    )]
    Verify(Look),
    /// Say what a backup holds: when it was made, of which cluster, and what each namespace counts
    #[command(
        after_help = "Example:\n  sessile inspect sessions.backup --json\n\nExit codes: 0 it is whole, 65 it is not, 73 it cannot be read."
    )]
    Inspect(Look),
    /// Make a backup the data of a node that does not run
    ///
    /// In an empty directory: the first node of a new cluster, which the other nodes join with empty directories. In the
    /// directory of a node that has lost its sessions and not its log: under that log, and the node stays what it is.
    #[command(after_help = RESTORE_HELP)]
    Restore(Restore),
    /// Put a load on a store and measure how long it takes to answer
    ///
    /// It asks the session API of any node, or of what stands before several, for sessions of its own, whose keys begin
    /// with `bench:` and which expire by themselves. How far it is stands on standard error once a second.
    #[command(after_help = BENCH_HELP)]
    Bench(Bench),
    /// Copy sessions from Redis or Valkey into a namespace
    ///
    /// Keys, values and what is left of their lifetimes, over the session API. What is there already stays as it is, so the
    /// same line may be run again, also while clients write. A session that the source loses while it is copied, because
    /// its user logs out, is removed again. docs/migrate.md leads a wiki through it.
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// List every metric that a node may show, with type, unit, labels and how many series at the most
    ///
    /// What a running node shows is at /metrics of its session API and of `admin.listen`.
    #[command(after_help = "Example:\n  sessile metrics --json > metrics.json")]
    Metrics(MetricsOf),
    /// Ask whether a node could serve a read and a write now
    ///
    /// For health checks of containers and for scripts; a balancer asks /readyz itself. It is told without a token on the
    /// node's own machine, by root and its own user.
    #[command(after_help = READY_HELP)]
    Ready(ReadyOf),
    /// Write the manual pages, one for each command
    ///
    /// For packages: the directory is where `man` looks for those of section 1.
    #[command(after_help = "Example:\n  sessile man /usr/local/share/man/man1")]
    Man(Man),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  sessile completions bash > /etc/bash_completion.d/sessile")]
    Completions(Completions),
}

/// `sessile completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that reads it
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `sessile man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory that they are written into; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// A shell that there is a completion script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// To do something.
    Run(Box<Command>),
    /// To be told something: help or the version, to be printed.
    Tell(String),
}

/// Reads the command line, the program's name first. The error has the code of a wrong command line, and says in one
/// sentence what is wrong with it.
pub(crate) fn parse<I>(arguments: I) -> Result<Request, Failure>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => Ok(Request::Run(Box::new(cli.command))),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // clap pads the empty lines between paragraphs.
            Ok(Request::Tell(error.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()))
        }
        Err(error) => Err(Failure::new(Status::Usage, sentence(&error, &arguments))),
    }
}

/// The completion script for that shell.
pub(crate) fn completions(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sessile", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a manual page for each command into a directory, which is made if it is not there.
pub(crate) fn write_manual(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)
}

/// clap's words without its layout: what stands before the usage, as one sentence, and where to read on.
fn sentence(error: &clap::Error, arguments: &[OsString]) -> String {
    let rendered = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "a command is missing".to_owned()
        }
        _ => error.to_string(),
    };
    let parts = rendered.trim_start_matches("error: ").split("\n\n").map(str::trim);
    let said: Vec<&str> =
        parts.take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more information")).collect();
    let (root, mut path) = (Cli::command(), "sessile".to_owned());
    let mut command = &root;
    for argument in arguments.iter().skip(1) {
        let Some(known) = command.get_subcommands().find(|command| command.get_name() == *argument) else { break };
        path += &format!(" {}", known.get_name());
        command = known;
    }
    format!("{}; see `{path} --help`", said.join("; "))
}

#[cfg(test)]
mod tests {
    use sessile_store::engine::EngineKind;

    use super::*;
    use crate::config::Environment;
    use crate::golden;
    use crate::operate::args::{DATA_DIR_VARIABLE, SERVER_VARIABLE};

    fn told(arguments: &[&str]) -> String {
        match parse(["sessile"].iter().chain(arguments)) {
            Ok(Request::Tell(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    fn command(arguments: &[&str]) -> Command {
        match parse(["sessile"].iter().chain(arguments)) {
            Ok(Request::Run(command)) => *command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_is_what_stands_in_its_golden_file() {
        golden::check("help/sessile.txt", &told(&["--help"]));
        let checked = |path: &[&str]| {
            let help = told(&[path, &["--help"]].concat());
            assert!(help.contains(&format!("\nExample:\n  sessile {} ", path.join(" "))), "{help}");
            golden::check(&format!("help/{}.txt", path.join("-")), &help);
        };
        for command in Cli::command().get_subcommands() {
            checked(&[command.get_name()]);
            for nested in command.get_subcommands() {
                checked(&[command.get_name(), nested.get_name()]);
                for deeper in nested.get_subcommands() {
                    checked(&[command.get_name(), nested.get_name(), deeper.get_name()]);
                }
            }
        }
        assert_eq!(told(&["--version"]), format!("sessile {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn no_variable_of_a_command_is_taken_for_a_mistyped_key_of_the_configuration() {
        let arguments = |command: &clap::Command| {
            let variables = command.get_arguments().filter_map(|argument| argument.get_env().map(ToOwned::to_owned));
            variables.collect::<Vec<OsString>>()
        };
        let root = Cli::command();
        let nested = root.get_subcommands().flat_map(|command| command.get_subcommands().chain([command]));
        let named: Vec<_> = nested.flat_map(arguments).collect();
        assert!(named.contains(&OsString::from("SESSILE_TOKEN_FILE")), "{named:?}");
        let by_hand = [SERVER_VARIABLE, DATA_DIR_VARIABLE].map(OsString::from);
        for variable in named.into_iter().chain(by_hand) {
            assert_eq!(Environment::of([(variable, "1".into())]).warnings(), [""; 0]);
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let Command::Dev(dev) = command(&["dev"]) else { panic!("not dev") };
        assert_eq!((dev.data_dir, dev.listen.to_string().as_str()), (None, "127.0.0.1:8081"));
        assert_eq!(dev.engine, EngineKind::Fjall);
        let Command::Dev(dev) = command(&["dev", "--listen", "[::1]:0", "--data-dir=d", "--engine", "sled"]) else {
            panic!("not dev")
        };
        assert_eq!((dev.data_dir, dev.listen.to_string().as_str()), (Some("d".into()), "[::1]:0"));
        assert_eq!(dev.engine, EngineKind::Sled);
        let Command::Serve(serve) = command(&["serve"]) else { panic!("not serve") };
        assert_eq!(serve.config.to_str(), Some("/etc/sessile/config.yaml"));
        assert!(!serve.discard_data_and_rejoin);
        let Command::Serve(serve) = command(&["serve", "--discard-data-and-rejoin"]) else { panic!("not serve") };
        assert!(serve.discard_data_and_rejoin);
    }

    #[test]
    fn a_wrong_command_line_is_one_sentence() {
        for (arguments, said) in [
            (vec![], "a command is missing; see `sessile --help`"),
            (vec!["srve"], "unrecognized subcommand 'srve'; tip: a similar subcommand exists: 'serve'; see `sessile"),
            (vec!["serve", "--conf", "a"], "unexpected argument '--conf' found; tip: a similar argument exists"),
            (vec!["serve", "extra"], "unexpected argument 'extra' found; see `sessile serve --help`"),
            (
                vec!["check-config"],
                "the following required arguments were not provided:\n  <FILE>; see `sessile check-",
            ),
            (
                vec!["dev", "--listen", "80"],
                "invalid value '80' for '--listen <ADDR>': HOST:PORT was expected, such as 127.0.0.1:8081 or [::1]:8081; see `sessile dev --help`",
            ),
            (
                vec!["dev", "--engine", "x"],
                "invalid value 'x' for '--engine <ENGINE>'\n  [possible values: fjall, sled]",
            ),
            (vec!["dev", "--data-dir", ""], "a value is required for '--data-dir <DIR>' but none was supplied; see"),
            (vec!["help"], "unrecognized subcommand 'help'; "),
            (vec!["cluster"], "a command is missing; see `sessile cluster --help`"),
            (vec!["cluster", "help"], "unrecognized subcommand 'help'; see `sessile cluster --help`"),
            (vec!["cluster", "rm", "n3"], "unrecognized subcommand 'rm'"),
            (
                vec!["cluster", "remove"],
                "the following required arguments were not provided:\n  <MEMBER>; see `sessile cl",
            ),
            (
                vec!["cluster", "remove", ""],
                "a value is required for '<MEMBER>' but none was supplied; see `sessile clus",
            ),
            (vec!["cluster", "replace", "n3"], "the following required arguments were not provided:\n  <NEW>; see `"),
            (vec!["cluster", "promote", "n3", "--force"], "unexpected argument '--force' found; "),
            (
                vec!["cluster", "remove", "n3", "--if-membership", "x"],
                "invalid value 'x' for '--if-membership <INDEX>': ",
            ),
            (
                vec!["cluster", "add-learner", "n4"],
                "invalid value 'n4' for '<ADDRESS>': HOST:PORT was expected, such as",
            ),
            (vec!["cluster", "set-address", "n4", "n4:0"], "invalid value 'n4:0' for '<ADDRESS>': HOST:PORT was expec"),
            (
                vec!["cluster", "set-time", "noon"],
                "invalid value 'noon' for '[TIME]': a date and time of RFC 3339 was expected, such as 2026-11-30T",
            ),
            (
                vec!["namespace", "token", "add", "sessions", "--right", "all"],
                "invalid value 'all' for '--right <RIGHT>'\n  [possible values: read, write, both]",
            ),
            (vec!["namespace", "token"], "a command is missing; see `sessile namespace token --help`"),
            (vec!["status", "--server", "n1"], "invalid value 'n1' for '--server <HOST:PORT>': HOST:PORT was expected"),
            (
                vec!["status", "--timeout", "1h"],
                "invalid value '1h' for '--timeout <TIME>': a time from 1ms to 60m was",
            ),
        ] {
            let error = parse(["sessile"].iter().chain(&arguments)).unwrap_err();
            assert!(error.to_string().starts_with(said), "{arguments:?}: {error}");
            assert!(error.to_string().ends_with(" --help`") && error.status() == Status::Usage, "{error}");
        }
    }

    #[test]
    fn every_command_has_a_manual_page_with_all_its_options() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("man1");
        write_manual(&directory).unwrap();
        let page = |path: &[&str]| {
            let file = directory.join(format!("{}.1", path.join("-")));
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        let root = Cli::command();
        for command in root.get_subcommands() {
            let path = ["sessile", command.get_name()];
            let nested = command.get_subcommands().map(|nested| ([&path[..], &[nested.get_name()]].concat(), nested));
            for (path, command) in nested.chain([(path.to_vec(), command)]) {
                let page = page(&path);
                assert!(page.contains(".TH ") && page.contains("Example:"), "{path:?}");
                for long in command.get_arguments().filter_map(clap::Arg::get_long) {
                    assert!(page.contains(&long.replace('-', "\\-")), "{path:?} does not tell of --{long}");
                }
            }
        }
        assert!(page(&["sessile"]).contains("sessile\\-cluster(1)"));
    }

    #[test]
    fn there_is_a_completion_script_for_every_shell() {
        for shell in Shell::value_variants() {
            let script = completions(*shell);
            for known in ["check-config", "data-dir", "add-learner", "transfer-leader", "if-membership"] {
                assert!(script.contains(known), "{shell:?} does not know {known}");
            }
        }
    }
}
