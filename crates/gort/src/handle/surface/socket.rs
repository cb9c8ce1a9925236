//! What sockets of several kinds can be asked and told.

/// Packets' time to live, for sockets of the internet.
macro_rules! ttl {
    ($type:ident, $it:literal, $setup:literal) => {
        impl $type {
            /// How many routers a packet may pass (`IP_TTL`).
            ///
            /// # Errors
            #[doc = concat!("The system's for a value it does not take; `NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!($it, ".set_ttl(100)?;")]
            #[doc = concat!("assert_eq!(", $it, ".ttl()?, 100);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_ttl(&self, ttl: u32) -> std::io::Result<()> {
                self.handle.with_fd(|fd| $crate::sys::socket::set_ttl(fd, ttl))
            }

            /// How many routers a packet may pass.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("assert!(", $it, ".ttl()? > 0);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn ttl(&self) -> std::io::Result<u32> {
                self.handle.with_fd($crate::sys::socket::ttl)
            }
        }
    };
}

/// The kernel's buffers.
macro_rules! buffers {
    ($type:ident, $it:literal, $setup:literal) => {
        impl $type {
            /// Asks for a receive buffer of `bytes` (`SO_RCVBUF`). The kernel doubles that for its own needs, and caps it.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!($it, ".set_recv_buffer_size(1 << 16)?;")]
            #[doc = concat!("assert!(", $it, ".recv_buffer_size()? >= 1 << 16);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_recv_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                self.handle.with_fd(|fd| $crate::sys::socket::set_recv_buffer_bytes(fd, bytes))
            }

            /// Size of the receive buffer, with the kernel's own needs.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("assert!(", $it, ".recv_buffer_size()? > 0);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn recv_buffer_size(&self) -> std::io::Result<usize> {
                self.handle.with_fd($crate::sys::socket::recv_buffer_bytes)
            }

            /// Asks for a send buffer of `bytes` (`SO_SNDBUF`). The kernel doubles that for its own needs, and caps it.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!($it, ".set_send_buffer_size(1 << 16)?;")]
            #[doc = concat!("assert!(", $it, ".send_buffer_size()? >= 1 << 16);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_send_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                self.handle.with_fd(|fd| $crate::sys::socket::set_send_buffer_bytes(fd, bytes))
            }

            /// Size of the send buffer, with the kernel's own needs.
            ///
            /// # Errors
            #[doc = concat!("`NotConnected` if the ", $it, " was closed.")]
            ///
            /// # Examples
            /// ```
            #[doc = $setup]
            #[doc = concat!("assert!(", $it, ".send_buffer_size()? > 0);")]
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn send_buffer_size(&self) -> std::io::Result<usize> {
                self.handle.with_fd($crate::sys::socket::send_buffer_bytes)
            }
        }
    };
}

pub(crate) use {buffers, ttl};
