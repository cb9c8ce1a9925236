//! Pipes of the system.

use crate::handle::{Handle, surface};
use crate::sys::pipe as sys;
use std::fmt;
use std::io;
use std::process::Stdio;

/// The end of a [`pipe`] that is read, as [`std::io::PipeReader`].
///
/// A read gives `Ok(0)` when all writers are gone.
pub struct PipeReader {
    handle: Handle,
}

/// The end of a [`pipe`] that is written to, as [`std::io::PipeWriter`].
///
/// A write to a pipe that nobody can read any more gives `BrokenPipe`. In a program that has switched SIGPIPE on again, that signal comes first.
pub struct PipeWriter {
    handle: Handle,
}

/// A pipe of the system: what is written to one end is read from the other. As [`std::io::pipe`], but reads and writes park.
///
/// An end that is given to a child process, through [`Stdio`] or an [`OwnedFd`](std::os::fd::OwnedFd), is in blocking mode there, and the other one
/// goes on parking.
///
/// # Errors
/// If the process has no descriptors left.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use gort::process::Command;
///
/// let (mut reader, writer) = gort::io::pipe()?;
/// let mut child = Command::new("echo").arg("hello").stdout(writer).spawn()?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello\n");
/// child.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = sys::pipe()?;
    let reader = PipeReader { handle: Handle::new(reader, false, true)? };
    Ok((reader, PipeWriter { handle: Handle::new(writer, false, true)? }))
}

surface::readable!(PipeReader, sys::read, sys::read_vectored);
surface::read_limits!(
    PipeReader,
    "reader",
    "# use std::io::Read;
# let (reader, _writer) = gort::io::pipe()?;",
    "(&reader).read(&mut [0; 8])"
);
surface::ends!(
    PipeReader,
    "reader",
    "# use std::io::Read;
# let (reader, _writer) = gort::io::pipe()?;",
    "(&reader).read(&mut [0; 8])"
);
surface::readiness!(
    PipeReader,
    "reader",
    "# use std::io::{Read, Write};
# let (reader, mut writer) = gort::io::pipe()?;
# writer.write_all(b\"hi\")?;",
    "(&reader).read(&mut buffer)?"
);
surface::converts!(
    PipeReader,
    std::io::PipeReader,
    "reader",
    "# let (reader, _writer) = gort::io::pipe()?;",
    "gort::io::PipeReader"
);

surface::writable!(PipeWriter, sys::write, sys::write_vectored);
surface::write_limits!(
    PipeWriter,
    "writer",
    "# use std::io::Write;
# let (_reader, writer) = gort::io::pipe()?;",
    "(&writer).write(b\"late\")"
);
surface::ends!(
    PipeWriter,
    "writer",
    "# use std::io::Write;
# let (_reader, writer) = gort::io::pipe()?;
# let everything = vec![0; 1 << 20];",
    "(&writer).write_all(&everything)"
);
surface::converts!(
    PipeWriter,
    std::io::PipeWriter,
    "writer",
    "# let (_reader, writer) = gort::io::pipe()?;",
    "gort::io::PipeWriter"
);

impl From<PipeReader> for Stdio {
    /// # Panics
    /// If it was closed.
    fn from(reader: PipeReader) -> Self {
        std::os::fd::OwnedFd::from(reader).into()
    }
}

impl From<PipeWriter> for Stdio {
    /// # Panics
    /// If it was closed.
    fn from(writer: PipeWriter) -> Self {
        std::os::fd::OwnedFd::from(writer).into()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeReader").field("fd", &self.handle).finish()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWriter").field("fd", &self.handle).finish()
    }
}
