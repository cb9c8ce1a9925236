//! The set of open connections: to end them in order, and to count what they did.
//!
//! A connection counts into words of its own, which only its goroutine or thread writes, so counting costs no shared cache line;
//! the sums are made when somebody asks.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections being served.
#[derive(Debug)]
pub struct OpenSet<S> {
    state: Mutex<State<S>>,
    empty: Condvar,
}

#[derive(Debug)]
struct State<S> {
    open: HashMap<u64, Arc<Connection<S>>>,
    ended: Sums,
    accepted: u64,
    closing: bool,
}

/// A stream that counts.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    bytes: AtomicU64,
    calls: AtomicU64,
}

/// What connections did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Connections ever entered.
    pub connections: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Calls of `read` and `write`.
    pub calls: u64,
}

/// Membership of one connection; ends when dropped.
pub struct Entry<S> {
    set: Arc<OpenSet<S>>,
    connection: Arc<Connection<S>>,
    number: u64,
}

impl<S> OpenSet<S> {
    /// No connections yet.
    pub fn new() -> Arc<Self> {
        let state = State { open: HashMap::new(), ended: Sums::default(), accepted: 0, closing: false };
        Arc::new(OpenSet { state: Mutex::new(state), empty: Condvar::new() })
    }

    /// Adds a connection; `None` if the set is being closed.
    pub fn enter(self: &Arc<Self>, stream: S) -> Option<Entry<S>> {
        let mut state = self.lock();
        if state.closing {
            return None;
        }
        let number = state.accepted;
        let connection = Arc::new(Connection { stream, bytes: AtomicU64::new(0), calls: AtomicU64::new(0) });
        state.accepted += 1;
        state.open.insert(number, connection.clone());
        drop(state);
        Some(Entry { set: self.clone(), connection, number })
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        self.lock().open.len() as u64
    }

    /// Sums over all connections, open and ended.
    pub fn sums(&self) -> Sums {
        let state = self.lock();
        let mut sums = Sums { connections: state.accepted, ..state.ended };
        state.open.values().for_each(|connection| connection.add_to(&mut sums));
        sums
    }

    /// Lets nobody in any more, applies `end` to every stream and waits until all have left; false if some did not in time.
    pub fn close(&self, end: impl Fn(&S), patience: Duration) -> bool {
        let mut state = self.lock();
        state.closing = true;
        state.open.values().for_each(|connection| end(&connection.stream));
        let (state, _) = self
            .empty
            .wait_timeout_while(state, patience, |state| !state.open.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.open.is_empty()
    }

    // Nothing in here can panic half-way, so a poisoned lock still guards whole data.
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Connection<S> {
    fn add_to(&self, sums: &mut Sums) {
        // Relaxed: statistics; no other data hangs on them.
        sums.bytes += self.bytes.load(Relaxed);
        sums.calls += self.calls.load(Relaxed);
    }

    fn called<T>(&self, result: io::Result<T>, bytes: impl Fn(&T) -> usize) -> io::Result<T> {
        // Relaxed, and no read-modify-write: only the one that serves this connection writes these words.
        self.calls.store(self.calls.load(Relaxed) + 1, Relaxed);
        if let Ok(done) = &result {
            self.bytes.store(self.bytes.load(Relaxed) + bytes(done) as u64, Relaxed);
        }
        result
    }
}

impl<S> Read for &Connection<S>
where
    for<'a> &'a S: Read,
{
    // A goroutine that waits in here is shown as waiting where this was called, in `echo`.
    #[track_caller]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.called((&self.stream).read(buffer), |_| 0)
    }
}

impl<S> Write for &Connection<S>
where
    for<'a> &'a S: Write,
{
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.called((&self.stream).write(bytes), |&n| n)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.called((&self.stream).write_vectored(parts), |&n| n)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.stream).flush()
    }
}

impl<S> Deref for Entry<S> {
    type Target = Connection<S>;

    fn deref(&self) -> &Connection<S> {
        &self.connection
    }
}

impl<S> Drop for Entry<S> {
    fn drop(&mut self) {
        let mut state = self.set.lock();
        state.open.remove(&self.number);
        self.connection.add_to(&mut state.ended);
        if state.open.is_empty() {
            self.set.empty.notify_all();
        }
    }
}

impl<S> fmt::Debug for Entry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("number", &self.number).finish_non_exhaustive()
    }
}
