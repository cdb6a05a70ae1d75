use std::fs;
use std::path::PathBuf;

use super::block::{Block, Located};
use super::fault::{ConfigError, quoted};
use super::keys::MAX_SOCKET_PATH_BYTES;

/// A Unix socket for the session API, and who may connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUnix {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// The mode of its file: whoever may write to it may connect.
    pub mode: u32,
    /// The number of the group that it belongs to; `None` for that of the process.
    pub group: Option<u32>,
}

impl ListenUnix {
    /// Where the names of groups are.
    const GROUPS: &str = "/etc/group";

    /// The socket that `listen_unix` names, if it names one.
    pub(super) fn check(top: &Block<'_>) -> Result<Option<Self>, ConfigError> {
        let (mode, group) = (top.text("listen_unix_mode")?, top.text("listen_unix_group")?);
        let Some(Located { value, place }) = top.text("listen_unix")?.filter(|found| !found.value.is_empty()) else {
            return match mode.map(|found| found.place).or(group.map(|found| found.place)) {
                None => Ok(None),
                Some(place) => {
                    let sentence = "`listen_unix_mode` and `listen_unix_group` are of no use without `listen_unix`";
                    Err(ConfigError::at(place, format!("{sentence}; add it, or remove them")))
                }
            };
        };
        let path = std::path::absolute(value)
            .ok()
            .filter(|path| path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES && path.file_name().is_some())
            .ok_or_else(|| top.must("listen_unix", &Located { value, place }))?;
        let mode = top.text_or_default("listen_unix_mode")?;
        let mode = mode_of(mode.value).ok_or_else(|| {
            let found = quoted(mode.value);
            ConfigError::at(mode.place, format!("`listen_unix_mode` must be an octal mode such as 0660, not {found}"))
        })?;
        let group = group.map(|Located { value, place }| {
            let groups = fs::read_to_string(Self::GROUPS).unwrap_or_default();
            group_of(value, &groups).ok_or_else(|| {
                let found = quoted(value);
                let sentence = format!("`listen_unix_group` {found} is no group of {}", Self::GROUPS);
                ConfigError::at(place, format!("{sentence}; create it, or give its number"))
            })
        });
        Ok(Some(Self { path, mode, group: group.transpose()? }))
    }
}

/// Three octal digits, with or without a zero before them.
fn mode_of(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(digits, 8).ok()?;
    (is_octal && (3..=4).contains(&digits.len()) && mode <= 0o777).then_some(mode)
}

/// The number of a group by its name in such a file (group(5)), or by itself.
fn group_of(name: &str, groups: &str) -> Option<u32> {
    let by_name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    // The last number means that nothing is to be changed (chown(2)).
    by_name.or_else(|| name.parse().ok().filter(|number| digits && *number != u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("0660", Some(0o660)), ("660", Some(0o660)), ("0o600", Some(0o600)), ("777", Some(0o777))]
        {
            assert_eq!(mode_of(text), mode, "{text}");
        }
        for text in ["", "0", "66", "0668", "1777", "00660", "+660", "-660", "rw"] {
            assert_eq!(mode_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_group_has_a_name_or_a_number() {
        let groups = "root:x:0:\nwww-data:x:33:php\nbroken\nbad:x:many:\n44:x:7:\n";
        for (name, number) in [("root", Some(0)), ("www-data", Some(33)), ("33", Some(33)), ("44", Some(7))] {
            assert_eq!(group_of(name, groups), number, "{name}");
        }
        for name in ["", "www", "broken", "bad", "-1", "4294967295"] {
            assert_eq!(group_of(name, groups), None, "{name}");
        }
    }
}
