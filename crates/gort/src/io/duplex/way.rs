//! One direction of a pipe in memory: a writer offers bytes, readers take them, and the writer waits until all are taken.
//!
//! One writer at a time has the turn, from the first of its bytes to the last: so writes do not mix. Bytes are copied to where readers find them, in
//! pieces of [`PIECE`] at most: a writer that gives up takes back what is left of its piece, under the lock, so that nothing is read later that it has
//! reported as not written.
//!
//! All who wait are told of a change, not one: one that is told may find its time over, and go.
//!
//! Everything is looked at again after each wait, in the order that descriptors have: closed, the context, the deadline, then the bytes.

use crate::context::{self, Bound, ambient};
use crate::netpoll::Side;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::sys::clock;
use crate::timer::NEVER;
use crate::wait::Caller;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

const PIECE: usize = 64 << 10;

/// How an end was closed.
#[derive(Clone)]
pub(super) enum Closed {
    End,
    Error(Arc<io::Error>),
}

/// Limits of one side, in ns of the monotonic clock.
#[derive(Default)]
struct Limits {
    deadline_ns: Option<u64>,
    timeout_ns: Option<u64>,
}

struct State {
    /// What is offered.
    bytes: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
    /// A writer has the turn.
    is_writing: bool,
    read: Limits,
    write: Limits,
    /// The reader's end was closed, and how.
    reader: Option<Closed>,
    /// The writer's end was.
    writer: Option<Closed>,
    /// The reader's end takes no more bytes.
    is_reading_shut: bool,
    /// The writer's end gives no more.
    is_writing_shut: bool,
}

pub(super) struct Way {
    state: Mutex<State>,
    /// For readers: there are bytes.
    offered: Condvar,
    /// For the writer that has the turn: all are taken.
    taken: Condvar,
    /// For other writers: there is the turn.
    turn: Condvar,
}

/// One call of one side.
struct Call {
    caller: Caller,
    side: Side,
    timeout_at_ns: u64,
}

