//! What the kernel tells of this process. Read from memory: no disk is asked, and no directory is walked.

use std::fs;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::declarations as declared;
use super::number;
use super::samples::Samples;

/// Adds what there is to tell.
pub(super) fn measure(samples: &mut Samples) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "a fraction of a second, and seconds of processor time")]
    samples.set(&declared::CPU_SECONDS, cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        samples.set(&declared::THREADS, number(stat.threads));
        samples.set(&declared::VIRTUAL_BYTES, number(stat.virtual_bytes));
        samples.set(&declared::RESIDENT_BYTES, number(stat.resident_pages * page_size() as u64));
    }
    // Since 6.2 its size is how many there are; before that it is 0, and to count them is to walk it.
    let open = fs::metadata("/proc/self/fd").map_or(0, |directory| directory.len());
    if open > 0 {
        samples.set(&declared::OPEN_FDS, number(open));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        samples.set(&declared::MAX_FDS, number(most));
    }
}

/// What is used of /proc/self/stat (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(stat: &str) -> Option<Self> {
        // The name of the program comes second, in parentheses, and may hold anything.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace().skip(17);
        let mut next = || fields.next()?.parse::<u64>().ok();
        let threads = next()?;
        let (_interval, _start) = (next()?, next()?);
        Some(Self { threads, virtual_bytes: next()?, resident_pages: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_cannot_shift_what_the_kernel_tells() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 96 0 0 0 3 4 0 0 20 0 12 0 99 5000000 321 18446744073709551615 1 1";
        let parsed = Stat::parse(stat);
        assert_eq!(parsed, Some(Stat { threads: 12, virtual_bytes: 5_000_000, resident_pages: 321 }));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }
}
