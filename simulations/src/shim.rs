//! The doors through which a process hears of chance and of the time of day, held by the seed.
//!
//! Libraries ask the operating system by themselves: the standard library for the keys of its hash maps, tokio for the seed of
//! `select!`, ring for keys, hyper for its `date:`. What they call are five functions of the C library, and a program that
//! defines functions of the same names is asked in its place. These answer the simulating thread from its seed and from virtual
//! time; every other thread, and everybody while no seed is set, is handed on to the C library.
#![allow(unsafe_code, reason = "functions of the C library are called, and take raw memory, by their contract alone")]

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_long, c_void};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libc::{clockid_t, size_t, ssize_t, timespec, timeval};

/// The time of day at which every world begins, in seconds since 1970: 2026-01-01T00:00:00Z.
pub const EPOCH_SECONDS: u64 = 1_767_225_600;

/// What the monotonic clock shows when a world begins, in seconds. Not zero, so that spans can be taken off.
const MONOTONIC_SECONDS: u64 = 1_000_000;

thread_local! {
    // Plain cells without destructors: they may be asked at any moment of a thread's life.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
    static NOW_NANOSECONDS: Cell<u64> = const { Cell::new(0) };
}

/// The calling thread hears chance and time from the seed for as long as this lives.
#[derive(Debug)]
#[must_use = "dropping it hands the thread back to the operating system"]
pub struct Armed(());

/// Lets the calling thread hear chance and time from `seed`, at virtual time zero.
pub fn arm(seed: u64) -> Armed {
    RANDOM.set(seed);
    NOW_NANOSECONDS.set(0);
    ARMED.set(true);
    Armed(())
}

impl Drop for Armed {
    fn drop(&mut self) {
        ARMED.set(false);
    }
}

/// Tells the calling thread how much virtual time has passed since its world began.
pub fn set_elapsed(elapsed: Duration) {
    NOW_NANOSECONDS.set(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
}

/// How much processor time this process has used so far.
pub fn processor_time() -> Duration {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` may be written to.
    unsafe { clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Starts this process anew at addresses that are the same each time, where it does not run at such already. Libraries order
/// what they keep by addresses here and there. Returns where they are fixed.
pub fn fix_addresses() -> io::Result<()> {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: personality(2) takes and returns plain numbers, and touches no memory.
    let fixed = unsafe {
        let current = libc::personality(ASK);
        if current & libc::ADDR_NO_RANDOMIZE != 0 {
            return Ok(());
        }
        libc::personality((current | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong)
    };
    if fixed == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    Err(Command::new("/proc/self/exe").arg0(name).args(arguments).exec())
}

/// Lets the process that `command` starts end as soon as the thread does that starts it, however that ends.
pub fn end_with_this_thread(command: &mut tokio::process::Command) {
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: prctl(2) with these takes plain numbers, and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: getppid(2) takes nothing and cannot fail.
        let is_orphan = unsafe { libc::getppid() }.cast_unsigned() != parent;
        // Whoever started it may have ended just before.
        if is_orphan { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) }
    };
    // SAFETY: between fork and exec nothing is allocated or locked: two calls of the kernel, and errors of plain numbers.
    unsafe { command.pre_exec(bind) };
}

/// SplitMix64 (Steele, Lea and Flood 2014): every seed begins a stream of its own.
fn next_word() -> u64 {
    let state = RANDOM.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    RANDOM.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// # Safety
/// `buffer` must have room for `length` bytes.
unsafe fn fill(buffer: *mut u8, length: usize) {
    if length == 0 {
        return;
    }
    // SAFETY: the caller promises the room, and nobody else looks at it during the call.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next_word().to_le_bytes()[..chunk.len()]);
    }
}

/// Looks up a function of the C library behind our own of the same name, once.
macro_rules! real {
    ($name:literal as $signature:ty) => {{
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        let name: &CStr = $name;
        let mut address = FOUND.load(Ordering::Relaxed);
        if address == 0 {
            // SAFETY: the name ends in a zero byte.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
            assert_ne!(address, 0, "the C library has {name:?}");
            FOUND.store(address, Ordering::Relaxed);
        }
        // SAFETY: the C library documents the function of this name with this signature.
        unsafe { std::mem::transmute::<usize, $signature>(address) }
    }};
}

/// # Safety
/// As getrandom(2): `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: u32) -> ssize_t {
    if ARMED.get() {
        // SAFETY: the caller's contract.
        unsafe { fill(buffer.cast(), length) };
        return length.cast_signed();
    }
    let real = real!(c"getrandom" as unsafe extern "C" fn(*mut c_void, size_t, u32) -> ssize_t);
    // SAFETY: the caller's contract, handed on.
    unsafe { real(buffer, length, flags) }
}

/// # Safety
/// As getentropy(3): `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(buffer: *mut c_void, length: size_t) -> c_int {
    if ARMED.get() {
        // SAFETY: the caller's contract.
        unsafe { fill(buffer.cast(), length) };
        return 0;
    }
    let real = real!(c"getentropy" as unsafe extern "C" fn(*mut c_void, size_t) -> c_int);
    // SAFETY: the caller's contract, handed on.
    unsafe { real(buffer, length) }
}

