//! Descriptors that go along with bytes through a Unix socket (`SCM_RIGHTS`).
//!
//! The kernel makes them the receiver's in the middle of the call, so what has come is owned before anything else is looked at, and what has no
//! room it closes by itself, and says so. They come closed on exec.

use crate::sys::raw::{self, Errno};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// The kernel passes no more with one message (`SCM_MAX_FD`).
pub(crate) const MOST_FDS: usize = 253;

/// What has come.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) bytes: usize,
    pub(crate) fds: Vec<OwnedFd>,
    /// A datagram was longer than the buffer.
    pub(crate) lost_bytes: bool,
    /// More descriptors came than could be taken.
    pub(crate) lost_fds: bool,
}

/// Room for one control message with [`MOST_FDS`] descriptors, aligned as the kernel wants it.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; CONTROL],
}

// SAFETY: computes only.
const CONTROL: usize = unsafe { libc::CMSG_SPACE((MOST_FDS * size_of::<RawFd>()) as u32) } as usize;

/// How long a control message with so many descriptors is. Without what rounds it up, so that one more does not find room.
fn control_len(fds: usize) -> usize {
    // SAFETY: computes only.
    unsafe { libc::CMSG_LEN((fds * size_of::<RawFd>()) as u32) as usize }
}

/// Sends `bytes` with `fds`, of which there are [`MOST_FDS`] at most; says how many bytes the kernel took. The descriptors go with the first of them.
pub(crate) fn send_with_fds(fd: RawFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    debug_assert!(fds.len() <= MOST_FDS);
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control { bytes: [0; CONTROL] };
    // SAFETY: an all-zero msghdr is valid: no address, no pieces, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let length = control_len(fds.len());
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = length as _;
        let header = (&raw mut control).cast::<libc::cmsghdr>();
        // SAFETY: the control buffer is aligned for a header and has room for it and so many descriptors behind it; the numbers are written without
        // a claim on alignment.
        unsafe {
            (*header).cmsg_len = length as _;
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            for (at, fd) in fds.iter().enumerate() {
                data.add(at).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    // SAFETY: the kernel reads the header, the piece, the bytes and the control message, all of which live as long as the call.
    unsafe {
        raw::syscall3(
            libc::SYS_sendmsg,
            fd as usize,
            (&raw const message) as usize,
            (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize,
        )
    }
}

/// Receives into `buffer`, and `most` descriptors at most.
pub(crate) fn recv_with_fds(fd: RawFd, buffer: &mut [u8], most: usize) -> Result<Parcel, Errno> {
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control { bytes: [0; CONTROL] };
    // SAFETY: as above.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = control_len(most.min(MOST_FDS)) as _;
    // SAFETY: the kernel writes into the header, the buffer and the control buffer, no more than their lengths, and all live as long as the call.
    let bytes = unsafe {
        raw::syscall3(
            libc::SYS_recvmsg,
            fd as usize,
            (&raw mut message) as usize,
            (libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC) as usize,
        )
    }?;
    let mut fds = Vec::new();
    // SAFETY: the message is as the kernel has left it, and its control buffer lives.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !next.is_null() {
        // SAFETY: the macros give headers that lie within the control buffer. The kernel writes them aligned.
        let header = unsafe { ptr::read(next) };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            let count = (header.cmsg_len as usize).saturating_sub(control_len(0)) / size_of::<RawFd>();
            // SAFETY: so many numbers stand behind the header; each is a new descriptor of this process, which nobody else knows.
            fds.extend((0..count).map(|at| unsafe {
                OwnedFd::from_raw_fd(libc::CMSG_DATA(next).cast::<RawFd>().add(at).read_unaligned())
            }));
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok(Parcel {
        bytes,
        fds,
        lost_bytes: message.msg_flags & libc::MSG_TRUNC != 0,
        lost_fds: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}
