//! From names to addresses, and several addresses in turn.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Resolves `addr`, marked as blocking: the system's resolver reads files and waits for servers.
pub(super) fn resolve<A: ToSocketAddrs>(addr: &A) -> io::Result<A::Iter> {
    crate::blocking(|| addr.to_socket_addrs())
}

/// The first success of `attempt` over `addrs`.
///
/// # Errors
/// All failures in one error, of the last one's kind (as std, which returns the last one). `what` says what was tried, as in "connect to".
pub(super) fn first_success<T>(
    what: &'static str,
    addrs: impl Iterator<Item = SocketAddr>,
    attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    try_each(addrs, attempt).map_err(|failures| all_failed(what, failures))
}

/// The first success of `attempt` over `addrs`, or how each of them failed.
pub(super) fn try_each<T>(
    addrs: impl Iterator<Item = SocketAddr>,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> Result<T, Vec<(String, io::Error)>> {
    let mut failures = Vec::new();
    for addr in addrs {
        match attempt(addr) {
            Ok(success) => return Ok(success),
            Err(error) => failures.push((addr.to_string(), error)),
        }
    }
    Err(failures)
}

/// One error for all that was tried, of the last failure's kind.
pub(super) fn all_failed(what: &'static str, failures: Vec<(String, io::Error)>) -> io::Error {
    match failures.last() {
        Some((_, last)) => io::Error::new(last.kind(), Failures { what, failures }),
        None => io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses"),
    }
}

/// The error of one attempt, with what was tried.
pub(super) fn failed(what: &'static str, name: impl fmt::Display, error: io::Error) -> io::Error {
    all_failed(what, vec![(name.to_string(), error)])
}

/// What was tried and how each attempt failed; the source is the last failure, with the system's error number.
struct Failures {
    what: &'static str,
    failures: Vec<(String, io::Error)>,
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} ", self.what)?;
        for (at, (addr, error)) in self.failures.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{addr}: {error}")?;
        }
        Ok(())
    }
}

/// What a `main` that returns the error prints: the sentence, not the fields.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failures {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.last().map(|(_, error)| error as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn addresses_are_tried_in_turn_until_one_works() {
        let mut tried = Vec::new();
        let found = first_success("connect to", (1..=9).map(addr), |addr| {
            tried.push(addr.port());
            if addr.port() == 3 { Ok("there") } else { Err(io::ErrorKind::ConnectionRefused.into()) }
        });
        assert_eq!(found.unwrap(), "there");
        assert_eq!(tried, [1, 2, 3]);
    }

    #[test]
    fn the_error_names_every_address_and_is_of_the_last_ones_kind() {
        let errnos = [libc::ECONNREFUSED, libc::ETIMEDOUT];
        let error = first_success::<()>("connect to", (1..=2).map(addr), |addr| {
            Err(io::Error::from_raw_os_error(errnos[usize::from(addr.port()) - 1]))
        })
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to 127.0.0.1:1: Connection refused"), "{text}");
        assert!(text.contains("; 127.0.0.1:2: "), "{text}");
        let source = error.get_ref().and_then(Error::source).and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::ETIMEDOUT));
    }

    #[test]
    fn no_address_is_an_error_of_its_own() {
        let error = first_success::<()>("listen on", std::iter::empty(), |_| unreachable!()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
