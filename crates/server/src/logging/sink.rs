use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What may wait to be written, in bytes: some thousands of lines, a second of a busy node at `debug`. What comes on top
/// is lost and counted, because a reader that stalls must stall nothing but the log.
const MAX_PENDING_BYTES: usize = 1024 * 1024;

/// What is kept free for lines that say why the process ends, whatever else waits.
const RESERVED_BYTES: usize = 64 * 1024;

/// Lines that were lost since the process started. A process has one log.
static LOST_LINES: AtomicU64 = AtomicU64::new(0);

/// How many lines were lost since the process started.
pub(crate) fn lost_lines() -> u64 {
    LOST_LINES.load(Ordering::Relaxed)
}

/// Lines on their way to a stream, written by a thread of its own ([`Sink::run`]), so that whoever logs never waits for
/// the stream.
///
/// Invariants: `pending` holds whole lines; it never exceeds [`MAX_PENDING_BYTES`] and [`RESERVED_BYTES`]; a line is
/// either written whole, pending, or counted in `lost` until a line that says so is written.
#[derive(Default)]
pub(super) struct Sink {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    lost: u64,
    writing: bool,
    closed: bool,
}

impl Sink {
    /// Takes a line, which ends with its newline. The last words of the process have room that no other line takes.
    pub(super) fn push(&self, line: &str, last_words: bool) {
        let room = if last_words { MAX_PENDING_BYTES + RESERVED_BYTES } else { MAX_PENDING_BYTES };
        let mut state = self.state.lock();
        if state.pending.len() + line.len() > room {
            state.lost += 1;
            LOST_LINES.fetch_add(1, Ordering::Relaxed);
        } else {
            state.pending.extend_from_slice(line.as_bytes());
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all lines are out, at most that long.
    pub(super) fn drain(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.state.lock();
        while !state.pending.is_empty() || state.writing {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Lets [`Sink::run`] return once all lines are out.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Writes what comes until the sink is closed. `loss_notice` makes the line that says how many were lost.
    pub(super) fn run(&self, stream: &mut impl Write, loss_notice: impl Fn(u64) -> String) {
        while let Some(batch) = self.next_batch() {
            let written = stream.write_all(&batch).and_then(|()| stream.flush());
            let lost = match written {
                Ok(()) => std::mem::take(&mut self.state.lock().lost),
                // A closed pipe or a full disk; the next batch may fare better.
                Err(_) => {
                    let lines = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
                    LOST_LINES.fetch_add(lines, Ordering::Relaxed);
                    lines
                }
            };
            let is_told = written.is_ok() && (lost == 0 || stream.write_all(loss_notice(lost).as_bytes()).is_ok());
            let mut state = self.state.lock();
            state.lost += if is_told { 0 } else { lost };
            state.writing = false;
            drop(state);
            self.changed.notify_all();
        }
    }

    fn next_batch(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        while state.pending.is_empty() {
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
        state.writing = true;
        Some(std::mem::take(&mut state.pending))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Fails as often as it is told, then keeps what it gets.
    struct Stream {
        failures: usize,
        kept: Vec<u8>,
    }

    impl Write for Stream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.kept.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run(sink: &Sink, stream: &mut Stream) -> String {
        sink.close();
        sink.run(stream, |lost| format!("{lost} lost\n"));
        String::from_utf8(std::mem::take(&mut stream.kept)).unwrap()
    }

    #[test]
    fn a_stalled_reader_costs_lines_but_never_memory_and_is_told_how_many() {
        let sink = Sink::default();
        let line = format!("{}\n", "x".repeat(1023));
        let before = lost_lines();
        (0..1024 + 7).for_each(|_| sink.push(&line, false));
        assert!(lost_lines() >= before + 7, "they are counted, whoever reads");
        sink.push("last words\n", true);
        sink.drain(Duration::ZERO);
        let written = run(&sink, &mut Stream { failures: 0, kept: Vec::new() });
        assert_eq!(written, line.repeat(1024) + "last words\n7 lost\n");
    }

    #[test]
    fn a_closed_stream_loses_lines_and_says_so_when_it_is_back() {
        let sink = Sink::default();
        let mut stream = Stream { failures: 1, kept: Vec::new() };
        sink.push("one\n", false);
        sink.push("two\n", false);
        assert_eq!(run(&sink, &mut stream), "");
        sink.push("three\n", false);
        assert_eq!(run(&sink, &mut stream), "three\n2 lost\n");
        sink.push("four\n", false);
        assert_eq!(run(&sink, &mut stream), "four\n");
    }

    #[test]
    fn drain_waits_for_the_writer() {
        let sink = Sink::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut stream = Stream { failures: 0, kept: Vec::new() };
                sink.run(&mut stream, |lost| format!("{lost} lost\n"));
                stream.kept
            });
            sink.push("a line\n", false);
            sink.drain(Duration::from_secs(60));
            assert!(sink.state.lock().pending.is_empty() && !sink.state.lock().writing);
            sink.close();
            assert_eq!(writer.join().unwrap(), b"a line\n");
        });
    }
}
