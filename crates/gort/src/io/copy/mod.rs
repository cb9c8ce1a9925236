//! Copying from a reader to a writer.

mod ends;
mod kernel;

use crate::net::{Shutdown, TcpStream, UnixStream};
use crate::scope;
use kernel::{Copy, Ending};
use std::io::{self, Read, Write};
use std::panic::Location;

/// Copies all that `reader` gives to `writer`, and says how many bytes that were, as [`std::io::copy`].
///
/// Between sockets and pipes, and from a file to one, the kernel copies, and the bytes do not come up to the program: `sendfile` and `splice`. That is
/// so for gort's types, [`std::fs::File`] as a reader, references to them, and a [`Take`](std::io::Take) of them; [`Command`](crate::process::Command)'s pipes
/// as well. Everything else, and what the kernel refuses, is read into a buffer and written.
///
/// What the page cache does not have of a file is fetched in a turn of the class `gort::fs`. A terminal, or whatever else is opened as a file, is read as one.
///
/// Deadlines, timeouts and contexts hold as in a read or a write. A reader of gort's [`File`](crate::fs::File) has its cursor's turn meanwhile. A copy to a
/// connection that is gone gives `BrokenPipe`; in a program that has switched SIGPIPE on again, that signal comes first.
///
/// # Errors
/// Those of the reads and writes. What has been read and not been written then is lost.
///
/// # Examples
/// ```
/// use std::io::Read;
///
/// let (mut reader, mut writer) = gort::io::pipe()?;
/// let mut file = gort::fs::File::open("Cargo.toml")?;
/// let copying = gort::go(move || gort::io::copy(&mut file, &mut writer)); // no byte of it comes up to the program
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert!(text.starts_with("[package]"));
/// assert_eq!(copying.join().unwrap()?, text.len() as u64);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let done = by_kernel(reader, writer, Location::caller())?;
    match done {
        (Ending::Over, done) => Ok(done),
        (Ending::Refused, done) => Ok(done + io::copy(reader, writer)?),
    }
}

fn by_kernel<R: ?Sized, W: ?Sized>(
    reader: &mut R,
    writer: &mut W,
    site: &'static Location<'static>,
) -> io::Result<(Ending, u64)> {
    let Some(to) = ends::end_of(writer) else { return Ok((Ending::Refused, 0)) };
    if let Some(reader) = ends::limited(reader) {
        let mut copy = Copy::new(reader.limit(), site);
        let outcome = copy.run(&reader.end(), &to.end());
        reader.set_limit(copy.left);
        return Ok((outcome?, copy.done));
    }
    let Some(from) = ends::end_of(reader) else { return Ok((Ending::Refused, 0)) };
    let mut copy = Copy::new(u64::MAX, site);
    Ok((copy.run(&from.end(), &to.end())?, copy.done))
}

/// A connection of which each way can be ended by itself, for [`copy_bidirectional`]. Sealed.
pub trait Connection: sealed::Sealed + Sync {
    /// Copies from this connection to `to`, as [`copy`].
    #[doc(hidden)]
    fn copy_to(&self, to: &impl Connection) -> io::Result<u64>;

    /// The connection as a writer.
    #[doc(hidden)]
    fn writer(&self) -> impl Write;

    /// Ends a way, or both.
    #[doc(hidden)]
    fn end(&self, how: Shutdown) -> io::Result<()>;
}

mod sealed {
    /// No other crate can name it.
    pub trait Sealed {}
}

macro_rules! connections {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}
        impl Connection for $type {
            #[track_caller]
            fn copy_to(&self, to: &impl Connection) -> io::Result<u64> {
                copy(&mut { self }, &mut to.writer())
            }

            fn writer(&self) -> impl Write {
                self
            }

            fn end(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }
        }
    )*};
}

connections!(TcpStream, UnixStream, super::DuplexStream);

/// Copies from `a` to `b` and from `b` to `a` at once, until both have come to their ends, and says how many bytes went which way. The end of one way is
/// passed on: the other connection is shut down for writing, and its own way goes on. What a proxy does.
///
/// An error of one way ends the other as well: both connections are shut down. The second way is a goroutine of its own.
///
/// # Errors
/// That of the way that has failed first, as [`copy`]; and if no goroutine can be started.
///
/// # Examples
/// ```
/// use gort::io::{copy_bidirectional, duplex};
/// use gort::net::Shutdown;
/// use std::io::{Read, Write};
///
/// let ((mut client, near), (far, mut server)) = (duplex(), duplex());
/// let proxy = gort::go(move || copy_bidirectional(&near, &far));
/// let serving = gort::go(move || -> std::io::Result<()> {
///     let mut question = String::new();
///     server.read_to_string(&mut question)?;
///     server.write_all(question.to_uppercase().as_bytes())
/// });
/// client.write_all(b"hello")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "HELLO");
/// serving.join().unwrap()?;
/// assert_eq!(proxy.join().unwrap()?, (5, 5));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy_bidirectional(a: &impl Connection, b: &impl Connection) -> io::Result<(u64, u64)> {
    scope(|s| {
        let there = crate::Builder::new().spawn_scoped(s, || one_way(a, b))?;
        let back = one_way(b, a);
        let there = there.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        // One that has failed has ended the other, which then says that it was ended, or nothing at all.
        match (there, back) {
            (Ok(there), Ok(back)) => Ok((there, back)),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            (Err(there), Err(back)) if there.kind() == io::ErrorKind::BrokenPipe => Err(back),
            (Err(there), Err(_)) => Err(there),
        }
    })
}

#[track_caller]
fn one_way(from: &impl Connection, to: &impl Connection) -> io::Result<u64> {
    let copied = from.copy_to(to);
    if copied.is_ok() {
        // It may be gone already: then the other way says so.
        let _ = to.end(Shutdown::Write);
    } else {
        let _ = from.end(Shutdown::Both);
        let _ = to.end(Shutdown::Both);
    }
    copied
}
