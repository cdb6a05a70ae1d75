//! Whoever sits at a terminal types the name of what is about to be emptied; a script says `--yes`.

use std::io::{self, BufRead, IsTerminal};

use crate::exit::{Failure, Status};
use crate::output;

/// Whether somebody is asked.
pub(super) fn is_asked(yes: bool) -> bool {
    !yes && io::stdin().is_terminal()
}

/// Says what would be done, and goes on once the name was typed.
pub(super) fn or_refuse(name: &str, would: &str) -> Result<(), Failure> {
    if is_meant(name, would, &mut io::stdin().lock()) {
        return Ok(());
    }
    Err(Failure::new(Status::Failure, format!("nothing was changed: {name} was not typed")))
}

fn is_meant(name: &str, would: &str, terminal: &mut impl BufRead) -> bool {
    output::to_stderr(&format!("{would}. Type {name} to do it: "));
    let mut typed = String::new();
    terminal.read_line(&mut typed).is_ok() && typed.trim() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_is_taken_for_the_name() {
        for (typed, meant) in [
            ("enwiki\n", true),
            (" enwiki \r\n", true),
            ("yes\n", false),
            ("Enwiki\n", false),
            ("\n", false),
            ("", false),
        ] {
            assert_eq!(is_meant("enwiki", "3 sessions would end", &mut typed.as_bytes()), meant, "{typed:?}");
        }
    }
}
