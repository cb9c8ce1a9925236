//! Many datagrams by one system call (`sendmmsg`, `recvmmsg`).

use super::{Address, MAX_PIECES, SockAddr};
use crate::sys::raw::{self, Errno};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;

/// Room for some datagrams of a certain length at most, and the headers that the kernel wants. Allocated once.
pub(crate) struct Datagrams {
    /// Room for each.
    each: usize,
    bytes: Box<[u8]>,
    addrs: Box<[SockAddr]>,
    /// Pointers in here are written anew for each call, and looked at by the kernel only.
    pieces: Box<[libc::iovec]>,
    /// As the pieces; and the length of each datagram.
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the pointers are never followed but by the kernel during a call, which has written them before.
unsafe impl Send for Datagrams {}
// SAFETY: as above; calls need `&mut`.
unsafe impl Sync for Datagrams {}

impl Datagrams {
    pub(crate) fn new(most: usize, each: usize) -> Self {
        let bytes = most.checked_mul(each).expect("more bytes than there are addresses");
        // SAFETY: all zero is a valid header: no address, no pieces, no control data.
        let header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
        Self {
            each,
            bytes: vec![0; bytes].into(),
            addrs: vec![SockAddr::EMPTY; most].into(),
            pieces: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; most].into(),
            headers: vec![header; most].into(),
        }
    }

    pub(crate) fn most(&self) -> usize {
        self.headers.len()
    }

    pub(crate) fn each(&self) -> usize {
        self.each
    }

    pub(crate) fn bytes(&self, at: usize) -> &[u8] {
        let begin = at * self.each;
        &self.bytes[begin..begin + (self.headers[at].msg_len as usize).min(self.each)]
    }

    /// Where it comes from, or goes to; `None` for wherever the socket is connected to.
    pub(crate) fn addr(&self, at: usize) -> Option<SocketAddr> {
        self.addrs[at].to_std().ok()
    }

    /// It was longer than there was room.
    pub(crate) fn is_truncated(&self, at: usize) -> bool {
        self.headers[at].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    /// Puts a datagram to be sent at `at`, which must fit.
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8], addr: Option<SocketAddr>) {
        self.bytes[at * self.each..][..bytes.len()].copy_from_slice(bytes);
        self.headers[at].msg_len = bytes.len() as u32;
        self.headers[at].msg_hdr.msg_flags = 0;
        self.addrs[at] = addr.map_or(SockAddr::EMPTY, SockAddr::from);
    }

    /// Receives some, from the first place on, and says how many.
    pub(crate) fn receive(&mut self, fd: RawFd) -> Result<usize, Errno> {
        let most = self.most().min(MAX_PIECES);
        let base = self.bytes.as_mut_ptr();
        for at in 0..most {
            let (name, length) = self.addrs[at].as_out();
            // SAFETY: as long as its place lies within the bytes, which `new` has made as many as that.
            let begin = unsafe { base.add(at * self.each) };
            self.pieces[at] = libc::iovec { iov_base: begin.cast(), iov_len: self.each };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = name.cast();
            // SAFETY: `as_out` has just given it.
            header.msg_namelen = unsafe { *length };
            header.msg_flags = 0;
        }
        self.point_at_pieces(0..most);
        let headers = self.headers.as_mut_ptr();
        // SAFETY: so many headers, each with a piece that is writable for its length and an address that is writable for its own; all of it lives as
        // long as the call, and nobody else has it. No time is given.
        let count = unsafe {
            raw::syscall5(libc::SYS_recvmmsg, fd as usize, headers as usize, most, libc::MSG_DONTWAIT as usize, 0)
        }?;
        for at in 0..count {
            self.addrs[at].set_len(self.headers[at].msg_hdr.msg_namelen);
        }
        Ok(count)
    }

    /// Sends those in `range`, and says how many the kernel took.
    pub(crate) fn send(&mut self, fd: RawFd, range: Range<usize>) -> Result<usize, Errno> {
        let range = range.start..range.end.min(range.start + MAX_PIECES);
        let base = self.bytes.as_mut_ptr();
        for at in range.clone() {
            // SAFETY: as in `receive`.
            let begin = unsafe { base.add(at * self.each) };
            let length = (self.headers[at].msg_len as usize).min(self.each);
            self.pieces[at] = libc::iovec { iov_base: begin.cast(), iov_len: length };
            let header = &mut self.headers[at].msg_hdr;
            // The kernel only reads it.
            let (name, length) = match self.addrs[at].to_std() {
                Ok(_) => (self.addrs[at].as_ptr().cast_mut(), self.addrs[at].len()),
                Err(_) => (ptr::null_mut(), 0),
            };
            header.msg_name = name.cast();
            header.msg_namelen = length;
        }
        self.point_at_pieces(range.clone());
        // It writes into each header what it took of that datagram, which is all of it.
        let headers = self.headers[range.clone()].as_mut_ptr();
        // SAFETY: so many headers, each with a piece that is readable for its length and an address that is, or none; all of it lives as long as the
        // call.
        unsafe {
            raw::syscall4(
                libc::SYS_sendmmsg,
                fd as usize,
                headers as usize,
                range.len(),
                (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize,
            )
        }
    }

    fn point_at_pieces(&mut self, range: Range<usize>) {
        let pieces = self.pieces.as_mut_ptr();
        for at in range {
            let header = &mut self.headers[at].msg_hdr;
            // SAFETY: there are as many pieces as headers.
            header.msg_iov = unsafe { pieces.add(at) };
            header.msg_iovlen = 1;
        }
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("most", &self.most()).field("each", &self.each).finish()
    }
}
