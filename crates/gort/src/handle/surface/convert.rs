//! From and into std's types and descriptors.
//!
//! A descriptor that comes in is put into non-blocking mode and registered with the poller; one that goes out is in blocking mode again (unless
//! the user has asked this value for non-blocking), and its registration ends.
//!
//! `From<OwnedFd>` cannot fail in std, so it does not here: if the poller refuses the descriptor, the value is made all the same, and each of its
//! operations says why.

use crate::handle::Handle;
use crate::netpoll::Side;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A type of std's that has a counterpart here. Those with timeouts bring them along, for reading and for writing.
pub(crate) trait Counterpart: From<OwnedFd> + Into<OwnedFd> {
    fn timeouts(&self) -> [Option<Duration>; 2] {
        [None; 2]
    }

    fn set_timeouts(&self, _: [Option<Duration>; 2]) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! counterparts_with_timeouts {
    ($($std:ty),*) => {$(
        impl Counterpart for $std {
            fn timeouts(&self) -> [Option<Duration>; 2] {
                // A descriptor that is no socket has none.
                [self.read_timeout().unwrap_or(None), self.write_timeout().unwrap_or(None)]
            }

            fn set_timeouts(&self, [read, write]: [Option<Duration>; 2]) -> io::Result<()> {
                self.set_read_timeout(read)?;
                self.set_write_timeout(write)
            }
        }
    )*};
}

counterparts_with_timeouts!(
    std::net::TcpStream,
    std::net::UdpSocket,
    std::os::unix::net::UnixStream,
    std::os::unix::net::UnixDatagram
);
impl Counterpart for std::net::TcpListener {}
impl Counterpart for std::os::unix::net::UnixListener {}
impl Counterpart for std::io::PipeReader {}
impl Counterpart for std::io::PipeWriter {}
impl Counterpart for std::process::ChildStdin {}
impl Counterpart for std::process::ChildStdout {}
impl Counterpart for std::process::ChildStderr {}

const SIDES: [Side; 2] = [Side::Read, Side::Write];

impl Handle {
    /// Takes over what is std's, with its timeouts; as [`Handle::adopt`].
    pub(crate) fn from_std(std: impl Counterpart) -> Self {
        let timeouts = std.timeouts();
        let this = Self::adopt(std.into());
        for (side, timeout) in SIDES.into_iter().zip(timeouts) {
            // Refused by the poller: then every operation says so.
            let _ = this.set_timeout(side, timeout);
        }
        this
    }

    /// Hands over to std, with the timeouts.
    ///
    /// # Errors
    /// It was closed.
    pub(crate) fn into_std<S: Counterpart>(self) -> io::Result<S> {
        // An error means closed, which `into_fd` says too.
        let timeouts = SIDES.map(|side| self.timeout(side).unwrap_or(None));
        let std = S::from(self.into_fd()?);
        if timeouts != [None; 2] {
            std.set_timeouts(timeouts)?;
        }
        Ok(std)
    }
}

/// To and from `$std`. `$path` is where users find the type.
macro_rules! converts {
    ($type:ident, $std:ty, $it:literal, $setup:literal, $path:literal) => {
        impl $type {
            #[doc = concat!("Takes over a ", $it, " of std's with its timeouts, if it has some; from now on it parks, also if it was in non-blocking mode.")]
            ///
            /// # Errors
            /// If it cannot be registered with the poller: the limit on watches, or no memory. `From` gives that error at the first use instead.
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("let theirs: ", stringify!($std), " = ", $it, ".into_std()?;")]
            #[doc = concat!("let ", $it, " = ", $path, "::from_std(theirs)?;")]
            #[doc = concat!("# drop(", $it, ");")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn from_std(std: $std) -> std::io::Result<Self> {
                Ok(Self { handle: $crate::handle::Handle::from_std(std).unless_refused()? })
            }

            /// Hands over to std, with the timeouts, if it has some there; deadlines, which std does not have, are dropped.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed. `From` panics then.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("let theirs: ", stringify!($std), " = ", $it, ".into_std()?;")]
            /// # drop(theirs);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn into_std(self) -> std::io::Result<$std> {
                self.handle.into_std()
            }
        }

        impl $crate::handle::HasHandle for $type {
            fn handle(&self) -> &$crate::handle::Handle {
                &self.handle
            }
        }

        impl From<$std> for $type {
            #[doc = concat!("As [`", stringify!($type), "::from_std`], but an error is reported by the first operation.")]
            fn from(std: $std) -> Self {
                Self { handle: $crate::handle::Handle::from_std(std) }
            }
        }

        impl From<$type> for $std {
            /// # Panics
            #[doc = concat!("If it was closed; [`", stringify!($type), "::into_std`] returns an error.")]
            fn from(it: $type) -> Self {
                it.into_std().unwrap_or_else(|error| panic!(concat!(stringify!($type), "::into: {}"), error))
            }
        }

        impl From<std::os::fd::OwnedFd> for $type {
            #[doc = concat!("Takes over any descriptor that is such a ", $it, ". If the poller refuses it, every operation says why.")]
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                Self { handle: $crate::handle::Handle::adopt(fd) }
            }
        }

        impl From<$type> for std::os::fd::OwnedFd {
            /// # Panics
            /// If it was closed.
            fn from(it: $type) -> Self {
                it.handle.into_fd().unwrap_or_else(|error| panic!(concat!(stringify!($type), "::into: {}"), error))
            }
        }

        impl std::os::fd::FromRawFd for $type {
            /// # Safety
            /// As [`OwnedFd::from_raw_fd`](std::os::fd::OwnedFd): `fd` is open, and nobody else owns it.
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> Self {
                // SAFETY: the caller gives the fd away.
                unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) }.into()
            }
        }

        impl std::os::fd::IntoRawFd for $type {
            /// # Panics
            /// If it was closed.
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(std::os::fd::OwnedFd::from(self))
            }
        }

        impl std::os::fd::AsRawFd for $type {
            /// The fd, in non-blocking mode; leave it so. -1 if it was closed.
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.handle.expose_fd()
            }
        }

        impl std::os::fd::AsFd for $type {
            /// The fd, in non-blocking mode; leave it so. A close from now on ends all use of this value, but the fd stays open until it is
            /// dropped.
            ///
            /// # Panics
            /// If it was closed before.
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.handle.lend_fd().unwrap_or_else(|error| panic!(concat!(stringify!($type), "::as_fd: {}"), error))
            }
        }
    };
}

pub(crate) use converts;
