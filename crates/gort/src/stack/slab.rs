//! Where stacks come from: reservations cut into slots, and a list of used slots for each size.
//!
//! A slot passes through these states, each entered once and never left for an earlier one:
//! - `RAW`: address space of a reservation, never touched.
//! - `GUARDED`: its guard is installed.
//! - `MADE`: it has a thread block (in bound mode it needs none). From here on it goes between its users and the free list; the block is reset in
//!   between, by whoever gives it back.
//!
//! Slots are aligned to their size, reservations never released and listed in a fixed array that only grows: [`find`] goes from any address
//! to its slot by arithmetic, without a lock, as the fault handler must.
//!
//! Free slots are taken last in, first out: the most recent one is still in the cache (40 to 70 ns against 3 us for a fresh page). What nobody
//! has needed for a while gives its memory back and is taken last (`scavenge`).
//!
//! A size's first reservation is small and each next one twice as large, up to [`LARGEST_RESERVATION`]: a program with few goroutines does
//! not ask for gigabytes (which a limit on address space would refuse, or which would leave it nothing), and one with a million gets by
//! with some thirty reservations. When one is refused, half of it is asked for, down to a single slot. All leave [`HEADROOM`] to the rest of
//! the process.
//!
//! Rejected: one list of slots of all sizes, cut on demand (fragments; a slot could not be found by arithmetic); `malloc`ed stacks (no
//! guards); guards for 32 slots by one `process_madvise` (0.8 against 1.1 us each, of about 5 for a slot with its two page faults, for a
//! descriptor kept open and slots prepared that nobody may need); touching both pages by one `MADV_POPULATE_WRITE` (no gain).

use super::free_list::FreeList;
use super::layout::{self, CLASSES, Layout, SlotFooter, footer, guard_bytes, slot_bytes};
use super::refused::Refused;
use super::scavenge;
use crate::prim::lock::Lock;
use crate::sys::asan;
use crate::sys::identity::Identity;
use crate::sys::stackmem::{self, Guards, HEADROOM};
use crate::sys::tools;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{
    AtomicU8, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

const FIRST_RESERVATION: usize = 256 << 20;
const LARGEST_RESERVATION: usize = 16 << 30;
/// More than address space allows with reservations of the largest size; only a process that is refused large ones comes near.
pub(super) const RESERVATIONS: usize = 16384;

const RAW: u8 = 0;
const GUARDED: u8 = 1;
const MADE: u8 = 2;

/// A slot with a thread block, where goroutines have one: all that a goroutine needs of memory. Whoever has it owns it; it is given back, not dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stack {
    tp: usize,
    class: u8,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({:#x}, {} KiB)", self.tp, self.size() >> 10)
    }
}

impl Stack {
    /// The thread pointer of its block; in bound mode just a name for the slot.
    #[inline(always)]
    pub(crate) fn tp(self) -> usize {
        self.tp
    }

    /// Its size class.
    #[inline(always)]
    pub(crate) fn class(self) -> u8 {
        self.class
    }

    /// The 16-aligned address below which frames go.
    #[inline]
    pub(crate) fn frames_top(self) -> usize {
        layout::frames_top(self.tp)
    }

    /// The lowest address that frames may use.
    #[cfg(test)]
    pub(crate) fn limit(self) -> usize {
        self.base() + guard_bytes(self.size())
    }

    /// Bytes of the whole slot, guard and block included: what a user calls the stack size.
    pub(crate) fn size(self) -> usize {
        slot_bytes(self.class)
    }

    pub(super) fn base(self) -> usize {
        self.tp & !(self.size() - 1)
    }

    #[inline]
    pub(crate) fn footer(&self) -> &'static SlotFooter {
        // SAFETY: a slot of this size, in a reservation that is never released.
        unsafe { footer(self.base(), self.size()) }
    }

    /// The stack whose thread pointer this is.
    ///
    /// # Safety
    /// `tp` and `class` are those of a stack that the caller owns.
    pub(crate) unsafe fn from_parts(tp: usize, class: u8) -> Stack {
        Stack { tp, class }
    }
}

/// One reservation. Written once, before `RESERVED` counts it.
struct Reservation {
    base: AtomicUsize,
    bytes: AtomicUsize,
    class: AtomicU8,
    /// Bytes of it that have been cut into slots.
    used: AtomicUsize,
}

static RESERVATION: [Reservation; RESERVATIONS] = [const {
    Reservation {
        base: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        class: AtomicU8::new(0),
        used: AtomicUsize::new(0),
    }
}; RESERVATIONS];
static RESERVED: AtomicUsize = AtomicUsize::new(0);
/// For the writers of the two above. Taken with a class's lock held.
static RESERVING: Lock<()> = Lock::new(());

