//! Three functions of the C library, in whose place stand these: on a thread of a simulation, random bytes come from its
//! seed, and an fsync is the simulated disk's. On every other thread they are what they always were.
//!
//! So nothing in the program knows of the simulation, and nothing that draws a random number can be forgotten: ids,
//! election timeouts, the seeds of hash maps.

#![allow(unsafe_code, reason = "a symbol of the C library is defined, and the kernel is called in its place")]

use std::cell::RefCell;
use std::os::fd::RawFd;

use libc::{c_int, c_long, c_uint, c_void, size_t, ssize_t};
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// What an fsync comes to. An error is an `EIO`.
type Sync = Box<dyn FnMut(RawFd) -> Result<(), ()>>;

thread_local! {
    static RANDOM: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    static SYNC: RefCell<Option<Sync>> = const { RefCell::new(None) };
}

/// From now on this thread's random bytes come from this seed.
pub(super) fn seed_this_thread(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = Some(SmallRng::seed_from_u64(seed)));
}

/// From now on an fsync of this thread is this.
pub(super) fn sync_by(sync: Sync) {
    SYNC.with_borrow_mut(|place| *place = Some(sync));
}

/// From now on an fsync of this thread is the kernel's again.
pub(super) fn sync_by_the_kernel() {
    SYNC.with_borrow_mut(|place| *place = None);
}

#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    let seeded = RANDOM.try_with(|random| {
        let mut random = random.try_borrow_mut().ok()?;
        let random = random.as_mut()?;
        // SAFETY: the caller of getrandom(2) gives a buffer of that length.
        random.fill_bytes(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), length) });
        Some(ssize_t::try_from(length).unwrap_or(ssize_t::MAX))
    });
    if let Ok(Some(filled)) = seeded {
        return filled;
    }
    // SAFETY: the arguments of getrandom(2) go on to it as they came.
    let filled = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, c_long::from(flags)) };
    ssize_t::try_from(filled).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, libc::SYS_fdatasync)
}

fn sync(file: RawFd, by_the_kernel: c_long) -> c_int {
    let simulated = SYNC.try_with(|sync| Some(sync.try_borrow_mut().ok()?.as_mut()?(file)));
    match simulated {
        Ok(Some(Ok(()))) => 0,
        Ok(Some(Err(()))) => {
            // SAFETY: the place of this thread's errno, which is always there.
            unsafe { *libc::__errno_location() = libc::EIO };
            -1
        }
        // SAFETY: the argument of fsync(2) goes on to it as it came.
        _ => c_int::try_from(unsafe { libc::syscall(by_the_kernel, file) }).unwrap_or(-1),
    }
}
