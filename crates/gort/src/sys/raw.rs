//! System calls without libc: `-errno` comes back as a value, and no thread-local is touched.
//!
//! Why not the libc wrappers. The scheduler's fast path runs while the thread pointer belongs to a goroutine that has already decided to park,
//! or to the one that is about to run: a wrapper that failed there would write *that* goroutine's `errno`. And glibc's wrappers of blocking
//! calls do two locked operations on the cancellation word of the calling `struct pthread`, which for a goroutine is a cold line of its own.
//!
//! Elsewhere than on x86-64 the calls go through `libc::syscall` and `errno`, so that the crate compiles; such a target has no migrating
//! goroutines yet, hence no thread pointer to protect.
//!
//! Rejected: one function with a slice of arguments (a length check and memory traffic in front of every call).

use std::{fmt, io};

/// A system call number.
pub(crate) type Number = libc::c_long;

/// An error number of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Errno(pub(crate) i32);

// The vocabulary of error numbers, in one place; which of them are spoken changes with what is written above.
#[allow(dead_code)]
impl Errno {
    pub(crate) const AGAIN: Errno = Errno(libc::EAGAIN);
    pub(crate) const INTR: Errno = Errno(libc::EINTR);
    pub(crate) const INVAL: Errno = Errno(libc::EINVAL);
    pub(crate) const NOENT: Errno = Errno(libc::ENOENT);
    pub(crate) const EXIST: Errno = Errno(libc::EEXIST);
    pub(crate) const PERM: Errno = Errno(libc::EPERM);
    pub(crate) const ACCES: Errno = Errno(libc::EACCES);
    pub(crate) const NOMEM: Errno = Errno(libc::ENOMEM);
    pub(crate) const BUSY: Errno = Errno(libc::EBUSY);
    pub(crate) const CANCELED: Errno = Errno(libc::ECANCELED);
    pub(crate) const NOSYS: Errno = Errno(libc::ENOSYS);
    pub(crate) const BADF: Errno = Errno(libc::EBADF);
    pub(crate) const BADR: Errno = Errno(libc::EBADR);
    pub(crate) const MFILE: Errno = Errno(libc::EMFILE);
    pub(crate) const NFILE: Errno = Errno(libc::ENFILE);
    pub(crate) const NOBUFS: Errno = Errno(libc::ENOBUFS);
    pub(crate) const TIMEDOUT: Errno = Errno(libc::ETIMEDOUT);
    pub(crate) const INPROGRESS: Errno = Errno(libc::EINPROGRESS);
    pub(crate) const ALREADY: Errno = Errno(libc::EALREADY);
    pub(crate) const ISCONN: Errno = Errno(libc::EISCONN);
    pub(crate) const NOTCONN: Errno = Errno(libc::ENOTCONN);
    pub(crate) const CONNABORTED: Errno = Errno(libc::ECONNABORTED);
    pub(crate) const CONNREFUSED: Errno = Errno(libc::ECONNREFUSED);
    pub(crate) const CONNRESET: Errno = Errno(libc::ECONNRESET);
    pub(crate) const PIPE: Errno = Errno(libc::EPIPE);
    pub(crate) const NOTSOCK: Errno = Errno(libc::ENOTSOCK);
    pub(crate) const ADDRINUSE: Errno = Errno(libc::EADDRINUSE);
    pub(crate) const AFNOSUPPORT: Errno = Errno(libc::EAFNOSUPPORT);
    pub(crate) const OPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);
    pub(crate) const NOPROTOOPT: Errno = Errno(libc::ENOPROTOOPT);
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from(*self).fmt(f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

/// Repeats `call` until it ends otherwise than by a signal.
#[inline]
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => continue,
            other => return other,
        }
    }
}

/// Splits the kernel's one return word: the last page of the number range holds negated error numbers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn result(word: usize) -> Result<usize, Errno> {
    if word > -4096_isize as usize { Err(Errno((word as isize).wrapping_neg() as i32)) } else { Ok(word) }
}

