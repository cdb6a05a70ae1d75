//! A file with one secret: a password, a token, a key.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::exit::{Failure, Status};

/// A password generator's longest, and far more than anybody guesses.
const MAX_BYTES: u64 = 1024;

/// The one line of that file. The error says what is wrong with the file, and nothing of what is in it.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::new(Status::Usage, format!("{} {what}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong("is longer than 1,024 bytes; put one secret into it"));
    }
    match text.trim() {
        "" => Err(wrong("is empty; put a secret into it")),
        secret if secret.chars().any(char::is_control) => Err(wrong("has more than one line; put one secret into it")),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_one_line_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map_err(|error| error.to_string())
        };
        assert_eq!((of(" a b\n"), of("ab")), (Ok("a b".to_owned()), Ok("ab".to_owned())));
        for (wrong, said) in
            [("", "is empty"), ("a\nsecret", "has more than one line"), (&"x".repeat(1025), "is longer")]
        {
            let error = of(wrong).unwrap_err();
            assert!(error.contains(said) && !error.contains("secret\n"), "{error}");
        }
        assert!(read(Path::new("/nowhere/secret")).unwrap_err().to_string().contains("cannot be read"));
    }
}
