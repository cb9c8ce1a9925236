//! One connection, served.

use std::io::{self, Read, Write};

/// Sends everything back until the peer is done.
///
/// The whole server, as far as one connection is concerned. It blocks wherever it has to wait, and a blocked goroutine costs
/// some memory and no thread. The style `threads` runs this very function on OS threads.
pub fn echo(mut peer: impl Read + Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match peer.read(&mut buffer)? {
            0 => return Ok(()),
            n => peer.write_all(&buffer[..n])?,
        }
    }
}
