//! Where sessions are copied from.

use std::fmt;

use crate::config::ListenAddress;

/// What Redis and Valkey listen on unless they are told otherwise.
const DEFAULT_PORT: u16 = 6379;

/// `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`. Neither `Debug` nor `Display` shows user and password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SourceUrl {
    pub(super) address: ListenAddress,
    /// Number of the database.
    pub(super) database: u32,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl SourceUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "redis://[USER:PASSWORD@]HOST[:PORT][/DB] or the same with valkey:// was expected, such as \
             redis://10.0.0.9:6379/0"
                .to_owned()
        };
        if text.starts_with("rediss://") || text.starts_with("valkeys://") {
            return Err(
                "the import speaks no TLS to its source; run it on the machine of the source, or through a tunnel \
                        such as `ssh -L 6379:127.0.0.1:6379`, and give redis://127.0.0.1:6379"
                    .to_owned(),
            );
        }
        let rest = text.strip_prefix("redis://").or_else(|| text.strip_prefix("valkey://")).ok_or_else(expected)?;
        let (who, place) = match rest.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        let (address, database) = place.split_once('/').unwrap_or((place, ""));
        let database = match database {
            "" => 0,
            digits => {
                digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(expected)?
            }
        };
        let has_port = address.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let address = if has_port { address.to_owned() } else { format!("{address}:{DEFAULT_PORT}") };
        let address = ListenAddress::parse(&address).ok().filter(|address| address.port() != 0).ok_or_else(expected)?;
        let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
            None => (None, None),
            Some((user, password)) => {
                (Some(decoded(user).ok_or_else(expected)?), Some(decoded(password).ok_or_else(expected)?))
            }
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self { address, database, user: filled(user), password: filled(password) })
    }
}

impl SourceUrl {
    /// As it is typed on a command line, with a word in the place of the password.
    pub(super) fn to_be_typed(&self) -> String {
        let password = self.password.as_ref().map_or("", |_| ":PASSWORD");
        let user = self.user.as_deref().unwrap_or_default();
        let at = if user.is_empty() && password.is_empty() { "" } else { "@" };
        format!("redis://{user}{password}{at}{}/{}", self.address, self.database)
    }
}

/// `%XX` decoded; `None` if it is malformed or not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((next, after)) = rest.split_first() {
        if *next != b'%' {
            bytes.push(*next);
            rest = after;
            continue;
        }
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}/{}", self.address, self.database)
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_place_a_database_and_perhaps_a_password() {
        for (text, shown, user, password) in [
            ("redis://10.0.0.9:6380/3", "redis://10.0.0.9:6380/3", None, None),
            ("valkey://cache.example", "redis://cache.example:6379/0", None, None),
            ("redis://[::1]/2", "redis://[::1]:6379/2", None, None),
            ("redis://[::1]:7/", "redis://[::1]:7/0", None, None),
            ("redis://:p%40ss:w%2Fo@h:1/0", "redis://h:1/0", None, Some("p@ss:w/o")),
            ("redis://ada:secret@h", "redis://h:6379/0", Some("ada"), Some("secret")),
        ] {
            let url = SourceUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str()), (shown, shown));
            assert_eq!((url.user.as_deref(), url.password.as_deref()), (user, password), "{text}");
        }
        for wrong in [
            "",
            "redis:",
            "http://h",
            "redis://",
            "redis://h:0",
            "redis://h:x",
            "redis://h/x",
            "redis://h/+1",
            "redis://h/1/2",
            "redis://a:%zz@h",
            "redis://::1",
        ] {
            let said = SourceUrl::parse(wrong).unwrap_err();
            assert!(said.contains("was expected"), "{wrong}: {said}");
        }
        assert!(SourceUrl::parse("rediss://h").unwrap_err().contains("ssh -L"));
    }
}