impl Way {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                bytes: Vec::new(),
                taken: 0,
                is_writing: false,
                read: Limits::default(),
                write: Limits::default(),
                reader: None,
                writer: None,
                is_reading_shut: false,
                is_writing_shut: false,
            }),
            offered: Condvar::new(),
            taken: Condvar::new(),
            turn: Condvar::new(),
        }
    }

    #[track_caller]
    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (call, mut state) = self.begin(Side::Read);
        loop {
            let until_ns = state.check(&call)?;
            if buf.is_empty() || state.is_reading_shut {
                return Ok(0);
            }
            let left = &state.bytes[state.taken..];
            if !left.is_empty() {
                let count = left.len().min(buf.len());
                buf[..count].copy_from_slice(&left[..count]);
                state.taken += count;
                if state.taken == state.bytes.len() {
                    self.taken.notify_one();
                }
                return Ok(count);
            }
            match &state.writer {
                Some(Closed::Error(error)) => return Err(theirs(error)),
                Some(Closed::End) => return Ok(0),
                None if state.is_writing_shut => return Ok(0),
                None => state = self.wait(&self.offered, state, &call, until_ns),
            }
        }
    }

    #[track_caller]
    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let (call, mut state) = self.begin(Side::Write);
        loop {
            let until_ns = state.check_writing(&call)?;
            if buf.is_empty() {
                return Ok(0);
            }
            if !state.is_writing {
                break;
            }
            state = self.wait(&self.turn, state, &call, until_ns);
        }
        state.is_writing = true;
        let mut written = 0;
        let outcome = loop {
            if written == buf.len() {
                break Ok(());
            }
            let piece = &buf[written..][..PIECE.min(buf.len() - written)];
            state.bytes.clear();
            state.bytes.extend_from_slice(piece);
            state.taken = 0;
            self.offered.notify_all();
            let outcome;
            (state, outcome) = self.wait_until_taken(state, &call);
            written += state.taken;
            state.bytes.clear();
            state.taken = 0;
            if outcome.is_err() {
                break outcome;
            }
        };
        state.is_writing = false;
        self.turn.notify_all();
        match outcome {
            Err(error) if written == 0 => Err(error),
            _ => Ok(written),
        }
    }

    fn wait_until_taken<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        call: &Call,
    ) -> (MutexGuard<'a, State>, io::Result<()>) {
        while state.taken < state.bytes.len() {
            match state.check_writing(call) {
                Ok(until_ns) => state = self.wait(&self.taken, state, call, until_ns),
                Err(error) => return (state, Err(error)),
            }
        }
        (state, Ok(()))
    }

    #[track_caller]
    fn begin(&self, side: Side) -> (Call, MutexGuard<'_, State>) {
        let caller = Caller::begin();
        let mut state = self.lock();
        let timeout_ns = state.limits(side).timeout_ns;
        let timeout_at_ns = timeout_ns.map_or(NEVER, |timeout_ns| clock::now_ns().saturating_add(timeout_ns));
        (Call { caller, side, timeout_at_ns }, state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, until `until_ns` or the end of the ambient context at most.
    fn wait<'a>(
        &self,
        change: &Condvar,
        state: MutexGuard<'a, State>,
        call: &Call,
        until_ns: u64,
    ) -> MutexGuard<'a, State> {
        let context = context::current();
        let bound = Bound::ctx(&context).and_at(until_ns);
        change.wait_within(state, bound, call.caller).unwrap_or_else(PoisonError::into_inner).0
    }

    fn tell_all(&self) {
        for change in [&self.offered, &self.taken, &self.turn] {
            change.notify_all();
        }
    }

    /// Changes something of a side that is not closed, and makes whoever waits look again.
    fn change(&self, side: Side, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.lock();
        state.check_open(side)?;
        change(&mut state);
        drop(state);
        self.tell_all();
        Ok(())
    }

    pub(super) fn close_reading(&self, how: Closed) -> io::Result<()> {
        self.change(Side::Read, |state| state.reader = Some(how))
    }

    pub(super) fn close_writing(&self, how: Closed) -> io::Result<()> {
        self.change(Side::Write, |state| state.writer = Some(how))
    }

    pub(super) fn shut_reading(&self) -> io::Result<()> {
        self.change(Side::Read, |state| state.is_reading_shut = true)
    }

    pub(super) fn shut_writing(&self) -> io::Result<()> {
        self.change(Side::Write, |state| state.is_writing_shut = true)
    }

    pub(super) fn set_deadline(&self, side: Side, deadline: Option<Instant>) -> io::Result<()> {
        self.change(side, |state| state.limits(side).deadline_ns = deadline.map(clock::deadline_ns))
    }

    pub(super) fn set_timeout(&self, side: Side, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        self.change(side, |state| state.limits(side).timeout_ns = timeout.map(clock::nanos))
    }

    pub(super) fn timeout(&self, side: Side) -> io::Result<Option<Duration>> {
        let mut state = self.lock();
        state.check_open(side)?;
        Ok(state.limits(side).timeout_ns.map(Duration::from_nanos))
    }
}

impl State {
    fn limits(&mut self, side: Side) -> &mut Limits {
        match side {
            Side::Read => &mut self.read,
            Side::Write => &mut self.write,
        }
    }

    /// An error if the end of this side was closed by its owner.
    fn check_open(&self, side: Side) -> io::Result<()> {
        let closed = match side {
            Side::Read => &self.reader,
            Side::Write => &self.writer,
        };
        match closed {
            None => Ok(()),
            Some(_) => Err(io::Error::new(io::ErrorKind::NotConnected, "this end of the pipe was closed")),
        }
    }

    /// An error if the call has to end, whatever there is to read or write; else when it has to.
    fn check(&mut self, call: &Call) -> io::Result<u64> {
        self.check_open(call.side)?;
        ambient::check()?;
        let deadline_ns = self.limits(call.side).deadline_ns.unwrap_or(NEVER).min(call.timeout_at_ns);
        if deadline_ns != NEVER && clock::now_ns() >= deadline_ns {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(deadline_ns)
    }

    /// The same for a writer, whose bytes may find nobody.
    fn check_writing(&mut self, call: &Call) -> io::Result<u64> {
        let until_ns = self.check(call)?;
        match &self.reader {
            Some(Closed::Error(error)) => Err(theirs(error)),
            Some(Closed::End) => Err(io::ErrorKind::BrokenPipe.into()),
            None if self.is_reading_shut || self.is_writing_shut => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(until_ns),
        }
    }
}

/// An error that the other end has closed with. It may be asked for many times.
fn theirs(error: &Arc<io::Error>) -> io::Error {
    io::Error::new(error.kind(), Theirs(error.clone()))
}

#[derive(Debug)]
struct Theirs(Arc<io::Error>);

impl fmt::Display for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Theirs {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