/// The slots of one size.
struct Class {
    /// Made slots, with what their last users have touched.
    warm: FreeList,
    /// Made slots that have nothing left but their block (`scavenge`).
    cold: FreeList,
    /// Slots that could not be made ready when they were cut: the first to be tried again.
    unready: FreeList,
    /// The reservation being cut, and what is left of it.
    current: Option<&'static Reservation>,
    next: usize,
    end: usize,
    next_reservation: usize,
    cut: usize,
}

static CLASS: [Lock<Class>; CLASSES] = [const {
    Lock::new(Class {
        warm: FreeList::new(),
        cold: FreeList::new(),
        unready: FreeList::new(),
        current: None,
        next: 0,
        end: 0,
        next_reservation: 0,
        cut: 0,
    })
}; CLASSES];

/// Slots with a guard that costs map entries, over all classes.
static MAPPED_GUARDS: AtomicUsize = AtomicUsize::new(0);

/// Fixes where blocks lie in slots, so that [`class_for`] knows. Start-up calls it; [`take`] does if nobody has.
pub(crate) fn prepare(identity: Option<&Identity>) {
    layout::fix(Layout::of(identity));
    #[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
    super::bounds::keep();
    super::control::note_usual();
}

/// The class for a stack of so many bytes (the whole of it, as for a thread), or `None` above 1 GiB.
pub(crate) fn class_for(bytes: usize) -> Option<u8> {
    layout::current().class_for(bytes)
}

/// The class for frames of a thread that libc has started, as [`class_for`].
pub(crate) fn class_for_thread(bytes: usize) -> Option<u8> {
    class_for(bytes).map(|class| class.max(layout::WIDE_CLASS))
}

/// A slot that has been cut or popped but is not yet ready.
#[derive(Clone, Copy)]
struct Slot {
    base: usize,
    class: u8,
}

impl Slot {
    /// The slot that a list gave. It is of this class.
    fn of(footer: &'static SlotFooter, class: u8) -> Slot {
        Slot { base: ptr::from_ref(footer) as usize & !(slot_bytes(class) - 1), class }
    }

    fn footer(self) -> &'static SlotFooter {
        // SAFETY: a slot of this size, in a reservation that is never released.
        unsafe { footer(self.base, slot_bytes(self.class)) }
    }
}

impl Class {
    /// A slot to be made ready, and how far it is: one that failed before, or the next of the current reservation, or the first of a new
    /// one.
    fn cut(&mut self, class: u8) -> Result<(Slot, u8), Refused> {
        if let Some(footer) = self.unready.pop() {
            // Relaxed: the lock orders it.
            return Ok((Slot::of(footer, class), footer.progress.load(Relaxed)));
        }
        let size = slot_bytes(class);
        if self.next == self.end {
            let reservation = self.reserve(class)?;
            // Relaxed: written by `reserve` just now, by this thread.
            self.next = reservation.base.load(Relaxed);
            self.end = self.next + reservation.bytes.load(Relaxed);
            self.current = Some(reservation);
        }
        let base = self.next;
        self.next += size;
        self.cut += 1;
        if let Some(reservation) = self.current {
            // Relaxed: a lower bound for `find` in other threads; the slot's own user has seen it through the lock.
            reservation.used.store(self.next - reservation.base.load(Relaxed), Relaxed);
        }
        // The footer is not looked at: reading a page before writing it costs a fault more.
        Ok((Slot { base, class }, RAW))
    }

    #[cold]
    fn reserve(&mut self, class: u8) -> Result<&'static Reservation, Refused> {
        let size = slot_bytes(class);
        let mut bytes = self.next_reservation.max(FIRST_RESERVATION).max(size);
        let base = loop {
            match stackmem::reserve_and_leave(bytes, size, HEADROOM) {
                Ok(base) => break base,
                Err(_) if bytes > size => bytes = (bytes / 2).max(size),
                Err(errno) => return Err(Refused::Reserve(errno, bytes)),
            }
        };
        self.next_reservation = (bytes * 2).min(LARGEST_RESERVATION);
        let _writer = RESERVING.lock();
        // Relaxed: only written with the lock held.
        let count = RESERVED.load(Relaxed);
        let Some(reservation) = RESERVATION.get(count) else {
            stackmem::release(base, bytes);
            return Err(Refused::Full);
        };
        // Relaxed: published by the count below.
        reservation.base.store(base, Relaxed);
        reservation.bytes.store(bytes, Relaxed);
        reservation.class.store(class, Relaxed);
        // Release: pairs with the Acquire in `find` and `stats`; whoever counts the reservation sees its fields.
        RESERVED.store(count + 1, Release);
        Ok(reservation)
    }
}

