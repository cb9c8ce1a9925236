//! Who is at the other end.

use super::UnixStream;
use crate::sys::socket as sys;
use std::io;

/// Who is at the other end of a [`UnixStream`], as the kernel has noted it when the connection was made: nobody can lie about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The process; 0 if it lives where this one cannot see it.
    pub process: u32,
    /// Its effective user.
    pub user: u32,
    /// Its effective group.
    pub group: u32,
}

impl UnixStream {
    /// Who has connected, or listens, at the other end.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// let (stream, _peer) = gort::net::UnixStream::pair()?;
    /// assert_eq!(stream.peer_credentials()?.process, std::process::id());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        let peer = self.handle.with_fd(sys::peer_credentials)?;
        Ok(PeerCredentials { process: peer.process.max(0) as u32, user: peer.user, group: peer.group })
    }
}
