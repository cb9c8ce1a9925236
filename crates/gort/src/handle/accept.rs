//! Accepting, and what to do when there is no room for another connection.
//!
//! Out of descriptors or memory, accept fails while the connection stays in the queue, and no event will tell when there is room again. So it
//! is tried again after a pause of 5 ms, then twice as long each time, up to a second. The pause is a wait on the listener's reading side: a
//! deadline or a close ends it. Whoever else accepts on this listener queues meanwhile, so there is one such pause for each listener.
//!
//! The kernel asks for a free fd number before it looks for a connection. So that a listener without a connection waits for one, and does not
//! knock every second in a process that is full, the queue is looked at before a failure counts.
//!
//! Source: Go `net/http` (the pauses).

use super::Handle;
use super::op::Held;
use super::patience::Pauses;
use crate::context::ambient;
use crate::netpoll::Side;
use crate::sys::raw::Errno;
use crate::sys::socket as sys;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;

const FIRST_PAUSE_NS: u64 = 5_000_000;
const LONGEST_PAUSE_NS: u64 = 1_000_000_000;

impl Handle {
    /// Takes a connection. `no_room` is told each time a connection must wait because the process or the system has no room for it.
    pub(crate) fn accept<A: sys::Address>(
        &self,
        site: &'static Location<'static>,
        no_room: impl Fn(&io::Error),
    ) -> io::Result<(OwnedFd, A)> {
        let me = crate::spawn::wait_record();
        // A runtime that is being shut down takes no more connections, also if one waits.
        ambient::Root::look()?;
        let mut held = Held::take(self.desc(), Side::Read, me, site)?;
        let mut pauses = Pauses::new(FIRST_PAUSE_NS, LONGEST_PAUSE_NS);
        loop {
            let error = match held.run(super::owned::counted(me, |fd| accept(fd, self.desc().shared.load(Relaxed)))) {
                Err(error) if is_no_room(&error) && !held.is_nonblocking() => error,
                outcome => return outcome,
            };
            no_room(&error);
            pauses.pause(&mut held)?;
        }
    }
}

fn accept<A: sys::Address>(fd: i32, is_shared: bool) -> Result<(OwnedFd, A), Errno> {
    // Others may have put it into blocking mode, and no flag of this call's keeps it from waiting.
    if is_shared && sys::poll(fd, libc::POLLIN, Some(0))? == 0 {
        return Err(Errno::AGAIN);
    }
    match sys::accept(fd) {
        // The peer gave up while it was in the queue; the next one may be fine.
        Err(Errno::CONNABORTED) => Err(Errno::INTR),
        Err(Errno::MFILE | Errno::NFILE) if sys::poll(fd, libc::POLLIN, Some(0)) == Ok(0) => Err(Errno::AGAIN),
        outcome => outcome,
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
