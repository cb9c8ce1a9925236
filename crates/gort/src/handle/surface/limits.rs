//! Timeouts and deadlines, for one side or both.

/// The limits of the reading side. `$read` is a call that waits, with what `$setup` has made.
macro_rules! read_limits {
    ($type:ident $(<$t:ident>)?, $it:literal, $setup:literal, $read:literal) => {
        impl$(<$t>)? $type$(<$t>)? {
            #[doc = concat!("How long each read of this ", $it, " may take from now on; whatever receives is a read. `None`: as long as it needs.")]
            ///
            /// Then it fails with `TimedOut`, not earlier, and what comes later can be read. The time spent on waiting for another reader counts.
            ///
            /// # Errors
            #[doc = concat!("`InvalidInput` for a zero timeout; `NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            /// use std::io::ErrorKind;
            /// use std::time::Duration;
            #[doc = $setup]
            #[doc = concat!($it, ".set_read_timeout(Some(Duration::from_millis(5)))?;")]
            #[doc = concat!("assert_eq!(", $read, ".unwrap_err().kind(), ErrorKind::TimedOut);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_read_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.handle.set_timeout($crate::netpoll::Side::Read, timeout)
            }

            #[doc = concat!("How long each read of this ", $it, " may take.")]
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("assert_eq!(", $it, ".read_timeout()?, None);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.handle.timeout($crate::netpoll::Side::Read)
            }

            /// When reading ends: from `deadline` on every read fails with `TimedOut`, even if data is there, until another one is set. `None`:
            /// never.
            ///
            /// Whoever waits in a read now is held to it too; a deadline in the past ends every wait at once. It is a point in time for all reads
            /// together, where a timeout counts for each one; whichever comes first holds.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            /// use std::io::ErrorKind;
            /// use std::time::{Duration, Instant};
            #[doc = $setup]
            #[doc = concat!($it, ".set_read_deadline(Some(Instant::now() + Duration::from_millis(5)))?;")]
            #[doc = concat!("assert_eq!(", $read, ".unwrap_err().kind(), ErrorKind::TimedOut);")]
            #[doc = concat!($it, ".set_read_deadline(None)?;")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_read_deadline(&self, deadline: Option<std::time::Instant>) -> std::io::Result<()> {
                self.handle.set_deadline($crate::netpoll::Side::Read, deadline)
            }
        }
    };
}

/// The limits of the writing side. `$write` is a call that a deadline in the past ends.
macro_rules! write_limits {
    ($type:ident $(<$t:ident>)?, $it:literal, $setup:literal, $write:literal) => {
        impl$(<$t>)? $type$(<$t>)? {
            #[doc = concat!("How long each write of this ", $it, " may take from now on; whatever sends is a write. `None`: as long as it needs.")]
            ///
            /// Then it fails with `TimedOut`, not earlier. The time spent on waiting for another writer counts.
            ///
            /// # Errors
            #[doc = concat!("`InvalidInput` for a zero timeout; `NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            /// use std::time::Duration;
            #[doc = $setup]
            #[doc = concat!($it, ".set_write_timeout(Some(Duration::from_secs(1)))?;")]
            #[doc = concat!("assert_eq!(", $it, ".write_timeout()?, Some(Duration::from_secs(1)));")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_write_timeout(&self, timeout: Option<std::time::Duration>) -> std::io::Result<()> {
                self.handle.set_timeout($crate::netpoll::Side::Write, timeout)
            }

            #[doc = concat!("How long each write of this ", $it, " may take.")]
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("assert_eq!(", $it, ".write_timeout()?, None);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
                self.handle.timeout($crate::netpoll::Side::Write)
            }

            /// When writing ends: from `deadline` on every write fails with `TimedOut`, even if there is room, until another one is set. `None`:
            /// never. Whoever waits in a write now is held to it too.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            /// use std::io::ErrorKind;
            /// use std::time::Instant;
            #[doc = $setup]
            #[doc = concat!($it, ".set_write_deadline(Some(Instant::now()))?;")]
            #[doc = concat!("assert_eq!(", $write, ".unwrap_err().kind(), ErrorKind::TimedOut);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_write_deadline(&self, deadline: Option<std::time::Instant>) -> std::io::Result<()> {
                self.handle.set_deadline($crate::netpoll::Side::Write, deadline)
            }
        }
    };
}

/// The limits of both sides.
macro_rules! limits {
    ($type:ident $(<$t:ident>)?, $it:literal, $setup:literal, $read:literal, $write:literal) => {
        $crate::handle::surface::read_limits!($type $(<$t>)?, $it, $setup, $read);
        $crate::handle::surface::write_limits!($type $(<$t>)?, $it, $setup, $write);

        impl$(<$t>)? $type$(<$t>)? {
            /// When reading and writing end: both deadlines at once.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            /// use std::time::{Duration, Instant};
            #[doc = $setup]
            #[doc = concat!($it, ".set_deadline(Some(Instant::now() + Duration::from_secs(30)))?;")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_deadline(&self, deadline: Option<std::time::Instant>) -> std::io::Result<()> {
                self.handle.set_deadline($crate::netpoll::Side::Read, deadline)?;
                self.handle.set_deadline($crate::netpoll::Side::Write, deadline)
            }
        }
    };
}

pub(crate) use {limits, read_limits, write_limits};
