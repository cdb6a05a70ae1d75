use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::args::{DATA_DIR_VARIABLE, SERVER_VARIABLE, Server};
use crate::config::ListenAddress;
use crate::exit::{Failure, Status};
use crate::value_parsers::address;

/// Whom a command asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    /// The node on this machine that has that data directory.
    OnThisMachine(PathBuf),
    /// The first that answers at these addresses.
    At(Vec<ListenAddress>),
    /// Nothing was said: the node whose data is where one without a setting has it, or else the one that listens where one
    /// without a setting does.
    Usual,
}

impl Whom {
    /// What is said on the command line counts before what is in the environment.
    pub(super) fn of(server: &Server) -> Result<Self, Failure> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        Self::choose(server, variable(SERVER_VARIABLE), variable(DATA_DIR_VARIABLE))
    }

    fn choose(server: &Server, servers: Option<OsString>, data_dir: Option<OsString>) -> Result<Self, Failure> {
        if !server.servers.is_empty() {
            return Ok(Self::At(server.servers.clone()));
        }
        if let Some(data_dir) = &server.data_dir {
            return Ok(Self::OnThisMachine(data_dir.clone()));
        }
        if let Some(servers) = servers {
            let parse = |text: &str| {
                address(text).map_err(|why| {
                    Failure::new(Status::Usage, format!("invalid value {text:?} of {SERVER_VARIABLE}: {why}"))
                })
            };
            return servers.to_string_lossy().split(',').map(parse).collect::<Result<_, _>>().map(Self::At);
        }
        Ok(data_dir.map_or(Self::Usual, |data_dir| Self::OnThisMachine(data_dir.into())))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_command_line_counts_before_the_environment_and_the_default_is_the_node_of_this_machine() {
        let address = |text: &str| ListenAddress::parse(text).unwrap();
        let said = |servers: &[&str], data_dir: Option<&str>| Server {
            servers: servers.iter().map(|server| address(server)).collect(),
            data_dir: data_dir.map(PathBuf::from),
            token_file: None,
            timeout: Duration::from_secs(1),
        };
        let at = |servers: &[&str]| Whom::At(servers.iter().map(|server| address(server)).collect());
        let here = |data_dir: &str| Whom::OnThisMachine(data_dir.into());
        for (said, servers, data_dir, whom) in [
            (said(&[], None), None, None, Whom::Usual),
            (said(&[], None), None, Some("/e"), here("/e")),
            (said(&[], None), Some("a:1,b:2"), Some("/e"), at(&["a:1", "b:2"])),
            (said(&[], Some("/d")), Some("a:1"), Some("/e"), here("/d")),
            (said(&["c:3"], None), Some("a:1"), Some("/e"), at(&["c:3"])),
        ] {
            let chosen = Whom::choose(&said, servers.map(Into::into), data_dir.map(Into::into));
            assert_eq!(chosen.unwrap(), whom, "{said:?} {servers:?} {data_dir:?}");
        }
        let wrong = Whom::choose(&said(&[], None), Some("a:1,nonsense".into()), None).unwrap_err();
        assert!(wrong.to_string().starts_with("invalid value \"nonsense\" of SESSILE_SERVER: HOST:PORT was expected"));
    }
}
