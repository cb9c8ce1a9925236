//! Connecting to a name: several addresses, of two families, one of which may be dead.
//!
//! The addresses of the family that the resolver names first are tried one after the other. If that has not succeeded after a while, or has failed,
//! those of the other family are tried beside them, one after the other. The first connection wins, and the rest ends: a context of their own is
//! cancelled, and the scope waits until every attempt has let go of its descriptor.
//!
//! Source: RFC 6555 and Go's `net.Dialer` (two families, a delay, an equal share of the time for each address).

use super::resolve::{all_failed, try_each};
use super::{SocketAddr, TcpStream, lookup_host};
use crate::{chan, context};
use std::io;
use std::panic::Location;
use std::time::{Duration, Instant};

/// An address behind others gets at least this long, if the deadline allows.
const LEAST_PER_ADDRESS: Duration = Duration::from_secs(2);

/// How long the first family is alone.
const FALLBACK_DELAY: Duration = Duration::from_millis(200);

/// How to connect to a name, for what [`TcpStream::connect`] does not ask: limits that hold for the look-up, too, and two families of addresses side by
/// side.
///
/// # Examples
/// ```
/// use gort::net::Dialer;
/// use std::time::Duration;
///
/// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
/// # let host = &format!("localhost:{}", listener.local_addr()?.port());
/// let stream = Dialer::new().timeout(Duration::from_secs(5)).connect(host)?;
/// # drop(stream);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a dialer does nothing until it connects"]
pub struct Dialer {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    fallback_delay: Option<Duration>,
}

impl Dialer {
    /// One without limits.
    pub fn new() -> Self {
        Self { timeout: None, deadline: None, fallback_delay: Some(FALLBACK_DELAY) }
    }

    /// How long each call may take, look-up included.
    ///
    /// # Examples
    /// See [`Dialer`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// When each call ends at the latest, look-up included.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Dialer;
    /// use std::time::Instant;
    ///
    /// let error = Dialer::new().deadline(Instant::now()).connect("127.0.0.1:9").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// ```
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long the family of addresses that the resolver names first is tried alone. 200 ms if nothing is said; `None`: until it has failed.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Dialer;
    /// use std::time::Duration;
    ///
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let host = &listener.local_addr()?.to_string();
    /// let stream = Dialer::new().fallback_delay(Some(Duration::from_millis(50))).connect(host)?;
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fallback_delay(mut self, delay: Option<Duration>) -> Self {
        self.fallback_delay = delay;
        self
    }

    /// Connects to `host`, a name or address with a port, as `"localhost:80"`.
    ///
    /// Parks until the first connection stands, all addresses have failed, or the time is over. The end of the ambient [context](crate::context) ends
    /// all attempts. Each address gets an equal share of the time that is left for its family, but 2 seconds at least.
    ///
    /// # Errors
    /// Those of [`lookup_host`]; `TimedOut`, not before the time is up; the context's; else one that names every address tried and why it failed, of
    /// the last failure's kind.
    ///
    /// # Examples
    /// See [`Dialer`].
    #[track_caller]
    pub fn connect(&self, host: &str) -> io::Result<TcpStream> {
        let (site, deadline) = (Location::caller(), self.until());
        let addrs = match deadline {
            None => lookup_host(host)?,
            Some(deadline) => context::current().with_deadline(deadline).0.run(|| lookup_host(host))?,
        };
        self.connect_by(&addrs.collect::<Vec<_>>(), deadline, site)
    }