/// Brings a slot to `MADE`. On failure it stays where it came to.
fn ready(slot: Slot, mut progress: u8, identity: Option<&Identity>) -> Result<Stack, Refused> {
    let size = slot_bytes(slot.class);
    let tp = slot.base + size - layout::current().above;
    let footer = slot.footer();
    // Relaxed stores: the slot is this thread's alone; the lock of a list orders it with others.
    if progress == RAW {
        if stackmem::guards() == Guards::Mapped {
            reserve_maps()?;
        }
        stackmem::guard(slot.base, guard_bytes(size)).map_err(Refused::Guard)?;
        tools::announce_stack(slot.base + guard_bytes(size), slot.base + size);
        progress = GUARDED;
        footer.progress.store(progress, Relaxed);
    }
    if progress == GUARDED {
        if let Some(identity) = identity {
            // SAFETY: the place that the layout gives the block in a slot of ours, zeroed or as a failed attempt left it; the thread pointer
            // is an OS thread's own, as `take` demands.
            unsafe { identity.make(tp) }.map_err(Refused::Make)?;
            // SAFETY: made just now, and once; slots are never unmapped.
            unsafe { identity.enlist(tp) };
        }
        footer.progress.store(MADE, Relaxed);
    }
    Ok(Stack { tp, class: slot.class })
}

/// Counts one more guard that costs two map entries, unless that would bring the process near its limit, where malloc fails first.
fn reserve_maps() -> Result<(), Refused> {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: a constant once it is known.
    let mut most = MOST.load(Relaxed);
    if most == 0 {
        most = stackmem::max_map_count() / 8 * 3;
        MOST.store(most, Relaxed);
    }
    // Relaxed: a count that nothing else depends on.
    match MAPPED_GUARDS.fetch_update(Relaxed, Relaxed, |count| (count < most).then_some(count + 1)) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refused::Maps),
    }
}

