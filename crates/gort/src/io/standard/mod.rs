//! Standard input, output and error.

mod stream;

use crate::context::ambient;
use crate::handle::took_nothing;
use crate::sync::{Mutex, MutexGuard};
use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Lines, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::PoisonError;
use stream::Stream;

static STDIN: Stream = Stream::new(libc::STDIN_FILENO);
static STDOUT: Stream = Stream::new(libc::STDOUT_FILENO);
static STDERR: Stream = Stream::new(libc::STDERR_FILENO);

/// The lock of what is everybody's, unless the ambient context ends first.
#[track_caller]
fn lock<T>(mutex: &'static Mutex<T>) -> io::Result<MutexGuard<'static, T>> {
    match ambient::inherited() {
        None => Ok(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
        Some(ctx) => match mutex.lock_ctx(&ctx) {
            Ok(guard) => Ok(guard),
            Err(crate::sync::LockCtxError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(crate::sync::LockCtxError::Ended(why)) => Err(why.into()),
        },
    }
}

/// Reads without buffer.
#[derive(Debug)]
struct Raw;

impl Read for Raw {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        STDIN.read(buf)
    }
}

static INPUT: Mutex<Option<BufReader<Raw>>> = Mutex::new(None);

/// Standard input of the process, as [`std::io::Stdin`], that parks.
///
/// What it has read ahead is kept in a buffer that all share who use this type, and not with `std::io::stdin`: use one of the two. Where it comes from is settled
/// at the first use. A terminal or pipe is opened once more for that, so that the shell's own is left as it is; a regular file is read in a
/// [marked section](crate::blocking).
#[derive(Clone, Copy, Debug)]
pub struct Stdin(());

/// Standard input, locked: see [`Stdin::lock`].
pub struct StdinLock<'a> {
    input: MutexGuard<'a, Option<BufReader<Raw>>>,
}

/// Standard input.
///
/// # Examples
/// ```
/// use std::io::Read;
/// let mut text = String::new();
/// # let ctx = gort::context::background().with_timeout(std::time::Duration::ZERO).0;
/// # let _ = ctx.run(|| {
/// gort::io::stdin().read_to_string(&mut text)?;
/// # std::io::Result::Ok(())
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin(())
}

impl Stdin {
    /// Locks it, parked: the guard reads lines, and nobody else reads meanwhile.
    ///
    /// # Examples
    /// ```no_run
    /// use std::io::BufRead;
    /// for line in gort::io::stdin().lock().lines() {
    ///     println!("{}", line?.len());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock { input: INPUT.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    #[track_caller]
    fn input(&self) -> io::Result<StdinLock<'static>> {
        Ok(StdinLock { input: lock(&INPUT)? })
    }

    /// Reads a line to the end of `line`, its newline included; 0 at the end.
    ///
    /// # Errors
    /// The system's; `InvalidData` for what is no text; and if the ambient [context](crate::context) ends.
    ///
    /// # Examples
    /// ```no_run
    /// let mut name = String::new();
    /// gort::io::stdin().read_line(&mut name)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        self.input()?.read_line(line)
    }

    /// Locks it and reads its lines.
    ///
    /// # Examples
    /// ```no_run
    /// for line in gort::io::stdin().lines() {
    ///     println!("{}", line?.to_uppercase());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

impl Read for &Stdin {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input()?.read(buf)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.input()?.read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.input()?.read_to_string(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.input()?.read_exact(buf)
    }
}

impl Read for Stdin {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl StdinLock<'_> {
    fn buffer(&mut self) -> &mut BufReader<Raw> {
        self.input.get_or_insert_with(|| BufReader::new(Raw))
    }
}

impl Read for StdinLock<'_> {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.buffer().read(buf)
    }
}

impl BufRead for StdinLock<'_> {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.buffer().fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.buffer().consume(amount);
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}

