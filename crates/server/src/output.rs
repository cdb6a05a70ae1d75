//! The one place where the program writes to its standard streams.

use std::io::{self, Write};

/// What is said when standard output takes no more: mostly because a disk is full.
pub(crate) const UNWRITABLE: &str = "standard output cannot be written";

/// Writes to standard output and flushes. That nobody reads any more (`sessile … | head`) is no error.
pub fn to_stdout(text: &str) -> io::Result<()> {
    match write(&mut io::stdout().lock(), text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes to standard error. There is nowhere left to say that this failed.
pub fn to_stderr(text: &str) {
    let _ = write(&mut io::stderr().lock(), text.as_bytes());
}

/// Standard output as the log's sink has it: locked only while it writes, and every error told.
#[derive(Debug)]
pub(crate) struct LogOutput;

impl Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}
