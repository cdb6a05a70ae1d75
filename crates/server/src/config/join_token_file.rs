use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sessile_cluster::JoinToken;

/// Others than its user and its group may read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// What `cluster.join_token_file` names, as it was when the configuration was read. `Debug` shows the path only.
#[derive(Debug, Clone)]
pub struct JoinTokenFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it held.
    pub token: JoinToken,
    /// What makes the secret a weak one, and what to do: a node that was started with it before is not kept from its cluster.
    pub weakness: Option<String>,
}

impl PartialEq for JoinTokenFile {
    /// Whether it is the same file: who knows the secret proves it where somebody wants to join.
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for JoinTokenFile {}

impl JoinTokenFile {
    /// A password generator's longest, and far more than anybody guesses.
    const MAX_BYTES: usize = 1024;

    /// What that file holds. The error says what is wrong with the file, and nothing of what is in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let unreadable =
            |error| format!("cannot be read ({error}); create it, and let the user that runs sessile read it");
        let file = File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        let mut bytes = Vec::new();
        file.take(Self::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(format!("is longer than {} bytes; a line of 32 random characters does", Self::MAX_BYTES));
        }
        let text = String::from_utf8(bytes).map_err(|_| "is not text; put one line of text into it".to_owned())?;
        let token = text.trim();
        if token.is_empty() {
            return Err("is empty; put a secret into it, such as `sessile cluster new-token` prints".to_owned());
        }
        if token.chars().any(char::is_control) {
            return Err("has more than one line; put one line of text into it".to_owned());
        }
        Ok(Self { path: path.to_owned(), token: JoinToken::new(token), weakness: weakness(mode, token) })
    }
}

fn weakness(mode: u32, token: &str) -> Option<String> {
    if mode & READABLE_BY_OTHERS != 0 {
        let sentence = "may be read by everybody on this machine; take that away with `chmod o-r`, and think of the secret \
                        as one that is known";
        return Some(sentence.to_owned());
    }
    let least = JoinToken::MIN_BYTES;
    (token.len() < least).then(|| {
        format!(
            "is shorter than {least} bytes, and could be guessed; put into it what `sessile cluster new-token` prints"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SECRET: &str = "open sesame open sesame";

    fn write(path: &Path, bytes: &[u8], mode: u32) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_token_file_is_one_line_of_text_and_is_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.token");
        assert!(JoinTokenFile::read(&path).unwrap_err().starts_with("cannot be read ("));
        for (bytes, said) in [
            (b"".to_vec(), "is empty; "),
            (b" \n\n".to_vec(), "is empty; "),
            (b"sesame\nsesame\n".to_vec(), "has more than one line; "),
            (b"sesame\xff".to_vec(), "is not text; "),
            (vec![b's'; 1025], "is longer than 1024 bytes; "),
        ] {
            write(&path, &bytes, 0o600);
            let error = JoinTokenFile::read(&path).unwrap_err();
            assert!(error.starts_with(said) && !error.contains("sesame"), "{error}");
        }
        for bytes in [SECRET.as_bytes(), &[b's'; 16], &[b's'; 1024]] {
            write(&path, bytes, 0o600);
            let file = JoinTokenFile::read(&path).unwrap();
            assert!(!file.token.is_empty() && !format!("{file:?}").contains("sesame"));
            assert_eq!(file.weakness, None);
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_or_that_everybody_may_read_is_warned_of_and_a_group_may_share_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.token");
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o604, false)] {
            write(&path, SECRET.as_bytes(), mode);
            let weakness = JoinTokenFile::read(&path).unwrap().weakness;
            assert_eq!(weakness.is_none(), good, "{mode:o}: {weakness:?}");
            assert!(weakness.is_none_or(|weakness| weakness.contains("chmod o-r")));
        }
        for (token, good) in [(&[b's'; 15][..], false), (b"  open sesame \n", false), (&[b's'; 16], true)] {
            fs::remove_file(&path).unwrap();
            write(&path, token, 0o600);
            assert_eq!(JoinTokenFile::read(&path).unwrap().weakness.is_none(), good);
        }
    }
}
