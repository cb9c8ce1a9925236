//! Both ends of a connection in memory.

mod way;

use crate::handle::{ended_early, surface, took_nothing};
use crate::net::Shutdown;
use crate::netpoll::Side;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use way::{Closed, Way};

/// An end of a [`duplex`](duplex()) pipe.
///
/// All methods take `&self`, and so do `Read` and `Write` for `&DuplexStream`: goroutines can share it. Dropping it closes it.
pub struct DuplexStream {
    handle: End,
}

/// Two ways in opposite directions, seen from one end.
struct End {
    incoming: Arc<Way>,
    outgoing: Arc<Way>,
}

/// A connection in memory: what is written to one end is read from the other.
///
/// There is no buffer between the two: a write returns when all its bytes have been read, or with how many have if its time is over before. Writes of
/// several goroutines do not mix. It has the limits of a [`TcpStream`](crate::net::TcpStream), and uses no descriptor: for tests of what talks through
/// streams, and for parts of a program that do.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
///
/// let (mut near, mut far) = gort::io::duplex();
/// let answering = gort::go(move || -> std::io::Result<()> {
///     let mut question = [0; 4];
///     far.read_exact(&mut question)?;
///     far.write_all(&question)
/// });
/// near.write_all(b"ping")?;
/// let mut answer = String::new();
/// near.read_to_string(&mut answer)?;
/// assert_eq!(answer, "ping");
/// answering.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn duplex() -> (DuplexStream, DuplexStream) {
    let (there, back) = (Arc::new(Way::new()), Arc::new(Way::new()));
    let near = End { incoming: back.clone(), outgoing: there.clone() };
    (DuplexStream { handle: near }, DuplexStream { handle: End { incoming: there, outgoing: back } })
}

impl DuplexStream {
    /// Closes this end, also for the others who share this value: their calls under way end with `NotConnected`, and so does every later one. The other
    /// end reads `Ok(0)`, and its writes give `BrokenPipe`.
    ///
    /// # Errors
    /// `NotConnected` if it was closed before.
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    /// let (near, mut far) = gort::io::duplex();
    /// near.close()?;
    /// assert_eq!(far.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self) -> io::Result<()> {
        self.handle.close(Closed::End)
    }

    /// Closes this end as [`close`](DuplexStream::close) does; reads and writes of the other end give `error`, of the same kind.
    ///
    /// # Errors
    /// `NotConnected` if it was closed before.
    ///
    /// # Examples
    /// ```
    /// use std::io::{Error, ErrorKind, Read};
    /// let (near, mut far) = gort::io::duplex();
    /// near.close_with(Error::new(ErrorKind::InvalidData, "this is no question"))?;
    /// let error = far.read(&mut [0; 8]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidData);
    /// assert!(error.to_string().contains("no question"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close_with(&self, error: io::Error) -> io::Result<()> {
        self.handle.close(Closed::Error(Arc::new(error)))
    }

    /// Ends reading, writing or both at this end. After `Shutdown::Write` the other end reads `Ok(0)`; after `Shutdown::Read` this one does, and the
    /// other one's writes give `BrokenPipe`. Whoever is parked there learns it at once.
    ///
    /// # Errors
    /// `NotConnected` if it was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    /// let (near, mut far) = gort::io::duplex();
    /// near.shutdown(gort::net::Shutdown::Write)?;
    /// assert_eq!(far.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.handle.incoming.shut_reading()?;
        }
        if how != Shutdown::Read {
            self.handle.outgoing.shut_writing()?;
        }
        Ok(())
    }
}

impl End {
    fn close(&self, how: Closed) -> io::Result<()> {
        self.incoming.close_reading(how.clone())?;
        self.outgoing.close_writing(how)
    }

    fn set_timeout(&self, side: Side, timeout: Option<Duration>) -> io::Result<()> {
        self.way(side).set_timeout(side, timeout)
    }

    fn timeout(&self, side: Side) -> io::Result<Option<Duration>> {
        self.way(side).timeout(side)
    }

    fn set_deadline(&self, side: Side, deadline: Option<Instant>) -> io::Result<()> {
        self.way(side).set_deadline(side, deadline)
    }

    fn way(&self, side: Side) -> &Way {
        match side {
            Side::Read => &self.incoming,
            Side::Write => &self.outgoing,
        }
    }
}

surface::limits!(
    DuplexStream,
    "stream",
    "# use std::io::{Read, Write};
# let (stream, _peer) = gort::io::duplex();",
    "(&stream).read(&mut [0; 8])",
    "(&stream).write(b\"late\")"
);

impl Read for &DuplexStream {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.incoming.read(buf)
    }

    // As std's, but a dump shows the caller's line.
    #[track_caller]
    fn read_exact(&mut self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf)? {
                0 => return Err(ended_early()),
                n => buf = &mut buf[n..],
            }
        }
        Ok(())
    }
}

impl Write for &DuplexStream {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.handle.outgoing.write(buf)
    }

    // As std's, but a dump shows the caller's line.
    #[track_caller]
    fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write(buf)? {
                0 => return Err(took_nothing()),
                n => buf = &buf[n..],
            }
        }
        Ok(())
    }

    /// Does nothing: nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for DuplexStream {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl Write for DuplexStream {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    /// Does nothing: nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for DuplexStream {
    fn drop(&mut self) {
        // An error means that it was closed before.
        let _ = self.close();
    }
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DuplexStream").finish_non_exhaustive()
    }
}
