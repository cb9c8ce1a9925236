//! Many datagrams at once.

use crate::net::SocketAddr;
use crate::sys::socket as sys;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::ops::Range;

/// Datagrams that were received at once, or are to be sent at once: see [`UdpSocket::recv_batch`](super::UdpSocket::recv_batch).
///
/// It has room for so many, of so many bytes each, allocates that when it is made, and nothing later.
///
/// # Examples
/// ```
/// use gort::net::Batch;
///
/// let mut batch = Batch::new(2, 8);
/// batch.push(b"first", "127.0.0.1:9".parse::<std::net::SocketAddr>().unwrap())?;
/// batch.push(b"second", None)?; // to wherever the socket is connected to
/// assert_eq!(batch.len(), 2);
/// assert!(batch.push(b"third", None).is_err(), "there is no room");
/// assert!(batch.iter().all(|datagram| !datagram.is_truncated));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Batch {
    pub(super) datagrams: sys::Datagrams,
    /// Those in it.
    begin: usize,
    end: usize,
}

/// One datagram of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// What is in it.
    pub bytes: &'a [u8],
    /// Where it comes from, or goes to; `None` for wherever the socket is connected to.
    pub addr: Option<SocketAddr>,
    /// It was longer than there was room in the batch, and the rest is lost.
    pub is_truncated: bool,
}

impl Batch {
    /// Room for `most` datagrams of `each` bytes. The system handles 1024 at once.
    ///
    /// # Panics
    /// If `most` is 0, or there is not so much memory.
    ///
    /// # Examples
    /// ```
    /// let batch = gort::net::Batch::new(64, 1500);
    /// assert_eq!((batch.capacity(), batch.len()), (64, 0));
    /// ```
    #[must_use]
    pub fn new(most: usize, each: usize) -> Self {
        assert!(most > 0, "Batch::new: a batch for 0 datagrams could never receive one");
        Self { datagrams: sys::Datagrams::new(most, each), begin: 0, end: 0 }
    }

    /// Adds a datagram to be sent. Without an address it goes to wherever the socket is connected to.
    ///
    /// # Errors
    /// `InvalidInput` if the batch is full, or the datagram longer than there is room for each.
    ///
    /// # Examples
    /// See [`Batch`].
    pub fn push(&mut self, bytes: &[u8], addr: impl Into<Option<SocketAddr>>) -> io::Result<()> {
        let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if self.end == self.datagrams.most() {
            return invalid(format!("the batch is full, with {} datagrams", self.len()));
        }
        if bytes.len() > self.datagrams.each() {
            return invalid(format!(
                "a datagram of {} bytes, and the batch has room for {} each",
                bytes.len(),
                self.datagrams.each()
            ));
        }
        self.datagrams.put(self.end, bytes, addr.into());
        self.end += 1;
        Ok(())
    }

    /// How many are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.begin
    }

    /// True if none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begin == self.end
    }

    /// How many it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.datagrams.most()
    }

    /// Drops what is in it.
    ///
    /// # Examples
    /// ```
    /// let mut batch = gort::net::Batch::new(1, 8);
    /// batch.push(b"old", None)?;
    /// batch.clear();
    /// assert!(batch.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clear(&mut self) {
        (self.begin, self.end) = (0, 0);
    }

    /// Drops the first one: after an error of [`send_batch`](super::UdpSocket::send_batch) other than `ConnectionRefused`, the one that the error is
    /// about.
    ///
    /// # Examples
    /// ```
    /// let mut batch = gort::net::Batch::new(2, 8);
    /// batch.push(b"first", None)?;
    /// batch.push(b"second", None)?;
    /// batch.skip_first();
    /// assert_eq!(batch.iter().next().unwrap().bytes, b"second");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn skip_first(&mut self) {
        if !self.is_empty() {
            self.set_sent(1);
        }
    }

    /// Those in it, in order.
    ///
    /// # Examples
    /// See [`UdpSocket::recv_batch`](super::UdpSocket::recv_batch).
    pub fn iter(&self) -> Datagrams<'_> {
        Datagrams { batch: self, left: self.left() }
    }

    pub(super) fn left(&self) -> Range<usize> {
        self.begin..self.end
    }

    pub(super) fn set_received(&mut self, count: usize) {
        (self.begin, self.end) = (0, count);
    }

    pub(super) fn set_sent(&mut self, count: usize) {
        self.begin += count;
        if self.is_empty() {
            self.clear();
        }
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Datagram<'a>;
    type IntoIter = Datagrams<'a>;

    fn into_iter(self) -> Datagrams<'a> {
        self.iter()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The datagrams of a [`Batch`]: made by [`Batch::iter`].
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Datagrams<'a> {
    batch: &'a Batch,
    left: Range<usize>,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        let datagrams = &self.batch.datagrams;
        self.left.next().map(|at| Datagram {
            bytes: datagrams.bytes(at),
            addr: datagrams.addr(at),
            is_truncated: datagrams.is_truncated(at),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Datagrams<'_> {}
impl FusedIterator for Datagrams<'_> {}
