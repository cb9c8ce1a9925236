//! OS threads: start one, name the current one.

use super::clock;
use super::raw;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::thread::JoinHandleExt;
use std::ptr;

/// Stack of a thread that gort starts.
///
/// It runs the scheduler, which needs a few KiB, and whatever is run as the thread itself rather than as a goroutine, which may need more. It
/// is address space until touched. Below 2 MiB, so that transparent huge pages cannot turn a touched page into 2 MiB.
const STACK_BYTES: usize = 1 << 20;

/// A thread that waits to be joined or detached.
#[derive(Debug)]
#[must_use = "a thread that is neither joined nor detached leaves its stack behind"]
pub(crate) struct Thread(usize);

impl Thread {
    /// The calling thread, which [`start`] has started and nobody else joins or detaches. Not on a goroutine.
    pub(crate) fn current() -> Self {
        // SAFETY: takes nothing and cannot fail.
        Self(unsafe { libc::pthread_self() } as usize)
    }

    /// As a number, for those who keep it in a word. Never 0.
    pub(crate) fn into_word(self) -> usize {
        self.0
    }

    /// The thread of a word.
    ///
    /// # Safety
    /// `word` must come from [`Thread::into_word`], and is used once.
    pub(crate) unsafe fn from_word(word: usize) -> Self {
        Self(word)
    }

    /// As libc wants it: a number or, with musl, a pointer.
    fn number(&self) -> libc::pthread_t {
        self.0 as libc::pthread_t
    }

    /// Nobody will wait for it.
    pub(crate) fn detach(self) {
        // SAFETY: the thread can be joined, so the number is good.
        unsafe { libc::pthread_detach(self.number()) };
    }

    /// Waits until the kernel's thread is gone, its destructors included; false if it is not at `deadline_ns`, when it is detached.
    pub(crate) fn join_until(self, deadline_ns: u64) -> bool {
        loop {
            // The call wants a time of the wall clock, which may be set meanwhile.
            let left_ns = deadline_ns.saturating_sub(clock::now_ns());
            let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `until` is a live timespec.
            unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut until) };
            let until_ns = (until.tv_sec as u64 * 1_000_000_000 + until.tv_nsec as u64).saturating_add(left_ns);
            // SAFETY: the thread can be joined, so the number is good; a join that has succeeded is the last use of it.
            let failed =
                unsafe { libc::pthread_timedjoin_np(self.number(), ptr::null_mut(), &clock::timespec(until_ns)) };
            if failed != libc::ETIMEDOUT {
                debug_assert_eq!(failed, 0, "only a thread that can be joined is");
                return true;
            }
            if left_ns == 0 {
                self.detach();
                return false;
            }
        }
    }
}

/// Starts a thread that nobody joins and that runs `body`.
///
/// # Errors
/// As [`start`].
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    start(name, body).map(Thread::detach)
}

/// Starts a thread that runs `body`.
///
/// # Errors
/// The kernel's, with what was tried and what usually limits it.
pub(crate) fn start(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    match std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body) {
        Ok(handle) => Ok(Thread(handle.into_pthread_t() as usize)),
        Err(cause) => {
            let why = match cause.kind() {
                // No limit is told so.
                io::ErrorKind::PermissionDenied => {
                    "a seccomp filter that refuses clone3 with EPERM keeps libc from making any thread; it should say ENOSYS: a newer \
                     container runtime's does, or take one that permits the call (--security-opt seccomp=...)"
                }
                _ => {
                    "limits: ulimit -u, /proc/sys/kernel/threads-max, pids.max of the cgroup, /proc/sys/vm/max_map_count"
                }
            };
            Err(io::Error::new(cause.kind(), format!("cannot start the thread {name:?}: {cause} ({why})")))
        }
    }
}

