//! OS threads: start one, name the current one.

use super::raw;
use std::io;

/// Stack of a thread that gort starts.
///
/// It runs the scheduler, which needs a few KiB, and whatever is run as the thread itself rather than as a goroutine, which may need more. It
/// is address space until touched. Below 2 MiB, so that transparent huge pages cannot turn a touched page into 2 MiB.
const STACK_BYTES: usize = 1 << 20;

/// Starts a thread that nobody joins and that runs `body`.
///
/// # Errors
/// The kernel's, with what was tried and what usually limits it.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    match std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body) {
        Ok(_detached) => Ok(()),
        Err(cause) => Err(io::Error::new(
            cause.kind(),
            format!(
                "cannot start the thread {name:?}: {cause} (limits: ulimit -u, /proc/sys/kernel/threads-max, pids.max of the cgroup, \
                 /proc/sys/vm/max_map_count)"
            ),
        )),
    }
}

/// The kernel's id of the current thread: that of the M, whatever goroutine runs on it.
#[inline]
pub(crate) fn gettid() -> u32 {
    // SAFETY: gettid takes nothing, touches nothing and cannot fail.
    unsafe { raw::syscall0(libc::SYS_gettid) }.unwrap_or(0) as u32
}

/// CPU time that the thread `tid` of this process has used, in ns; `None` if there is no such thread.
///
/// The clock's number is the kernel's encoding of "this thread's CPU clock" (`clock_getcpuclockid(3)` describes it for processes).
pub(crate) fn cpu_ns(tid: u32) -> Option<u64> {
    const THREAD_CLOCK: i32 = 6;
    let clock = (!(tid as i32)) << 3 | THREAD_CLOCK;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a timespec.
    let done = unsafe { raw::syscall2(libc::SYS_clock_gettime, clock as usize, &raw mut time as usize) };
    done.ok().map(|_| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Whether the kernel would run the thread `tid` if it had a processor for it; `None` if that cannot be known (no `/proc`).
pub(crate) fn is_runnable(tid: u32) -> Option<bool> {
    let stat = std::fs::read(format!("/proc/self/task/{tid}/stat")).ok()?;
    // The state follows the name, which is in parentheses and may contain anything.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 2;
    Some(*stat.get(after_name)? == b'R')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_spawned_thread_runs_under_its_name_and_has_its_own_id() {
        let (sender, receiver) = mpsc::channel();
        spawn("gort-test", move || {
            sender.send((std::thread::current().name().map(str::to_owned), gettid())).unwrap();
        })
        .unwrap();
        let (name, tid) = receiver.recv().unwrap();
        assert_eq!(name.as_deref(), Some("gort-test"));
        assert_ne!(tid, gettid());
    }

    #[test]
    fn a_thread_that_burns_is_runnable_and_its_clock_runs_and_one_that_sleeps_is_not() {
        use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed};
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        let (burns, waits) = (sender.clone(), sender);
        let stops = stop.clone();
        spawn("gort-burns", move || {
            burns.send(gettid()).unwrap();
            while !stops.load(Relaxed) {
                std::hint::spin_loop();
            }
        })
        .unwrap();
        let burning = receiver.recv().unwrap();
        let before = cpu_ns(burning).unwrap();
        while cpu_ns(burning).unwrap() < before + 2_000_000 {
            std::thread::yield_now();
        }
        assert_eq!(is_runnable(burning), Some(true));
        stop.store(true, Relaxed);
        let (hold, held) = mpsc::channel::<()>();
        spawn("gort-waits", move || {
            waits.send(gettid()).unwrap();
            let _ = held.recv();
        })
        .unwrap();
        let waiting = receiver.recv().unwrap();
        while is_runnable(waiting) != Some(false) {
            std::thread::yield_now();
        }
        drop(hold);
        assert_eq!(cpu_ns(u32::MAX >> 4), None);
    }

    #[test]
    fn gettid_is_the_kernels() {
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        assert_eq!(link.file_name().unwrap().to_str().unwrap(), gettid().to_string());
    }
}