    /// Connects to one of these addresses, as [`connect`](Dialer::connect) does to those of a name. The first one's family is the one that is tried first.
    ///
    /// # Errors
    /// As [`connect`](Dialer::connect); `InvalidInput` without an address.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// let addrs = [listener.local_addr()?, "[::1]:9".parse().unwrap()];
    /// let stream = gort::net::Dialer::new().connect_to(&addrs)?;
    /// assert_eq!(stream.peer_addr()?, addrs[0]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect_to(&self, addrs: &[SocketAddr]) -> io::Result<TcpStream> {
        self.connect_by(addrs, self.until(), Location::caller())
    }

    /// When a call that begins now has to end.
    fn until(&self) -> Option<Instant> {
        // A time that no clock can show never comes.
        let timeout = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        [self.deadline, timeout].into_iter().flatten().min()
    }

    fn connect_by(
        &self,
        addrs: &[SocketAddr],
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> io::Result<TcpStream> {
        let is_first_family = |addr: &SocketAddr| addr.is_ipv4() == addrs[0].is_ipv4();
        let (first, second): (Vec<_>, Vec<_>) = addrs.iter().copied().partition(is_first_family);
        let outcome = if second.is_empty() {
            one_after_the_other(&first, deadline, site)
        } else {
            self.side_by_side(&first, &second, deadline, site)
        };
        outcome.map_err(|failures| match context::current().err() {
            Some(ended) => ended.into(),
            None => all_failed("connect to", failures),
        })
    }

    fn side_by_side(
        &self,
        first: &[SocketAddr],
        second: &[SocketAddr],
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Outcome {
        let (ctx, cancel) = context::current().with_cancel();
        let (tell, told) = chan::bounded(2);
        let attempt = |addrs| {
            let outcome = ctx.run(|| one_after_the_other(addrs, deadline, site));
            // The receiver is this function's.
            let _ = tell.send(outcome);
        };
        crate::scope(|s| {
            // However this ends, so do the attempts, for which the scope waits.
            let _at_the_end = cancel.on_drop();
            start(s, || attempt(first))?;
            let early = match self.fallback_delay {
                Some(delay) => told.recv_timeout(delay).ok(),
                None => told.recv().ok(),
            };
            let mut failures = match early {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(failures)) => failures,
                None => Vec::new(),
            };
            if let Err(more) = start(s, || attempt(second)) {
                failures.extend(more);
                return Err(failures);
            }
            let outstanding = if failures.is_empty() { 2 } else { 1 };
            for _ in 0..outstanding {
                match told.recv().expect("each attempt says how it went") {
                    Ok(stream) => return Ok(stream),
                    Err(more) => failures.extend(more),
                }
            }
            Err(failures)
        })
    }
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection, or what was tried and how it failed.
type Outcome = Result<TcpStream, Vec<(String, io::Error)>>;

/// Starts an attempt; the runtime may be shut down meanwhile, or be out of stacks.
fn start<'scope>(
    s: &'scope crate::Scope<'scope, '_>,
    attempt: impl FnOnce() + Send + 'scope,
) -> Result<(), Vec<(String, io::Error)>> {
    match crate::Builder::new().spawn_scoped(s, attempt) {
        Ok(_) => Ok(()),
        Err(error) => Err(vec![("(no attempt)".to_owned(), error)]),
    }
}

/// Tries each of the addresses, until `deadline` at most.
pub(super) fn one_after_the_other(
    addrs: &[SocketAddr],
    deadline: Option<Instant>,
    site: &'static Location<'static>,
) -> Outcome {
    let mut left = addrs.len() as u32;
    try_each(addrs.iter().copied(), |addr| {
        let until = deadline.map(|deadline| share(Instant::now(), deadline, left));
        left -= 1;
        TcpStream::connect_by(&addr, until, site)
    })
}

/// When the first of `left` addresses has to be given up: after an equal share of the time that is left, but not before the least for each.
fn share(now: Instant, deadline: Instant, left: u32) -> Instant {
    let share = (deadline.saturating_duration_since(now) / left).max(LEAST_PER_ADDRESS);
    if left == 1 { deadline } else { now.checked_add(share).map_or(deadline, |until| until.min(deadline)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NT-18. The time is shared over the addresses that are left, with a floor of 2 s for each, and never longer than there is.
    #[test]
    fn the_time_that_is_left_is_shared_with_a_floor() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        for (total, left, expected) in
            [(12, 1, 12), (12, 2, 6), (12, 3, 4), (7, 10, 2), (1, 10, 1), (1, 1, 1), (0, 3, 0)]
        {
            assert_eq!(share(now, now + seconds(total), left) - now, seconds(expected), "{total} s for {left}");
        }
        let past = now.checked_sub(seconds(1)).unwrap();
        assert_eq!(share(now, past, 1), past);
        assert_eq!(share(now, past, 2), past);
    }
}