macro_rules! descriptors {
    ($($type:ident $(<$life:lifetime>)?: $fd:ident;)*) => {$(
        impl $type$(<$life>)? {
            /// Whether it is a terminal.
            #[must_use]
            pub fn is_terminal(&self) -> bool {
                self.as_fd().is_terminal()
            }
        }

        impl AsFd for $type$(<$life>)? {
            /// The inherited descriptor.
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: the standard descriptors are everybody's, and open as std sees it.
                unsafe { BorrowedFd::borrow_raw(libc::$fd) }
            }
        }

        impl AsRawFd for $type$(<$life>)? {
            /// The inherited descriptor.
            fn as_raw_fd(&self) -> RawFd {
                libc::$fd
            }
        }
    )*};
}

macro_rules! outputs {
    ($($function:ident $type:ident $guard:ident $stream:ident $lock:ident $name:literal;)*) => {$(
        static $lock: Mutex<()> = Mutex::new(());

        #[doc = concat!("Standard ", $name, " of the process, that parks.")]
        ///
        /// Nothing is kept back, so there is nothing to flush: what a `writeln!` has written is sent as one piece. For many small pieces put a
        /// [`BufWriter`](std::io::BufWriter) around it. A write gives `BrokenPipe` when it goes to a pipe that nobody reads any more.
        ///
        /// Where it goes is settled at the first use. A terminal or pipe is opened once more for that, so that the shell's own is left as it is; a
        /// regular file is written in a [marked section](crate::blocking).
        #[derive(Clone, Copy, Debug)]
        pub struct $type(());

        #[doc = concat!("Standard ", $name, ", locked: see [`", stringify!($type), "::lock`].")]
        pub struct $guard<'a> {
            _locked: MutexGuard<'a, ()>,
        }

        #[doc = concat!("Standard ", $name, ".")]
        ///
        /// # Examples
        /// ```
        /// use std::io::Write;
        #[doc = concat!("writeln!(gort::io::", stringify!($function), "(), \"{} and {}\", 1, 2)?;")]
        /// # Ok::<(), std::io::Error>(())
        /// ```
        #[must_use]
        pub fn $function() -> $type {
            $type(())
        }

        impl $type {
            /// Locks it, parked: nobody else's lines come between what the guard writes, but those of std's.
            ///
            /// # Examples
            /// ```
            /// use std::io::Write;
            #[doc = concat!("let mut out = gort::io::", stringify!($function), "().lock();")]
            /// writeln!(out, "one")?;
            /// writeln!(out, "two")?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[must_use]
            #[track_caller]
            pub fn lock(&self) -> $guard<'static> {
                $guard { _locked: $lock.lock().unwrap_or_else(PoisonError::into_inner) }
            }

            #[track_caller]
            fn locked(&self) -> io::Result<$guard<'static>> {
                Ok($guard { _locked: lock(&$lock)? })
            }
        }

        impl Write for &$type {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.locked()?.write(buf)
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.locked()?.write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                self.locked()?.write_fmt(text)
            }

            /// Does nothing: nothing is kept back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Write for $type {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(text)
            }

            /// Does nothing: nothing is kept back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Write for $guard<'_> {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                $stream.write(buf)
            }

            #[track_caller]
            fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
                while !buf.is_empty() {
                    match self.write(buf)? {
                        0 => return Err(took_nothing()),
                        count => buf = &buf[count..],
                    }
                }
                Ok(())
            }

            #[track_caller]
            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                let mut piece = String::new();
                fmt::write(&mut piece, text).map_err(|_| io::Error::other("a value could not be formatted"))?;
                self.write_all(piece.as_bytes())
            }

            /// Does nothing: nothing is kept back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl fmt::Debug for $guard<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($guard)).finish_non_exhaustive()
            }
        }
    )*};
}

outputs! {
    stdout Stdout StdoutLock STDOUT OUTPUT "output";
    stderr Stderr StderrLock STDERR ERRORS "error";
}

descriptors! {
    Stdin: STDIN_FILENO;
    StdinLock<'_>: STDIN_FILENO;
    Stdout: STDOUT_FILENO;
    StdoutLock<'_>: STDOUT_FILENO;
    Stderr: STDERR_FILENO;
    StderrLock<'_>: STDERR_FILENO;
}
