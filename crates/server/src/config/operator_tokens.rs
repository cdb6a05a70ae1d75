use std::path::{Path, PathBuf};

use sessile_cluster::{OperatorToken, Operators, Right, Secret};

use super::token_file::{is_open_to_others, text_of};

/// What `cluster.operator_token_file` names, as it was when the configuration was read: a token a line, its name, its right
/// and its secret. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct OperatorTokens {
    /// Where they were read from.
    pub path: PathBuf,
    /// What stands there.
    pub tokens: Vec<OperatorToken>,
}

impl PartialEq for OperatorTokens {
    /// Whether it is the same file: what is in it is reloaded by itself.
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for OperatorTokens {}

impl OperatorTokens {
    /// As many lines as there may be tokens, with comments between them.
    const MAX_BYTES: usize = 16 << 10;
    const MAX_NAME_BYTES: usize = 63;
    const LINE: &str = "`NAME read TOKEN` or `NAME admin TOKEN`";

    /// What that file holds. The error says what is wrong with the file, and nothing of what is in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let (text, mode) = text_of(path, Self::MAX_BYTES)?;
        if is_open_to_others(mode) {
            let why = "may be read by everybody on this machine; take that away with `chmod o-r`, and make new tokens";
            return Err(why.to_owned());
        }
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            tokens.push(token(line).map_err(|why| format!("has in line {number} {why}"))?);
        }
        if tokens.is_empty() {
            return Err(format!("names no token; a line for each, {}", Self::LINE));
        }
        if tokens.len() > Operators::MAX {
            return Err(format!("names {} tokens, and {} are the most", tokens.len(), Operators::MAX));
        }
        Ok(Self { path: path.to_owned(), tokens })
    }
}

fn token(line: &str) -> Result<OperatorToken, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, right, secret] = words[..] else {
        return Err(format!("{} words; three were expected: {}", words.len(), OperatorTokens::LINE));
    };
    let is_name = name.len() <= OperatorTokens::MAX_NAME_BYTES
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
    if !is_name {
        let most = OperatorTokens::MAX_NAME_BYTES;
        return Err(format!("a name that is not 1 to {most} characters of A-Z, a-z, 0-9, `.`, `_`, `-` and `@`"));
    }
    let rights = [Right::Read, Right::Admin];
    let Some(right) = rights.into_iter().find(|known| known.name() == right) else {
        return Err("another right than `read` and `admin`".to_owned());
    };
    if secret.len() < Secret::MIN_BYTES {
        let least = Secret::MIN_BYTES;
        return Err(format!(
            "a token of less than {least} bytes, which could be guessed; `sessile cluster new-token` prints one"
        ));
    }
    Ok(OperatorToken { name: name.to_owned(), right, secret: Secret::new(secret) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SECRET: &str = "open-sesame-open-sesame";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_token_has_a_name_a_right_and_a_secret_and_several_may_have_one_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operators");
        write(
            &path,
            &format!("# who may\n\nops admin {SECRET}\n ops\tadmin {SECRET}2 \nwatch@home read {SECRET}3"),
            0o640,
        );
        let read = OperatorTokens::read(&path).unwrap();
        let named: Vec<_> = read.tokens.iter().map(|token| (token.name.as_str(), token.right)).collect();
        assert_eq!(named, [("ops", Right::Admin), ("ops", Right::Admin), ("watch@home", Right::Read)]);
        assert!(read.tokens[1].secret.is_same(&format!("{SECRET}2")) && !format!("{read:?}").contains("sesame"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_nothing_of_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operators");
        assert!(OperatorTokens::read(&path).unwrap_err().starts_with("cannot be read ("));
        let many = format!("a read {SECRET}\n").repeat(Operators::MAX + 1);
        for (text, said) in [
            ("", "names no token; a line for each, `NAME read TOKEN`"),
            ("# nothing\n", "names no token; "),
            (SECRET, "has in line 1 1 words; three were expected: "),
            ("\nops admin sesame sesame", "has in line 2 4 words; "),
            ("ops root open-sesame-open-sesame", "has in line 1 another right than `read` and `admin`"),
            ("o/ps admin open-sesame-open-sesame", "has in line 1 a name that is not "),
            ("ops admin open-sesame", "has in line 1 a token of less than 16 bytes"),
            (&many, "names 17 tokens, and 16 are the most"),
            (&"s".repeat(16_385), "is longer than 16384 bytes"),
        ] {
            write(&path, text, 0o600);
            let error = OperatorTokens::read(&path).unwrap_err();
            assert!(error.starts_with(said) && !error.contains("sesame"), "{error}");
        }
        write(&path, &format!("ops admin {SECRET}"), 0o644);
        assert!(OperatorTokens::read(&path).unwrap_err().contains("chmod o-r"));
    }
}
