//! What holds for every kind of stream: the same body over TCP, Unix sockets, pipes of the system and pipes in memory.
//!
//! A write to a pipe in memory returns when its bytes have been read. So whoever writes here does so beside whoever reads.

mod data;
mod ends;
mod limits;
mod together;

use gort::io::{DuplexStream, PipeReader, PipeWriter};
use gort::net::{Shutdown, TcpStream, UnixStream};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::{Duration, Instant};

/// One end of a connection.
pub(crate) trait End: Sized + Send + Sync {
    /// How a dump shows one who reads.
    const READS: &'static str = "IO wait, read";
    /// How a dump shows one who writes.
    const WRITES: &'static str = "IO wait, write";

    fn pair() -> (Self, Self);
    /// With small buffers, so that few writes fill them.
    fn narrow_pair() -> (Self, Self);
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
    fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()>;
    fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()>;
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
    fn close(&self) -> io::Result<()>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    /// Asks for addresses, where there are some.
    fn ask(&self) {}
    /// Takes the descriptor out and back in.
    fn reopen(self) -> Self;
    /// Writes until no more is taken without somebody who reads; says how much was.
    fn fill(&self) -> usize;

    fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.set_read_deadline(deadline)?;
        self.set_write_deadline(deadline)
    }

    fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        Bytes(self).read_exact(buf)
    }

    fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Bytes(self).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        Bytes(self).write_all(buf)
    }
}

/// An end with the traits of std.
pub(crate) struct Bytes<'a, E>(pub(crate) &'a E);

impl<E: End> Read for Bytes<'_, E> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<E: End> Write for Bytes<'_, E> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fill(set_nonblocking: impl Fn(bool) -> io::Result<()>, write: impl Fn() -> io::Result<usize>) -> usize {
    set_nonblocking(true).unwrap();
    let mut total = 0;
    let error = loop {
        match write() {
            Ok(n) => total += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    set_nonblocking(false).unwrap();
    total
}

/// What all types of gort's have.
macro_rules! common {
    () => {
        fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
            Read::read(&mut &*self, buf)
        }

        fn write(&self, buf: &[u8]) -> io::Result<usize> {
            Write::write(&mut &*self, buf)
        }

        fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
            self.set_read_deadline(deadline)
        }

        fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
            self.set_write_deadline(deadline)
        }

        fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
            self.set_deadline(deadline)
        }

        fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.set_read_timeout(timeout)
        }

        fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.set_write_timeout(timeout)
        }

        fn close(&self) -> io::Result<()> {
            self.close()
        }

        fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            self.shutdown(how)
        }
    };
}

/// And sockets.
macro_rules! socket {
    ($type:ty) => {
        common!();

        fn ask(&self) {
            self.local_addr().unwrap();
            self.peer_addr().unwrap();
        }

        fn reopen(self) -> Self {
            // SAFETY: the fd was just given to us.
            unsafe { <$type>::from_raw_fd(self.into_raw_fd()) }
        }

        fn fill(&self) -> usize {
            fill(|on| self.set_nonblocking(on), || Write::write(&mut &*self, &[0x55; 4096]))
        }
    };
}

impl End for TcpStream {
    fn pair() -> (Self, Self) {
        super::support::pair()
    }

    fn narrow_pair() -> (Self, Self) {
        super::support::narrow_pair()
    }

    socket!(TcpStream);
}

impl End for UnixStream {
    fn pair() -> (Self, Self) {
        UnixStream::pair().unwrap()
    }

    fn narrow_pair() -> (Self, Self) {
        let (near, far) = UnixStream::pair().unwrap();
        for end in [&near, &far] {
            end.set_send_buffer_size(8192).unwrap();
        }
        (near, far)
    }

    socket!(UnixStream);
}

impl End for DuplexStream {
    const READS: &'static str = "sync.Cond.Wait";
    const WRITES: &'static str = "sync.Cond.Wait";

    fn pair() -> (Self, Self) {
        gort::io::duplex()
    }

    fn narrow_pair() -> (Self, Self) {
        gort::io::duplex()
    }

    common!();

    fn reopen(self) -> Self {
        unreachable!("it has no descriptor")
    }

    fn fill(&self) -> usize {
        0
    }
}

/// Two pipes of the system in opposite directions.
pub(crate) struct Pipes {
    reader: PipeReader,
    writer: PipeWriter,
}

impl End for Pipes {
    fn pair() -> (Self, Self) {
        let ((here, there), (far, near)) = (gort::io::pipe().unwrap(), gort::io::pipe().unwrap());
        (Self { reader: here, writer: near }, Self { reader: far, writer: there })
    }

    fn narrow_pair() -> (Self, Self) {
        Self::pair()
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.reader).read(buf)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        (&self.writer).write(buf)
    }

    fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.reader.set_read_deadline(deadline)
    }

    fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.writer.set_write_deadline(deadline)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.reader.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.writer.set_write_timeout(timeout)
    }

    fn close(&self) -> io::Result<()> {
        self.writer.close()?;
        self.reader.close()
    }

    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        unreachable!("pipes are closed")
    }

    fn reopen(self) -> Self {
        // SAFETY: the descriptors were just given to us.
        unsafe {
            Self {
                reader: PipeReader::from_raw_fd(self.reader.into_raw_fd()),
                writer: PipeWriter::from_raw_fd(self.writer.into_raw_fd()),
            }
        }
    }

    fn fill(&self) -> usize {
        fill(|on| self.writer.set_nonblocking(on), || (&self.writer).write(&[0x55; 4096]))
    }
}

/// Sends four bytes there, and four back.
pub(crate) fn round_trip<E: End>(a: &E, b: &E) {
    for (from, to, text) in [(a, b, b"ping"), (b, a, b"pong")] {
        let mut buf = [0; 4];
        gort::scope(|s| {
            s.spawn(|| from.write_all(text).unwrap());
            to.read_exact(&mut buf).unwrap();
        });
        assert_eq!(&buf, text);
    }
}

/// Makes a test of each of the functions for each of the kinds.
macro_rules! for_kinds {
    ($($name:ident: $kind:ty),*; $functions:tt) => {$(
        mod $name {
            #[allow(unused_imports)]
            use crate::kinds::{for_functions, Pipes};
            #[allow(unused_imports)]
            use gort::{io::DuplexStream, net::{TcpStream, UnixStream}};
            for_functions!($kind; $functions);
        }
    )*};
}

macro_rules! for_functions {
    ($kind:ty; [$($function:ident),* $(,)?]) => {$(
        #[gort::test(procs = [1, 2, 4])]
        fn $function() {
            super::$function::<$kind>();
        }
    )*};
}

pub(crate) use {for_functions, for_kinds};