/// The kernel's id of the current thread: that of the M, whatever goroutine runs on it.
#[inline]
pub(crate) fn gettid() -> u32 {
    // SAFETY: gettid takes nothing, touches nothing and cannot fail.
    unsafe { raw::syscall0(libc::SYS_gettid) }.unwrap_or(0) as u32
}

/// How many threads of this process have this name: looks at `/proc`, and finds none without it.
pub(crate) fn count_named(name: &str) -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let has_name = |path: std::path::PathBuf| {
        std::fs::read(path.join("comm")).is_ok_and(|comm| comm.trim_ascii_end() == name.as_bytes())
    };
    threads.flatten().filter(|thread| has_name(thread.path())).count()
}

/// First and last address of the calling thread's own stack, thread-locals included.
pub(crate) fn own_stack() -> Option<(usize, usize)> {
    let mut attributes = std::mem::MaybeUninit::uninit();
    let (mut low, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the first call initialises them, and the others are on initialised ones.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let outcome = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (outcome == 0).then_some((low as usize, low as usize + bytes))
    }
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

/// Whether the kernel would run the thread `tid` if it had a processor for it; `None` if that cannot be known (no `/proc`, no descriptor left).
pub(crate) fn is_runnable(tid: u32) -> Option<bool> {
    States { open: None }.is_runnable(tid)
}

/// Asks the same again and again, with one descriptor that it keeps. To open one for each look would take the program's last one from it for that
/// moment, and in a program without any no look would succeed.
#[derive(Debug)]
pub(crate) struct States {
    open: Option<(u32, File)>,
}

impl States {
    pub(crate) fn new() -> Self {
        Self { open: Self::file_of(gettid()) }
    }

    /// As the function of this name.
    pub(crate) fn is_runnable(&mut self, tid: u32) -> Option<bool> {
        match &self.open {
            // A number that is used again belongs to another thread, of which this file tells nothing.
            Some((of, file)) if *of == tid => Self::read(file).or_else(|| self.reopen(tid)),
            _ => self.reopen(tid),
        }
    }

    #[cold]
    fn reopen(&mut self, tid: u32) -> Option<bool> {
        // Closed first: never one more than one.
        self.open = None;
        self.open = Self::file_of(tid);
        let state = self.open.as_ref().and_then(|(_, file)| Self::read(file));
        if self.open.is_none() {
            self.open = Self::file_of(gettid());
        }
        state
    }

    fn file_of(tid: u32) -> Option<(u32, File)> {
        File::open(format!("/proc/self/task/{tid}/stat")).ok().map(|file| (tid, file))
    }

    fn read(file: &File) -> Option<bool> {
        // The number, the name and the state fit by far.
        let mut stat = [0; 128];
        let count = file.read_at(&mut stat, 0).ok()?;
        let stat = stat.get(..count)?;
        // The state follows the name, which is in parentheses and may contain anything.
        let after_name = stat.iter().rposition(|&byte| byte == b')')? + 2;
        Some(*stat.get(after_name)? == b'R')
    }
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
    fn a_thread_is_waited_for_until_it_is_gone_or_the_time_is_up() {
        let (hold, held) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let waits = start("gort-waits", move || {
            sender.send(gettid()).unwrap();
            let _ = held.recv();
        })
        .unwrap();
        let tid = receiver.recv().unwrap();
        assert!(!waits.join_until(clock::now_ns() + 1_000_000));
        drop(hold);
        while cpu_ns(tid).is_some() {
            std::thread::yield_now();
        }
        let (sender, receiver) = mpsc::channel();
        let ends = start("gort-ends", move || sender.send(gettid()).unwrap()).unwrap();
        let tid = receiver.recv().unwrap();
        assert!(ends.join_until(clock::NEVER));
        // The kernel says so a moment before its last word of the thread.
        while cpu_ns(tid).is_some() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn gettid_is_the_kernels() {
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        assert_eq!(link.file_name().unwrap().to_str().unwrap(), gettid().to_string());
    }
}