macro_rules! syscalls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident in $register:tt),*);)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// The call itself must be sound: `number` and the arguments are what the kernel expects, and memory they name is valid for what the
        /// kernel does with it.
        #[cfg(target_arch = "x86_64")]
        #[inline(always)]
        pub(crate) unsafe fn $name(number: Number, $($arg: usize),*) -> Result<usize, Errno> {
            let word: usize;
            // SAFETY: the caller answers for the call. The instruction itself changes rax, rcx and r11 only (named here), restores the flags,
            // leaves the stack alone, and may read and write memory, which is what an asm block without `nomem` tells the compiler.
            unsafe {
                core::arch::asm!(
                    "syscall",
                    inlateout("rax") number as usize => word,
                    $(in($register) $arg,)*
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack, preserves_flags),
                );
            }
            result(word)
        }

        $(#[$doc])*
        ///
        /// # Safety
        /// As on x86-64.
        #[cfg(not(target_arch = "x86_64"))]
        pub(crate) unsafe fn $name(number: Number, $($arg: usize),*) -> Result<usize, Errno> {
            // SAFETY: the caller answers for the call.
            match unsafe { libc::syscall(number, $($arg),*) } {
                -1 => Err(Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))),
                word => Ok(word as usize),
            }
        }
    )*};
}

syscalls! {
    /// A system call without arguments.
    syscall0();
    /// A system call with one argument.
    syscall1(a in "rdi");
    /// A system call with two arguments.
    syscall2(a in "rdi", b in "rsi");
    /// A system call with three arguments.
    syscall3(a in "rdi", b in "rsi", c in "rdx");
    /// A system call with four arguments.
    syscall4(a in "rdi", b in "rsi", c in "rdx", d in "r10");
    /// A system call with five arguments.
    syscall5(a in "rdi", b in "rsi", c in "rdx", d in "r10", e in "r8");
    /// A system call with six arguments.
    syscall6(a in "rdi", b in "rsi", c in "rdx", d in "r10", e in "r8", f in "r9");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_arguments_gives_what_libc_gives() {
        // SAFETY: getpid takes nothing and touches nothing.
        let pid = unsafe { syscall0(libc::SYS_getpid) }.unwrap();
        assert_eq!(pid, std::process::id() as usize);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_failing_call_gives_the_error_as_a_value_and_leaves_errno_alone() {
        // SAFETY: the location is this thread's own errno.
        unsafe { *libc::__errno_location() = 4711 };
        // SAFETY: closing a number that no descriptor can have changes nothing.
        let error = unsafe { syscall1(libc::SYS_close, i32::MAX as usize) }.unwrap_err();
        assert_eq!(error, Errno::BADF);
        // SAFETY: as above.
        assert_eq!(unsafe { *libc::__errno_location() }, 4711);
    }

    #[test]
    fn all_six_arguments_arrive() {
        let length = 8192;
        // SAFETY: a new private mapping at a place of the kernel's choice.
        let at = unsafe {
            syscall6(
                libc::SYS_mmap,
                0,
                length,
                libc::PROT_READ as usize,
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize,
                usize::MAX,
                0,
            )
        }
        .unwrap();
        // SAFETY: the mapping above, which nobody else knows.
        unsafe { syscall2(libc::SYS_munmap, at, length) }.unwrap();
    }

    #[test]
    fn retry_hides_a_signal_and_nothing_else() {
        let mut left = 3;
        let outcome = retry(|| {
            left -= 1;
            if left > 0 { Err(Errno::INTR) } else { Err::<(), _>(Errno::PIPE) }
        });
        assert_eq!(outcome, Err(Errno::PIPE));
    }

    #[test]
    fn an_error_number_becomes_an_io_error_of_its_kind() {
        assert_eq!(io::Error::from(Errno::ADDRINUSE).kind(), io::ErrorKind::AddrInUse);
        assert!(format!("{:?}", Errno::BADF).contains("Bad file descriptor"));
    }
}
