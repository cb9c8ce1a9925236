//! What a thread of this process does in the kernel.

use std::fmt;

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It runs, or would if it had a processor.
    OnCpu,
    /// In the system call of this number.
    Call(i64),
    /// In the kernel without having called it: a page is being fetched, for one.
    Fault,
}

impl Place {
    /// Where the thread `tid` is; `None` if that cannot be known (it has ended, no `/proc`, a kernel without that file).
    pub(crate) fn of(tid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/self/task/{tid}/syscall")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_whitespace().next()? {
            "running" => Some(Self::OnCpu),
            number => match number.parse().ok()? {
                -1 => Some(Self::Fault),
                number => Some(Self::Call(number)),
            },
        }
    }

    /// It waits for a lock, a condition variable or a channel of std's or C's: they are all made of this call.
    pub(crate) fn is_futex(self) -> bool {
        self == Self::Call(libc::SYS_futex)
    }

    /// It sleeps.
    pub(crate) fn is_sleep(self) -> bool {
        matches!(self, Self::Call(libc::SYS_nanosleep | libc::SYS_clock_nanosleep))
    }
}

/// In words, as an answer to "where is it?".
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OnCpu => f.write_str("on the CPU"),
            Self::Fault => f.write_str("in the kernel: a page fault"),
            _ if self.is_futex() => f.write_str("waiting for a lock of std's or C's (futex)"),
            Self::Call(number) => match NAMES.iter().find(|(known, _)| *known == number) {
                Some((_, name)) => write!(f, "in the kernel: {name}"),
                None => write!(f, "in the kernel: system call {number}"),
            },
        }
    }
}

macro_rules! names {
    ($($constant:ident $name:literal)*) => { [$((libc::$constant, $name)),*] };
}

/// The system calls that may take long.
#[cfg(target_arch = "x86_64")]
static NAMES: [(i64, &str); 91] = names! {
    SYS_read "read" SYS_write "write" SYS_open "open" SYS_close "close" SYS_stat "stat" SYS_fstat "fstat" SYS_lstat "lstat"
    SYS_poll "poll" SYS_mmap "mmap" SYS_mprotect "mprotect" SYS_munmap "munmap" SYS_ioctl "ioctl" SYS_pread64 "pread64"
    SYS_pwrite64 "pwrite64" SYS_readv "readv" SYS_writev "writev" SYS_access "access" SYS_select "select"
    SYS_sched_yield "sched_yield" SYS_msync "msync" SYS_madvise "madvise" SYS_pause "pause" SYS_nanosleep "nanosleep"
    SYS_sendfile "sendfile" SYS_connect "connect" SYS_accept "accept" SYS_sendto "sendto" SYS_recvfrom "recvfrom"
    SYS_sendmsg "sendmsg" SYS_recvmsg "recvmsg" SYS_clone "clone" SYS_fork "fork" SYS_vfork "vfork" SYS_execve "execve"
    SYS_wait4 "wait4" SYS_semop "semop" SYS_msgsnd "msgsnd" SYS_msgrcv "msgrcv" SYS_fcntl "fcntl" SYS_flock "flock"
    SYS_fsync "fsync" SYS_fdatasync "fdatasync" SYS_truncate "truncate" SYS_ftruncate "ftruncate" SYS_rename "rename"
    SYS_mkdir "mkdir" SYS_rmdir "rmdir" SYS_unlink "unlink" SYS_ptrace "ptrace" SYS_rt_sigtimedwait "rt_sigtimedwait"
    SYS_rt_sigsuspend "rt_sigsuspend" SYS_sync "sync" SYS_mount "mount" SYS_umount2 "umount2" SYS_futex "futex"
    SYS_io_getevents "io_getevents" SYS_getdents64 "getdents64" SYS_restart_syscall "restart_syscall"
    SYS_semtimedop "semtimedop" SYS_fadvise64 "fadvise64" SYS_clock_nanosleep "clock_nanosleep" SYS_epoll_wait "epoll_wait"
    SYS_mq_timedsend "mq_timedsend" SYS_mq_timedreceive "mq_timedreceive" SYS_waitid "waitid" SYS_openat "openat"
    SYS_mkdirat "mkdirat" SYS_newfstatat "newfstatat" SYS_unlinkat "unlinkat" SYS_renameat "renameat"
    SYS_pselect6 "pselect6" SYS_ppoll "ppoll" SYS_splice "splice" SYS_tee "tee" SYS_sync_file_range "sync_file_range"
    SYS_vmsplice "vmsplice" SYS_epoll_pwait "epoll_pwait" SYS_fallocate "fallocate" SYS_accept4 "accept4"
    SYS_preadv "preadv" SYS_pwritev "pwritev" SYS_recvmmsg "recvmmsg" SYS_sendmmsg "sendmmsg" SYS_syncfs "syncfs"
    SYS_renameat2 "renameat2" SYS_getrandom "getrandom" SYS_copy_file_range "copy_file_range" SYS_preadv2 "preadv2"
    SYS_pwritev2 "pwritev2" SYS_statx "statx" SYS_io_uring_enter "io_uring_enter"
};

/// Elsewhere numbers have to do.
#[cfg(not(target_arch = "x86_64"))]
static NAMES: [(i64, &str); 0] = names! {};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread;
    use std::sync::mpsc;

    /// The places of a thread that runs `body`, until `is_it` says that one is right.
    fn settles_in(body: impl FnOnce() + Send + 'static, is_it: impl Fn(Place) -> bool) -> Place {
        let (say, said) = mpsc::channel();
        thread::spawn("gort-test", move || {
            say.send(thread::gettid()).unwrap();
            body();
        })
        .unwrap();
        let tid = said.recv().unwrap();
        loop {
            let place = Place::of(tid).expect("the thread lives");
            if is_it(place) {
                return place;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_is_seen_in_its_system_call() {
        let (hold, held) = mpsc::channel::<()>();
        let futex = settles_in(move || held.recv().unwrap_or_default(), Place::is_futex);
        assert_eq!(futex.to_string(), "waiting for a lock of std's or C's (futex)");
        drop(hold);
        let (reader, writer) = std::io::pipe().unwrap();
        let mut end = reader.try_clone().unwrap();
        let read = move || drop(std::io::Read::read(&mut end, &mut [0]));
        let place = settles_in(read, |place| place == Place::Call(libc::SYS_read));
        assert_eq!(place.to_string(), "in the kernel: read");
        drop((writer, reader));
    }

    #[test]
    fn a_thread_that_computes_is_on_the_cpu() {
        let (hold, held) = mpsc::channel::<()>();
        let burns = move || while held.try_recv() == Err(mpsc::TryRecvError::Empty) {};
        assert_eq!(settles_in(burns, |place| place == Place::OnCpu).to_string(), "on the CPU");
        drop(hold);
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(Place::parse("running\n"), Some(Place::OnCpu));
        assert_eq!(Place::parse("-1 0x7ffd 0x7f3b\n"), Some(Place::Fault));
        assert_eq!(Place::parse("73 0x3 0x2 0x0\n"), Some(Place::Call(73)));
        assert_eq!(Place::parse(""), None);
        assert_eq!(Place::Call(libc::SYS_flock).to_string(), "in the kernel: flock");
        assert_eq!(Place::Call(4711).to_string(), "in the kernel: system call 4711");
        assert_eq!(Place::of(u32::MAX >> 4), None);
    }
}
