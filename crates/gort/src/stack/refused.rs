//! Why there is no stack, in words that say what to do.

use super::layout::{CLASSES, slot_bytes};
use super::slab::RESERVATIONS;
use crate::sys::raw::Errno;
use crate::sys::stackmem;
use std::io;

/// Why there is no stack.
#[derive(Debug)]
pub(super) enum Refused {
    Reserve(Errno, usize),
    Guard(Errno),
    /// As many slots as there should be with guards that cost map entries.
    Maps,
    /// The array of reservations.
    Full,
    Make(io::Error),
    /// Bytes of a thread block that no slot has room for.
    Block(usize),
}

impl Refused {
    #[cold]
    pub(super) fn into_error(self, class: u8) -> io::Error {
        let (kind, why) = match self {
            Refused::Reserve(Errno::NOMEM, bytes) => (io::ErrorKind::OutOfMemory, stackmem::why_refused(bytes)),
            Refused::Reserve(errno, bytes) => {
                (io::Error::from(errno).kind(), format!("reserving {} MiB failed: {errno}", bytes >> 20))
            }
            Refused::Guard(Errno::NOMEM) | Refused::Maps => (
                io::ErrorKind::OutOfMemory,
                format!(
                    "this kernel needs two memory maps for each stack's guard and grants {} in all; raise \
                     vm.max_map_count or use Linux 6.13 or newer",
                    stackmem::max_map_count()
                ),
            ),
            Refused::Guard(errno) => (io::Error::from(errno).kind(), format!("its guard cannot be set up: {errno}")),
            Refused::Full => {
                (io::ErrorKind::OutOfMemory, format!("there are {RESERVATIONS} reservations for stacks already"))
            }
            Refused::Make(cause) => (cause.kind(), cause.to_string()),
            Refused::Block(bytes) => (
                io::ErrorKind::OutOfMemory,
                format!("the program's thread-locals take {} MiB, which no stack has room for", bytes >> 20),
            ),
        };
        io::Error::new(
            kind,
            format!("no stack of {} KiB for a goroutine: {why}", slot_bytes(class.min(CLASSES as u8 - 1)) >> 10),
        )
    }
}
