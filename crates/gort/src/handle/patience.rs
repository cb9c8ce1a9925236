//! Calls that have to be tried again although no event will say when: pauses that grow.
//!
//! A pause is a wait on the side that the call holds: a deadline, a context or a close ends it, and whoever else wants that side queues meanwhile.

use super::Handle;
use super::op::Held;
use crate::netpoll::Side;
use crate::sys::clock;
use crate::sys::raw::Errno;
use std::io;
use std::panic::Location;

/// Pauses, each twice as long as the one before.
pub(super) struct Pauses {
    next_ns: u64,
    longest_ns: u64,
}

impl Pauses {
    pub(super) const fn new(first_ns: u64, longest_ns: u64) -> Self {
        Self { next_ns: first_ns, longest_ns }
    }

    /// Waits for the next one to be over.
    pub(super) fn pause(&mut self, held: &mut Held) -> io::Result<()> {
        held.pause(clock::now_ns().saturating_add(self.next_ns))?;
        self.next_ns = (self.next_ns * 2).min(self.longest_ns);
        Ok(())
    }

    /// The same, but an event ends it: after a try that has failed.
    pub(super) fn pause_or_event(&mut self, held: &mut Held) -> io::Result<()> {
        held.wait_until(clock::now_ns().saturating_add(self.next_ns))?;
        self.next_ns = (self.next_ns * 2).min(self.longest_ns);
        Ok(())
    }
}

/// What a call says that has found no room at the other end. No call of a socket's says so by itself.
pub(crate) const NO_ROOM_THERE: Errno = Errno(libc::EXFULL);

impl Handle {
    /// An operation of the writing side that may find no room at the other end: the queue of a Unix socket that listens, or that receives datagrams
    /// of everybody. The kernel tells nobody when there is some again. `call` answers [`NO_ROOM_THERE`], and is tried again after 1 ms, then twice as
    /// long each time, up to 50 ms.
    pub(crate) fn write_when_room<R>(
        &self,
        site: &'static Location<'static>,
        mut call: impl FnMut(i32) -> Result<R, Errno>,
    ) -> io::Result<R> {
        let me = crate::spawn::wait_record();
        let mut held = Held::take(self.desc(), Side::Write, me, site)?;
        let mut pauses = Pauses::new(1_000_000, 50_000_000);
        loop {
            match held.run(super::owned::counted(me, &mut call)) {
                Err(error) if error.raw_os_error() == Some(NO_ROOM_THERE.0) => {
                    if held.is_nonblocking() {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    pauses.pause_or_event(&mut held)?;
                }
                outcome => return outcome,
            }
        }
    }
}
