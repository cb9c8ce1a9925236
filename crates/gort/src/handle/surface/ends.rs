//! Ends and modes: close, clone, whether calls may wait, the error that the kernel keeps.

/// For everything that has a handle. `$wait` is a call that waits.
macro_rules! ends {
    ($type:ident, $it:literal, $setup:literal, $wait:literal) => {
        impl $type {
            #[doc = concat!("Closes the ", $it, ", also for the others who share this value: their calls under way end with an error, and so does every later one.")]
            ///
            /// Returns when the last of those calls has let go, so the fd is closed then; unless it was lent out by
            /// [`as_fd`](std::os::fd::AsFd::as_fd), which keeps it open until this value is dropped, or a clone has another fd for the same thing.
            /// Dropping the value does the same, but cannot happen while others use it.
            ///
            /// # Errors
            /// `NotConnected` if it was closed before.
            ///
            /// # Examples
            /// ```
            /// use std::io::ErrorKind;
            #[doc = $setup]
            ///
            /// gort::scope(|s| {
            #[doc = concat!("    let waiting = s.spawn(|| ", $wait, ".map(drop));")]
            #[doc = concat!("    ", $it, ".close()?;")]
            ///     assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
            ///     std::io::Result::Ok(())
            /// })?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn close(&self) -> std::io::Result<()> {
                self.handle.close(std::panic::Location::caller())
            }

            #[doc = concat!("A second value for the same ", $it, ", with an fd of its own: closing one leaves the other usable.")]
            ///
            /// It begins with this one's timeouts, deadlines and mode; from then on each has its own, whereas std's clones share them. What the
            /// kernel keeps is shared. Sharing one value is cheaper: all methods take `&self`.
            ///
            /// # Errors
            /// If the process has no descriptor left.
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("let clone = ", $it, ".try_clone()?;")]
            #[doc = concat!("drop(", $it, "); // the clone goes on")]
            /// # drop(clone);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn try_clone(&self) -> std::io::Result<Self> {
                Ok(Self { handle: self.handle.try_clone()? })
            }

            /// With `true`, calls that would park fail with `WouldBlock` instead, also those parked now.
            ///
            /// For loops of one's own; a goroutine has no need of it. Unlike in std this concerns this value only, not its clones.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            /// use std::io::ErrorKind;
            #[doc = $setup]
            #[doc = concat!($it, ".set_nonblocking(true)?;")]
            #[doc = concat!("assert_eq!(", $wait, ".map(drop).unwrap_err().kind(), ErrorKind::WouldBlock);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
                self.handle.set_nonblocking(nonblocking)
            }
        }
    };
}

/// For sockets.
macro_rules! socket_ends {
    ($type:ident, $it:literal, $setup:literal, $wait:literal) => {
        $crate::handle::surface::ends!($type, $it, $setup, $wait);

        impl $type {
            #[doc = concat!("Takes the error that the kernel keeps for this ", $it, ", so that the next call does not report it (`SO_ERROR`).")]
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("assert!(", $it, ".take_error()?.is_none());")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.handle.with_fd($crate::sys::socket::take_error).map(|error| error.map(Into::into))
            }
        }
    };
}

pub(crate) use {ends, socket_ends};
