use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sessile_cluster::Secret;

/// Others than its user and its group may read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// A file with one secret, as it was when it was read. `Debug` shows the path only.
#[derive(Debug, Clone)]
pub struct TokenFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// What it held.
    pub token: Secret,
    /// What makes the secret a weak one, and what to do.
    pub weakness: Option<String>,
}

impl PartialEq for TokenFile {
    /// Whether it is the same file: who knows the secret proves it where somebody wants to join.
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for TokenFile {}

impl TokenFile {
    /// A password generator's longest, and far more than anybody guesses.
    const MAX_BYTES: usize = 1024;

    /// What that file holds. The error says what is wrong with the file, and nothing of what is in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let (token, mode) = Self::line_of(path)?;
        Ok(Self { path: path.to_owned(), token: Secret::new(&token), weakness: weakness(mode, &token) })
    }

    /// The one line of that file, and its mode: for whoever has to show the secret, and not only to know it.
    pub(crate) fn line_of(path: &Path) -> Result<(String, u32), String> {
        let (text, mode) = text_of(path, Self::MAX_BYTES)?;
        let line = text.trim();
        if line.is_empty() {
            return Err("is empty; put a secret into it, such as `sessile cluster new-token` prints".to_owned());
        }
        if line.chars().any(char::is_control) {
            return Err("has more than one line; put one line of text into it".to_owned());
        }
        Ok((line.to_owned(), mode))
    }

    /// The same of a secret that was never allowed to be weak, in one word.
    pub fn read_strong(path: &Path) -> Result<Self, String> {
        let (text, _) = text_of(path, Self::MAX_BYTES)?;
        let file = Self::read(path)?;
        match file.weakness {
            Some(weakness) => Err(weakness),
            None if text.split_whitespace().count() > 1 => {
                Err("has more than one word; put the token into it, and nothing else".to_owned())
            }
            None => Ok(file),
        }
    }
}

/// The text of a small file, and its mode.
pub(super) fn text_of(path: &Path, max_bytes: usize) -> Result<(String, u32), String> {
    let unreadable = |error| format!("cannot be read ({error}); create it, and let the user that runs sessile read it");
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max_bytes {
        return Err(format!("is longer than {max_bytes} bytes; a line of 32 random characters does"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not text; put one line of text into it".to_owned())?;
    Ok((text, mode))
}

/// Whether everybody on the machine may read a file of that mode.
pub(super) fn is_open_to_others(mode: u32) -> bool {
    mode & READABLE_BY_OTHERS != 0
}

fn weakness(mode: u32, token: &str) -> Option<String> {
    if is_open_to_others(mode) {
        let sentence = "may be read by everybody on this machine; take that away with `chmod o-r`, and think of the secret \
                        as one that is known";
        return Some(sentence.to_owned());
    }
    let least = Secret::MIN_BYTES;
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
        assert!(TokenFile::read(&path).unwrap_err().starts_with("cannot be read ("));
        for (bytes, said) in [
            (b"".to_vec(), "is empty; "),
            (b" \n\n".to_vec(), "is empty; "),
            (b"sesame\nsesame\n".to_vec(), "has more than one line; "),
            (b"sesame\xff".to_vec(), "is not text; "),
            (vec![b's'; 1025], "is longer than 1024 bytes; "),
        ] {
            write(&path, &bytes, 0o600);
            let error = TokenFile::read(&path).unwrap_err();
            assert!(error.starts_with(said) && !error.contains("sesame"), "{error}");
        }
        for bytes in [SECRET.as_bytes(), &[b's'; 16], &[b's'; 1024]] {
            write(&path, bytes, 0o600);
            let file = TokenFile::read(&path).unwrap();
            assert!(!file.token.is_empty() && !format!("{file:?}").contains("sesame"));
            assert_eq!(file.weakness, None);
        }
    }

    #[test]
    fn where_no_weak_token_was_ever_allowed_none_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.token");
        for (text, mode, said) in [
            ("open sesame", 0o600, "is shorter than 16 bytes"),
            ("open-sesame-open-sesame", 0o644, "may be read by everybody on this machine"),
            ("ops admin open-sesame-open-sesame", 0o600, "has more than one word"),
            ("", 0o600, "is empty"),
        ] {
            write(&path, text.as_bytes(), mode);
            let refused = TokenFile::read_strong(&path).unwrap_err();
            assert!(refused.starts_with(said) && !refused.contains("sesame"), "{refused}");
        }
        write(&path, b"open-sesame-open-sesame\n", 0o640);
        assert!(TokenFile::read_strong(&path).unwrap().token.is_same("open-sesame-open-sesame"));
    }

    #[test]
    fn a_token_that_can_be_guessed_or_that_everybody_may_read_is_warned_of_and_a_group_may_share_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("join.token");
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o604, false)] {
            write(&path, SECRET.as_bytes(), mode);
            let weakness = TokenFile::read(&path).unwrap().weakness;
            assert_eq!(weakness.is_none(), good, "{mode:o}: {weakness:?}");
            assert!(weakness.is_none_or(|weakness| weakness.contains("chmod o-r")));
        }
        for (token, good) in [(&[b's'; 15][..], false), (b"  open sesame \n", false), (&[b's'; 16], true)] {
            fs::remove_file(&path).unwrap();
            write(&path, token, 0o600);
            assert_eq!(TokenFile::read(&path).unwrap().weakness.is_none(), good);
        }
    }
}
