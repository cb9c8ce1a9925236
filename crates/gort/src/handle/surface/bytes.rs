//! `Read` and `Write`, for a value and for a reference to it.

/// Reads by `$read` and `$read_vectored`, system calls that take an fd and where to put the bytes.
macro_rules! readable {
    ($type:ident, $read:path, $read_vectored:path) => {
        impl std::io::Read for &$type {
            #[inline]
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                if buf.is_empty() {
                    return self.handle.with_fd(|_| Ok(0));
                }
                self.handle.read(buf.len().min($crate::handle::MOST_AT_ONCE), std::panic::Location::caller(), |fd| {
                    $read(fd, buf)
                })
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                let wanted: usize = bufs.iter().take($crate::sys::socket::MAX_PIECES).map(|buf| buf.len()).sum();
                if wanted == 0 {
                    return self.handle.with_fd(|_| Ok(0));
                }
                self.handle.read(wanted.min($crate::handle::MOST_AT_ONCE), std::panic::Location::caller(), |fd| {
                    $read_vectored(fd, bufs)
                })
            }

            // As std's, but a dump shows the caller's line.
            #[track_caller]
            fn read_exact(&mut self, mut buf: &mut [u8]) -> std::io::Result<()> {
                while !buf.is_empty() {
                    match self.read(buf)? {
                        0 => return Err($crate::handle::ended_early()),
                        n => buf = &mut buf[n..],
                    }
                }
                Ok(())
            }
        }

        impl std::io::Read for $type {
            #[inline]
            #[track_caller]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            #[track_caller]
            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }

            #[track_caller]
            fn read_exact(&mut self, buf: &mut [u8]) -> std::io::Result<()> {
                (&*self).read_exact(buf)
            }
        }
    };
}

/// Writes by `$write` and `$write_vectored`, system calls that take an fd and where the bytes are.
macro_rules! writable {
    ($type:ident, $write:path, $write_vectored:path) => {
        impl std::io::Write for &$type {
            #[inline]
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.handle.write(std::panic::Location::caller(), |fd| $write(fd, buf))
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.handle.write(std::panic::Location::caller(), |fd| $write_vectored(fd, bufs))
            }

            // As std's, but a dump shows the caller's line.
            #[track_caller]
            fn write_all(&mut self, mut buf: &[u8]) -> std::io::Result<()> {
                while !buf.is_empty() {
                    match self.write(buf)? {
                        0 => return Err($crate::handle::took_nothing()),
                        n => buf = &buf[n..],
                    }
                }
                Ok(())
            }

            /// Does nothing: nothing is kept back.
            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Write for $type {
            #[inline]
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            #[track_caller]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> std::io::Result<()> {
                (&*self).write_all(buf)
            }

            /// Does nothing: nothing is kept back.
            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(crate) use {readable, writable};
