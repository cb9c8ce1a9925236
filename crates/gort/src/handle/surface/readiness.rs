//! To know that there is something to read before a buffer is taken.

/// `$setup` makes `$it` with something to read, and `$read` reads it.
macro_rules! readiness {
    ($type:ident, $it:literal, $setup:literal, $read:literal) => {
        impl $type {
            /// Parks until a read would not wait: there is something, or the end, or an error. So who waits for long needs no buffer meanwhile.
            ///
            /// True for the moment at which it was seen: of several readers another one may be faster.
            ///
            /// # Errors
            #[doc = concat!("`TimedOut` at the timeout or deadline; `NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!($it, ".readable()?;")]
            /// let mut buffer = vec![0; 4096]; // taken when it is needed
            #[doc = concat!("assert_eq!(", $read, ", 2);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn readable(&self) -> std::io::Result<()> {
                self.handle.readable(std::panic::Location::caller())
            }
        }
    };
}

pub(crate) use readiness;