/// A stack with a reset block: the one given back last, or a new one (1.5 us and two page faults).
///
/// It is of this class or, if that has no room for the thread block of this program, of the smallest that has.
///
/// The current thread pointer must be an OS thread's own.
///
/// # Errors
/// Out of memory or address space, with what limits it and the way out.
pub(crate) fn take(class: u8, identity: Option<&Identity>) -> io::Result<Stack> {
    let mut one = [MaybeUninit::uninit()];
    let (count, refused) = fill(class, identity, &mut one);
    match refused {
        // SAFETY: so many are written.
        _ if count == 1 => Ok(unsafe { one[0].assume_init() }),
        Some(refused) => Err(refused.into_error(class)),
        None => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// As many used stacks as there are, up to the length of `out`; if there are none, so many new ones. Gives how many it wrote: 0 means that
/// there is none ([`take`] says why).
///
/// The current thread pointer must be an OS thread's own.
#[cfg_attr(not(test), allow(dead_code, reason = "the scheduler still takes them one by one"))]
pub(crate) fn take_batch(class: u8, identity: Option<&Identity>, out: &mut [MaybeUninit<Stack>]) -> usize {
    fill(class, identity, out).0
}

fn fill(class: u8, identity: Option<&Identity>, out: &mut [MaybeUninit<Stack>]) -> (usize, Option<Refused>) {
    if layout::current().above == 0 {
        prepare(identity);
    }
    // A class that came from elsewhere than `class_for` may be too small for this program's thread-locals.
    let class = class.max(layout::least_class());
    let Some(list) = CLASS.get(usize::from(class)) else {
        return (0, Some(Refused::Block(layout::current().block_bytes())));
    };
    let above = layout::current().above;
    let mut count = 0;
    {
        let mut state = list.lock();
        while count < out.len()
            && let Some(footer) = state.warm.pop().or_else(|| state.cold.pop())
        {
            out[count].write(Stack { tp: Slot::of(footer, class).base + slot_bytes(class) - above, class });
            count += 1;
        }
    }
    if count > 0 {
        return (count, None);
    }
    while count < out.len() {
        let (slot, progress) = match list.lock().cut(class) {
            Ok(cut) => cut,
            Err(refused) => return (count, Some(refused)),
        };
        // Outside the lock: system calls and page faults.
        match ready(slot, progress, identity) {
            Ok(stack) => out[count].write(stack),
            Err(refused) => {
                list.lock().unready.push(slot.footer());
                return (count, Some(refused));
            }
        };
        count += 1;
    }
    (count, None)
}

/// Gives stacks back, whose blocks are reset and which nobody uses. The last one will be the first to be taken again.
pub(crate) fn give_back(stacks: &[Stack]) {
    for run in stacks.chunk_by(|one, other| one.class == other.class) {
        let mut state = CLASS[usize::from(run[0].class)].lock();
        for stack in run {
            stack.footer().set_goroutine(ptr::null());
            state.warm.push(stack.footer());
        }
    }
}

/// Where frames may lie on the slot that holds the address of one, for AddressSanitizer.
pub(crate) fn bounds_around(frame: usize) -> asan::Bounds {
    let Some(place) = find(frame) else { return asan::Bounds { low: 0, bytes: 0 } };
    let low = (frame & !(place.size - 1)) + guard_bytes(place.size);
    let top = ptr::from_ref(place.footer) as usize;
    asan::Bounds { low, bytes: top - low }
}

/// Used slots of this class that have not been let go.
pub(super) fn warm(class: u8) -> usize {
    CLASS[usize::from(class)].lock().warm.len()
}

/// How many of them nobody has needed since the last call.
pub(super) fn begin_period(class: u8) -> usize {
    CLASS[usize::from(class)].lock().warm.begin_period()
}

/// Lets the one go that has been free for longest. False: there is none.
pub(super) fn cool_oldest(class: u8) -> bool {
    let list = &CLASS[usize::from(class)];
    let Some(footer) = list.lock().warm.pop_oldest() else { return false };
    let slot = Slot::of(footer, class);
    let frames_top = layout::frames_top(slot.base + slot_bytes(class) - layout::current().above);
    // Outside of the lock: a system call. Whoever wants a stack meanwhile takes another one.
    // SAFETY: a made slot that is on no list: ours.
    unsafe { scavenge::discard_frames(slot.base, class, frames_top) };
    list.lock().cold.push(footer);
    true
}

/// Where an address lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) size: usize,
    /// The address is in the slot's guard.
    pub(crate) guard: bool,
    pub(crate) footer: &'static SlotFooter,
}

/// The slot that holds the address, if any. For signal handlers: takes no lock and calls nothing.
pub(crate) fn find(address: usize) -> Option<Place> {
    // Acquire: pairs with the Release in `Class::reserve`.
    let count = RESERVED.load(Acquire);
    for reservation in &RESERVATION[..count] {
        // Relaxed: constant since it was counted.
        let base = reservation.base.load(Relaxed);
        // Relaxed: grows; a slot that this thread uses was counted before it got it.
        if address.wrapping_sub(base) >= reservation.used.load(Relaxed) {
            continue;
        }
        let size = slot_bytes(reservation.class.load(Relaxed));
        let base = address & !(size - 1);
        // SAFETY: a slot of that size in a reservation.
        let footer = unsafe { footer(base, size) };
        return Some(Place { size, guard: address - base < guard_bytes(size), footer });
    }
    None
}

/// Where slots are: first and last address of each reservation.
pub(crate) fn reservations() -> impl Iterator<Item = (usize, usize)> {
    // Acquire: pairs with the Release in `Class::reserve`. Relaxed: constant since it was counted.
    RESERVATION[..RESERVED.load(Acquire)].iter().map(|reservation| {
        let base = reservation.base.load(Relaxed);
        (base, base + reservation.bytes.load(Relaxed))
    })
}

/// What stacks take, over all sizes.
#[allow(dead_code, reason = "for the runtime's metrics")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlabStats {
    pub(crate) reservations: usize,
    pub(crate) reserved_bytes: usize,
    /// Slots that were ever used.
    pub(crate) slots_carved: usize,
    /// Of them in the free lists now (those in caches of the scheduler are not counted).
    pub(crate) slots_free: usize,
    pub(crate) guards: Guards,
    /// Bytes of a thread block in each slot.
    pub(crate) block_bytes: usize,
}

/// Takes each class's lock for a moment.
#[cfg_attr(not(test), allow(dead_code, reason = "for the runtime's metrics"))]
pub(crate) fn stats() -> SlabStats {
    // Acquire: pairs with the Release in `Class::reserve`.
    let reservations = RESERVED.load(Acquire);
    // Relaxed: constant since it was counted.
    let reserved_bytes = RESERVATION[..reservations].iter().map(|one| one.bytes.load(Relaxed)).sum();
    let (mut slots_carved, mut slots_free) = (0, 0);
    for class in &CLASS {
        let state = class.lock();
        slots_carved += state.cut;
        slots_free += state.warm.len() + state.cold.len();
    }
    let (guards, block_bytes) = (stackmem::guards(), layout::current().block_bytes());
    SlabStats { reservations, reserved_bytes, slots_carved, slots_free, guards, block_bytes }
}

#[cfg(test)]
mod tests;
