//! Who holds a lock: written by whoever takes it, read when somebody has waited for it for long.
//!
//! It is an address on the holder's stack, not its record: to know the record a holder would have to read a thread-local, while the slot of a stack, and
//! with it the goroutine, is found from any address in it, by whoever wants to know. Two plain stores, to a line that the holder has just changed, and
//! one when it lets go: who is next in line may have been given the lock, and write itself down much later.
//!
//! A guard stays with its goroutine, so what the last one to lock has written stays true until it unlocks. (One who has forgotten its guard and ended
//! holds the lock for ever; then a later goroutine on the same stack may be named in its place.) But a guard may leave the stack of a `with_stack`: so
//! of what was noted on a slot that was ever lent, nobody can tell whose it is. Of several readers only the last is known, as long as none has left.
//!
//! A party that waits gives the address of this as the object of its wait, and keeps it alive as long as it waits.

use super::G;
use crate::stack::slab;
use crate::sys::peek;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicUsize};

const READER: usize = 1;

/// See the module.
#[repr(C)]
pub(crate) struct Holder {
    /// An address, with [`READER`].
    place: AtomicUsize,
    site: AtomicPtr<Location<'static>>,
}

/// What was read where a [`Holder`] was: nothing, as long as it is not sure that somebody has waited there all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    place: usize,
    site: *const Location<'static>,
}

impl Seen {
    /// Looks at the holder at this address, which a party has given as the object of its wait. It is read by the kernel, since the lock may be gone, and
    /// its memory too. `None`: it is, or the kernel does not do that.
    pub(crate) fn at(address: usize) -> Option<Self> {
        let mut words = [0_usize; 2];
        peek::read(address, &mut words)?;
        Some(Self { place: words[0], site: ptr::with_exposed_provenance(words[1]) })
    }

    /// The goroutine that holds the lock; `None`: a thread, or nobody can tell.
    pub(crate) fn by(self) -> Option<&'static G> {
        goroutine_at(self.place & !READER)
    }

    /// It has locked for reading: the last who did, and perhaps not the only one.
    pub(crate) fn is_reader(self) -> bool {
        self.place & READER != 0
    }

    /// Where the lock was taken.
    ///
    /// # Safety
    /// Some party has waited for this lock from before [`Seen::at`] until after it.
    pub(crate) unsafe fn site(self) -> Option<&'static Location<'static>> {
        // SAFETY: the lock was there, so this is null or came from a `&'static Location`.
        unsafe { self.site.as_ref() }
    }
}

impl Holder {
    /// Nobody yet.
    pub(crate) const fn new() -> Self {
        Self { place: AtomicUsize::new(0), site: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The caller has taken the lock alone.
    #[inline(always)]
    pub(crate) fn note(&self, site: &'static Location<'static>) {
        self.note_as(0, site);
    }

    /// The caller has taken it for reading.
    #[inline(always)]
    pub(crate) fn note_reader(&self, site: &'static Location<'static>) {
        self.note_as(READER, site);
    }

    /// The caller is about to let go of it.
    #[inline(always)]
    pub(crate) fn clear(&self) {
        // Relaxed: as in `note_as`. Whoever takes the lock next writes later.
        self.place.store(0, Relaxed);
    }

    #[inline(always)]
    fn note_as(&self, kind: usize, site: &'static Location<'static>) {
        let here = 0_usize;
        // Relaxed: read by those who look at somebody else's wait, and look twice.
        self.place.store(&raw const here as usize | kind, Relaxed);
        self.site.store(ptr::from_ref(site).cast_mut(), Relaxed);
    }

    /// As a number for whoever waits.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self) as usize
    }
}

/// The goroutine on whose stack this is.
fn goroutine_at(address: usize) -> Option<&'static G> {
    let place = slab::find(address).filter(|place| !place.footer.was_lent())?;
    // SAFETY: null, or a record, and records are never freed.
    let g: &'static G = unsafe { place.footer.goroutine().cast::<G>().as_ref() }?;
    // The footer keeps the last one that there was.
    ((g.tp.get() ^ address) < place.size).then_some(g)
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Holder { .. }")
    }
}
