//! One operation by io_uring.
//!
//! The kernel has the buffer and the descriptor until the operation's result has come, so this does not return before, whatever happens: if the ambient
//! context ends, the operation is cancelled and awaited, and what is returned is what has really happened. Nothing between the two may unwind.

use crate::context::{Bound, ambient};
use crate::g::WaitReason;
use crate::sched::disk;
use crate::spawn;
use crate::sys::raw::Errno;
use crate::sys::uring::Sqe;
use crate::uring::{NOT_DONE, Op};
use std::io;
use std::panic::Location;

/// Lets the kernel carry out `sqe` while the caller is parked. `None`: not possible here or now, and nothing has been done.
///
/// # Safety
/// What it points to is valid for what it does, and its descriptor is open, until this returns.
#[track_caller]
pub(super) unsafe fn run(sqe: Sqe) -> Option<io::Result<usize>> {
    let g = spawn::me()?;
    if !disk::is_up() {
        return None;
    }
    let (site, context) = (Location::caller(), ambient::but_root());
    loop {
        let op = Op::new(g, sqe);
        let stays = Stays;
        // SAFETY: as the caller says; the operation is not left before it is done.
        disk::told(unsafe { op.submit() });
        let mut bound = context.as_ref().map_or(Bound::NONE, Bound::ctx);
        let mut is_given_up = false;
        while !op.is_done() {
            if !is_given_up && bound.is_over() {
                disk::told(op.give_up());
                (is_given_up, bound) = (true, Bound::NONE);
            } else {
                bound.park(g, WaitReason::Disk, sqe.fd() as usize, site);
            }
        }
        std::mem::forget(stays);
        return match op.result() {
            count @ 0.. => Some(Ok(count as usize)),
            NOT_DONE => None,
            error => match Errno(-error) {
                // The context has been looked at.
                Errno::CANCELED | Errno::INTR if is_given_up => {
                    Some(Err(context.expect("it has ended").ended().into()))
                }
                Errno::INTR => continue,
                // It was opened with O_NONBLOCK, or the kernel has no memory for it at the moment; or io_uring was taken away.
                Errno::AGAIN | Errno::CANCELED => None,
                errno => Some(Err(errno.into())),
            },
        };
    }
}

/// Dropped: the frame would go while the kernel has it.
struct Stays;

impl Drop for Stays {
    fn drop(&mut self) {
        std::process::abort();
    }
}
