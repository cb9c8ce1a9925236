//! The kernel's numbers and layouts (`include/uapi/linux/io_uring.h`).

use crate::sys::file::{At, MAX_PIECES};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::RawFd;

pub(super) const OFF_SQ_RING: usize = 0;
pub(super) const OFF_SQES: usize = 0x1000_0000;

pub(super) const SETUP_CQSIZE: u32 = 1 << 3;
pub(super) const SETUP_CLAMP: u32 = 1 << 4;
pub(super) const SETUP_COOP_TASKRUN: u32 = 1 << 8;
pub(super) const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
pub(super) const SETUP_DEFER_TASKRUN: u32 = 1 << 13;

pub(super) const ENTER_GETEVENTS: u32 = 1;

pub(super) const REGISTER_FILES: u32 = 2;
pub(super) const REGISTER_PROBE: u32 = 8;
pub(super) const REGISTER_IOWQ_MAX_WORKERS: u32 = 19;

/// One mapping for both queues; no result is dropped; operations at the cursor; threads of the kernel's that are the process's own.
pub(super) const NEEDED_FEATURES: [(u32, &str); 4] = [
    (1 << 0, "IORING_FEAT_SINGLE_MMAP"),
    (1 << 1, "IORING_FEAT_NODROP"),
    (1 << 3, "IORING_FEAT_RW_CUR_POS"),
    (1 << 9, "IORING_FEAT_NATIVE_WORKERS"),
];

const READV: u8 = 1;
const WRITEV: u8 = 2;
const FSYNC: u8 = 3;
const ASYNC_CANCEL: u8 = 14;
const READ: u8 = 22;
const WRITE: u8 = 23;

pub(super) const NEEDED_OPERATIONS: [(u8, &str); 6] = [
    (READV, "IORING_OP_READV"),
    (WRITEV, "IORING_OP_WRITEV"),
    (FSYNC, "IORING_OP_FSYNC"),
    (ASYNC_CANCEL, "IORING_OP_ASYNC_CANCEL"),
    (READ, "IORING_OP_READ"),
    (WRITE, "IORING_OP_WRITE"),
];

const FSYNC_DATASYNC: u32 = 1;

/// As much the kernel moves at once; more is cut to this, as by `read` and `write`.
const MAX_BYTES: usize = 0x7fff_f000;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Params {
    pub(super) sq_entries: u32,
    pub(super) cq_entries: u32,
    pub(super) flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    pub(super) features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    pub(super) sq_off: SqOffsets,
    pub(super) cq_off: CqOffsets,
}

/// `struct io_sqring_offsets`: where in the mapping.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct SqOffsets {
    pub(super) head: u32,
    pub(super) tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags: u32,
    dropped: u32,
    pub(super) array: u32,
    reserved: u32,
    user_address: u64,
}

/// `struct io_cqring_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct CqOffsets {
    pub(super) head: u32,
    pub(super) tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    overflow: u32,
    pub(super) cqes: u32,
    flags: u32,
    reserved: u32,
    user_address: u64,
}

const _: () = assert!(size_of::<Params>() == 120 && size_of::<Sqe>() == 64 && size_of::<Cqe>() == 16);

impl Params {
    pub(super) fn asking(flags: u32, results: u32) -> Self {
        Self { flags, cq_entries: results, ..Self::default() }
    }

    pub(super) fn queue_bytes(&self) -> usize {
        let submissions = self.sq_off.array as usize + self.sq_entries as usize * size_of::<u32>();
        let results = self.cq_off.cqes as usize + self.cq_entries as usize * size_of::<Cqe>();
        submissions.max(results)
    }
}

/// `struct io_uring_cqe`: a result.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Cqe {
    pub(super) user_data: u64,
    pub(super) res: i32,
    flags: u32,
}

/// `struct io_uring_probe`: which operations there are.
#[repr(C)]
pub(super) struct Probe {
    last: u8,
    count: u8,
    reserved: u16,
    more: [u32; 3],
    operations: [[u8; 8]; Self::ROOM],
}

impl Probe {
    const ROOM: usize = 64;
    /// In the 16 bits of flags that begin at the third byte.
    const SUPPORTED: u8 = 1;

    pub(super) fn new() -> Self {
        Self { last: 0, count: 0, reserved: 0, more: [0; 3], operations: [[0; 8]; Self::ROOM] }
    }

    pub(super) fn len(&self) -> u32 {
        Self::ROOM as u32
    }

    pub(super) fn has(&self, code: u8) -> bool {
        let [_, _, low, high, ..] = self.operations[usize::from(code)];
        u16::from_ne_bytes([low, high]) & u16::from(Self::SUPPORTED) != 0
    }
}

/// `struct io_uring_sqe`: an operation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    buffer: u16,
    personality: u16,
    file_index: i32,
    address3: u64,
    padding: u64,
}

impl Sqe {
    fn new(opcode: u8, fd: RawFd, address: usize, len: usize, at: At) -> Self {
        let offset = match at {
            // The kernel's word for the cursor, and for what has none. Not for files: past the page cache it does not move the cursor.
            At::Cursor => u64::MAX,
            At::Offset(offset) => offset,
        };
        let len = len.min(MAX_BYTES) as u32;
        Self { opcode, fd, offset, address: address as u64, len, ..Self::default() }
    }

    /// Reads `len` bytes into `to`, or fewer.
    pub(crate) fn read(fd: RawFd, at: At, to: *mut u8, len: usize) -> Self {
        Self::new(READ, fd, to as usize, len, at)
    }

    /// Writes `len` bytes from `from`, or fewer.
    pub(crate) fn write(fd: RawFd, at: At, from: *const u8, len: usize) -> Self {
        Self::new(WRITE, fd, from as usize, len, at)
    }

    /// Reads into several pieces, where [`at`](Self::at) says.
    pub(crate) fn read_vectored(fd: RawFd, pieces: &mut [IoSliceMut<'_>]) -> Self {
        Self::new(READV, fd, pieces.as_mut_ptr() as usize, pieces.len().min(MAX_PIECES), At::Cursor)
    }

    /// Writes several pieces, where [`at`](Self::at) says.
    pub(crate) fn write_vectored(fd: RawFd, pieces: &[IoSlice<'_>]) -> Self {
        Self::new(WRITEV, fd, pieces.as_ptr() as usize, pieces.len().min(MAX_PIECES), At::Cursor)
    }

    /// Waits until what was written is on the disk: the contents, and all of the metadata or what is needed to read them.
    pub(crate) fn sync(fd: RawFd, contents_only: bool) -> Self {
        let op_flags = if contents_only { FSYNC_DATASYNC } else { 0 };
        Self { op_flags, ..Self::new(FSYNC, fd, 0, 0, At::Offset(0)) }
    }

    /// Ends this operation early, which is known by its word, if that can be done.
    pub(crate) fn cancel(other: Self) -> Self {
        Self::new(ASYNC_CANCEL, -1, other.user_data as usize, 0, At::Offset(0))
    }

    /// The same at that offset.
    pub(crate) fn at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Its descriptor.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// With a word that comes back with the result.
    pub(crate) fn with(self, user_data: u64) -> Self {
        Self { user_data, ..self }
    }
}