/// # Safety
/// As syscall(2): whatever the call of this number wants of its arguments.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    if number == libc::SYS_getrandom && ARMED.get() {
        // SAFETY: the caller's contract: these are the buffer and its length.
        unsafe { fill(first as *mut u8, second as usize) };
        return second;
    }
    type Syscall = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
    let real = real!(c"syscall" as Syscall);
    // SAFETY: the caller's contract, handed on. Arguments that the caller did not give are read by nobody.
    unsafe { real(number, first, second, third, fourth, fifth, sixth) }
}

/// # Safety
/// As clock_gettime(2): `time` may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    if let Some(shown) = virtual_time(clock) {
        // SAFETY: the caller's contract.
        unsafe { time.write(timespec { tv_sec: shown.as_secs().cast_signed(), tv_nsec: shown.subsec_nanos().into() }) };
        return 0;
    }
    let real = real!(c"clock_gettime" as unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int);
    // SAFETY: the caller's contract, handed on.
    unsafe { real(clock, time) }
}

/// # Safety
/// As gettimeofday(2): `time` may be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    if let Some(shown) = virtual_time(libc::CLOCK_REALTIME) {
        // SAFETY: the caller's contract.
        unsafe { time.write(timeval { tv_sec: shown.as_secs().cast_signed(), tv_usec: shown.subsec_micros().into() }) };
        return 0;
    }
    let real = real!(c"gettimeofday" as unsafe extern "C" fn(*mut timeval, *mut c_void) -> c_int);
    // SAFETY: the caller's contract, handed on.
    unsafe { real(time, zone) }
}

/// What `clock` shows the simulating thread. The clocks of processor time stay real: they only measure.
fn virtual_time(clock: clockid_t) -> Option<Duration> {
    if !ARMED.get() {
        return None;
    }
    let origin = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => EPOCH_SECONDS,
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => {
            MONOTONIC_SECONDS
        }
        _ => return None,
    };
    Some(Duration::from_secs(origin) + Duration::from_nanos(NOW_NANOSECONDS.get()))
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use bursar_net::{Entropy, SystemEntropy};

    use super::*;

    fn drawn() -> [u8; 32] {
        (&SystemEntropy::new() as &dyn Entropy).array()
    }

    #[test]
    fn the_armed_thread_draws_from_its_seed_and_the_others_from_the_operating_system() {
        let of_seed = |seed| {
            let _armed = arm(seed);
            let beside = std::thread::spawn(drawn).join().unwrap();
            (drawn(), beside)
        };
        let (first, first_beside) = of_seed(7);
        let (second, second_beside) = of_seed(7);
        assert_eq!(first, second);
        assert_ne!(first_beside, second_beside);
        assert_ne!(of_seed(8).0, first);
        assert_ne!(drawn(), drawn(), "a thread that is armed no more");
    }

    #[test]
    fn the_armed_thread_sees_virtual_time() {
        let began = Instant::now();
        {
            let _armed = arm(7);
            let midnight = Duration::from_secs(EPOCH_SECONDS);
            let (start, started_at) = (Instant::now(), SystemTime::now());
            assert_eq!(started_at.duration_since(UNIX_EPOCH).unwrap(), midnight);
            set_elapsed(Duration::from_millis(1_500));
            assert_eq!(start.elapsed(), Duration::from_millis(1_500));
            assert_eq!(SystemTime::now().duration_since(started_at).unwrap(), Duration::from_millis(1_500));
        }
        assert!(began.elapsed() < Duration::from_secs(1_000), "the clock of the operating system again");
    }
}
