//! G: the record of one goroutine, or of one OS thread that waits as a goroutine does.
//!
//! Records are type-stable: they live in chunks that are never freed, so a stale pointer always points at *some* record, and every word that a
//! latecomer may touch (park word, timer word, status) stays meaningful over reuse.
//!
//! ```text
//! line 0   what a switch touches: stack pointer, thread pointer, M, link, status, park word, call site, wait reason
//! line 1   what a start, an end and a dump touch: timer, id, spawn site, extra, join word, entry or wait object
//! line 2   the closure until the first run, the result after the end; a thread's alarm
//! ```
//!
//! Owner of the plain cells: whoever owns the goroutine at the moment. That is the goroutine itself while it runs, the scheduler between a
//! switch and the commit of its park, and after that whoever took it out of the word it waits in. Each hand-over goes through an atomic with
//! release and acquire (run queues, park word, side word, a lock), so the next owner sees all plain stores of the previous one.
//!
//! The words that a dump reads while the goroutine runs are atomics, read and written `Relaxed`: a dump is a picture, not a proof.

use super::WaitReason;
use crate::prim::word::Word;
use crate::timer::TimerWord;
use gort_lockfree::wake_word::WakeWord;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

/// Bytes that a closure or a result may take without a heap allocation.
pub(crate) const BODY_BYTES: usize = 64;

/// Where a record stands. Information for dumps and metrics: no transition is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// The record is in a free list.
    Free = 0,
    /// In a run queue (or on its way to one).
    Runnable,
    /// On an M, with or without a P.
    Running,
    /// On an M, in a section marked as blocking.
    Blocking,
    /// Parked.
    Waiting,
    /// The body has returned; thread-local destructors run.
    Ending,
    /// Ended, the result waits for its handle.
    Done,
    /// Waits, closure and all, for whatever may start it, or never. Not in use, as dumps see it.
    Dormant,
}

impl Status {
    fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Runnable,
            2 => Self::Running,
            3 => Self::Blocking,
            4 => Self::Waiting,
            5 => Self::Ending,
            6 => Self::Done,
            7 => Self::Dormant,
            _ => Self::Free,
        }
    }
}

/// The record belongs to an OS thread: making it ready wakes that thread.
pub(crate) const THREAD: u8 = 1;
/// The goroutine is locked to its M.
pub(crate) const LOCKED: u8 = 2;
/// A panic of this goroutine aborts the process.
pub(crate) const ABORT_ON_PANIC: u8 = 4;
/// The body holds a panic's payload instead of a result.
pub(crate) const PANICKED: u8 = 8;
/// It could not have a stack before, and tries again (`sched::stackless`).
pub(crate) const TRIES_AGAIN: u8 = 16;

/// It has begun on its M and runs nowhere else (`sched::bound`).
pub(crate) const BOUND: u8 = 32;
/// What it uses of its stack is measured (`stack::depth`).
pub(crate) const MEASURED: u8 = 64;

/// It waits in a context that may end: see [`G::waits_for_ever`].
pub(crate) const WATCHED: u8 = 128;

/// Runs a goroutine's closure, keeps the result, and returns what is to be called next.
pub(crate) type Entry = unsafe fn(&'static G) -> Finish;

/// Ends a goroutine's part in its result, which it drops if nobody will ask for it.
pub(crate) type Finish = unsafe fn(&'static G);

/// When a waiting thread looks at the clock, and whom it tells: the word of a timer's target. It needs nobody else for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alarm {
    pub(crate) when_ns: u64,
    pub(crate) target: usize,
}

impl Alarm {
    /// The wait has no limit.
    pub(crate) const NONE: Self = Self { when_ns: crate::timer::NEVER, target: 0 };
}

const _: () = assert!(size_of::<Alarm>() <= BODY_BYTES && align_of::<Alarm>() <= 8);

/// What only some goroutines have.
pub(crate) struct Extra {
    /// The name given to the builder.
    pub(crate) name: Option<Arc<str>>,
    /// Address of the scope that waits for this goroutine, 0 without one.
    pub(crate) scope: usize,
    /// Address of a boxed context that the goroutine takes along, until it has taken it out; 0 without one.
    pub(crate) context: Cell<usize>,
}

/// The record.
#[repr(C, align(64))]
pub struct G {
    // Line 0.
    /// Saved stack pointer while the goroutine does not run.
    pub(crate) rsp: Word,
    /// Thread pointer of the goroutine's own thread block (in bound mode, the name of its stack); 0 as long as it has none.
    pub(crate) tp: Word,
    /// The M that runs it or ran it last. Opaque here: the scheduler's type lies above.
    pub(crate) m: AtomicPtr<()>,
    /// The next member of whatever list holds the goroutine.
    pub(crate) link: Cell<*mut G>,
    status: AtomicU8,
    flags: AtomicU8,
    /// For records of OS threads: even while the thread waits, odd when it may go on. Grows with every wait.
    pub(crate) thread_wake: AtomicU32,
    pub(crate) park: WakeWord,
    call_site: AtomicPtr<Location<'static>>,
    /// Reason in the top 8 bits, coarse milliseconds since the runtime's start below.
    wait: AtomicU64,

    // Line 1.
    pub(crate) timer: TimerWord,
    id: AtomicU64,
    spawn_site: AtomicPtr<Location<'static>>,
    extra: AtomicPtr<Extra>,
    pub(crate) join: AtomicUsize,
    /// The entry function until the first run, then the object the goroutine waits on.
    entry_or_object: AtomicUsize,
    /// Stack size class plus 1 (0: none yet, and the default one wanted) in the low byte, depth of `lock_os_thread` above it.
    more: AtomicUsize,

    // Line 2.
    body: UnsafeCell<MaybeUninit<[u64; BODY_BYTES / 8]>>,
}

// SAFETY: see "Owner of the plain cells" above: `Cell`s and the body are touched by one owner at a time, hand-overs synchronise, the rest is
// atomic.
unsafe impl Sync for G {}
// SAFETY: as above; a record has no tie to a thread.
unsafe impl Send for G {}

const _: () = assert!(size_of::<G>() == 192 && align_of::<G>() == 64);

impl G {
    /// A free record.
    pub(crate) fn new() -> Self {
        Self {
            rsp: Word::new(0),
            tp: Word::new(0),
            m: AtomicPtr::new(ptr::null_mut()),
            link: Cell::new(ptr::null_mut()),
            status: AtomicU8::new(Status::Free as u8),
            flags: AtomicU8::new(0),
            thread_wake: AtomicU32::new(0),
            park: WakeWord::new(),
            call_site: AtomicPtr::new(ptr::null_mut()),
            wait: AtomicU64::new(0),
            timer: TimerWord::new(),
            id: AtomicU64::new(0),
            spawn_site: AtomicPtr::new(ptr::null_mut()),
            extra: AtomicPtr::new(ptr::null_mut()),
            join: AtomicUsize::new(0),
            entry_or_object: AtomicUsize::new(0),
            more: AtomicUsize::new(0),
            body: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Address of the record, for the words that hold waiters.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    /// The record at `address`.
    ///
    /// # Safety
    /// `address` must come from [`G::address`].
    #[inline(always)]
    pub(crate) unsafe fn from_address(address: usize) -> &'static Self {
        // SAFETY: records are never freed, so an address that was one once is one for ever.
        unsafe { &*(address as *const Self) }
    }

    /// Sets up a taken record for a new goroutine.
    #[inline]
    pub(crate) fn start(
        &self,
        id: u64,
        site: &'static Location<'static>,
        flags: u8,
        stack_class: Option<u8>,
        entry: Entry,
    ) {
        self.more.store(stack_class.map_or(0, |class| usize::from(class) + 1), Relaxed);
        // Relaxed, all of them: the record is ours alone until it is queued, and the queue publishes it.
        self.id.store(id, Relaxed);
        self.spawn_site.store(ptr::from_ref(site).cast_mut(), Relaxed);
        self.flags.store(flags, Relaxed);
        self.call_site.store(ptr::null_mut(), Relaxed);
        self.join.store(0, Relaxed);
        self.entry_or_object.store(entry as *const () as usize, Relaxed);
        self.tp.set(0);
        self.park.reset(id);
        self.timer.clear();
        self.status.store(Status::Runnable as u8, Relaxed);
    }

    /// The function given to [`G::start`]; only before the first park.
    ///
    /// # Safety
    /// The goroutine must not have parked yet.
    #[inline(always)]
    pub(crate) unsafe fn entry(&self) -> Entry {
        // SAFETY: before the first park the word holds what `start` stored.
        unsafe { std::mem::transmute::<usize, Entry>(self.entry_or_object.load(Relaxed)) }
    }

    #[inline(always)]
    pub(crate) fn status(&self) -> Status {
        Status::from_raw(self.status.load(Relaxed))
    }

    #[inline(always)]
    pub(crate) fn set_status(&self, status: Status) {
        self.status.store(status as u8, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    /// Sets or clears a flag; only the goroutine itself does so, or whoever has it before its first run.
    pub(crate) fn put(&self, flag: u8, on: bool) {
        let flags = self.flags.load(Relaxed);
        self.flags.store(if on { flags | flag } else { flags & !flag }, Relaxed);
    }

    #[inline(always)]
    pub(crate) fn is_thread(&self) -> bool {
        self.has(THREAD)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Relaxed)
    }

    /// Where it was spawned.
    pub(crate) fn spawn_site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: the pointer is null or came from a `&'static Location`.
        unsafe { self.spawn_site.load(Relaxed).as_ref() }
    }

    /// Where it called gort last and could wait, or marked a section: while it is parked, where it waits.
    pub(crate) fn call_site(&self) -> Option<&'static Location<'static>> {
        // SAFETY: as above.
        unsafe { self.call_site.load(Relaxed).as_ref() }
    }

    /// Reason and coarse start (ms) of the current wait.
    pub(crate) fn wait(&self) -> (WaitReason, u64) {
        let wait = self.wait.load(Relaxed);
        (WaitReason::from_raw((wait >> 56) as u8), wait & ((1 << 56) - 1))
    }

    /// Tells one wait from another, as far as others can see.
    pub(crate) fn wait_word(&self) -> u64 {
        self.wait.load(Relaxed)
    }

    /// Neither the clock nor a context ends the goroutine's wait; as seen while it waits for a lock, a channel or another goroutine.
    pub(crate) fn waits_for_ever(&self) -> bool {
        self.timer.until() == 0 && !self.has(WATCHED)
    }

    /// What the goroutine waits on, as a number for people to compare (a descriptor, a goroutine id, an address).
    pub(crate) fn wait_object(&self) -> usize {
        self.entry_or_object.load(Relaxed)
    }

    /// Leaves an address for the scheduler to find after the goroutine's last switch.
    pub(crate) fn set_wait_object(&self, object: usize) {
        self.entry_or_object.store(object, Relaxed);
    }

    /// Notes why and where the goroutine is about to park.
    #[inline(always)]
    pub(crate) fn note_wait(&self, reason: WaitReason, object: usize, site: &'static Location<'static>, now_ms: u64) {
        self.wait.store((reason as u64) << 56 | now_ms, Relaxed);
        self.entry_or_object.store(object, Relaxed);
        self.note_call(site);
        self.set_status(Status::Waiting);
    }

    /// Notes where the goroutine has called gort.
    #[inline(always)]
    pub(crate) fn note_call(&self, site: &'static Location<'static>) {
        self.call_site.store(ptr::from_ref(site).cast_mut(), Relaxed);
    }

    /// Notes that the goroutine, which runs this, is in a blocking section, of a class or of none, 0. A park inside writes over it.
    #[inline(always)]
    pub(crate) fn note_section(&self, class: usize) {
        if class == 0 {
            self.wait.store((WaitReason::Blocking as u64) << 56, Relaxed);
        } else {
            self.wait.store((WaitReason::BlockingClass as u64) << 56, Relaxed);
            self.entry_or_object.store(class, Relaxed);
        }
    }

    /// The class of the blocking section that the goroutine is in; 0 if it is in none, the section has none, or a park inside has written over it.
    pub(crate) fn section_class(&self) -> usize {
        let is_known = self.status() == Status::Blocking && self.wait().0 == WaitReason::BlockingClass;
        if is_known { self.wait_object() } else { 0 }
    }

    /// Size class of its stack; before it has one, the class that was asked for, if not the default one.
    #[inline(always)]
    pub(crate) fn stack_class(&self) -> Option<u8> {
        (self.more.load(Relaxed) as u8).checked_sub(1)
    }

    /// It has got a stack of this class. Before its first run.
    #[inline(always)]
    pub(crate) fn set_stack_class(&self, class: u8) {
        debug_assert_eq!(self.lock_depth(), 0, "it has not run yet");
        self.more.store(usize::from(class) + 1, Relaxed);
    }

    /// Nested `lock_os_thread` calls.
    pub(crate) fn lock_depth(&self) -> u8 {
        (self.more.load(Relaxed) >> 8) as u8
    }

    pub(crate) fn set_lock_depth(&self, depth: u8) {
        let class = self.more.load(Relaxed) & 0xff;
        self.more.store(class | usize::from(depth) << 8, Relaxed);
    }

    /// Gives the goroutine its extra data. Only before it is queued, on a record that has none.
    pub(crate) fn set_extra(&self, extra: Box<Extra>) {
        debug_assert!(self.extra.load(Relaxed).is_null());
        // Release: pairs with the Acquire in `extra`, for a dump on another thread.
        self.extra.store(Box::into_raw(extra), Release);
    }

    /// The extra data, for the goroutine itself and for the scheduler while it owns the goroutine. Others go through
    /// `registry::with_extra`, since the box is freed at the goroutine's end.
    #[inline(always)]
    pub(crate) fn extra(&self) -> Option<&Extra> {
        // SAFETY: set before the goroutine was queued and freed only by `registry::drop_extra`, at its end.
        // Acquire: pairs with the Release in `set_extra`.
        unsafe { self.extra.load(Acquire).as_ref() }
    }

    /// Takes the extra data out. Only `registry` calls this, under its lock.
    pub(super) fn take_extra(&self) -> Option<Box<Extra>> {
        let old = self.extra.swap(ptr::null_mut(), Relaxed);
        // SAFETY: the word owned it.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }

    /// Leaves an alarm for the next wait of the thread that this record belongs to. Only that thread calls this.
    pub(crate) fn set_alarm(&self, alarm: Alarm) {
        debug_assert!(self.is_thread());
        // Relaxed: a picture for others. Nobody joins a thread's record.
        self.join.store(alarm.when_ns as usize, Relaxed);
        // SAFETY: the body of a thread's record holds nothing else, and nobody but the thread uses it; an alarm fits, and needs no drop.
        unsafe { self.body().cast::<Alarm>().write(alarm) };
    }

    /// The alarm that was set last. Only the record's thread calls this, after the first [`G::set_alarm`].
    pub(crate) fn alarm(&self) -> Alarm {
        debug_assert!(self.is_thread());
        // SAFETY: as in `set_alarm`, which has been called.
        unsafe { self.body().cast::<Alarm>().read() }
    }

    /// When the wait of the thread that this record belongs to ends by itself, as seen from another thread.
    pub(crate) fn alarm_ns(&self) -> u64 {
        debug_assert!(self.is_thread());
        self.join.load(Relaxed) as u64
    }

    /// How often the thread that this record belongs to has begun to wait and has been woken, together. Odd: it has been woken.
    pub(crate) fn thread_waits(&self) -> u32 {
        debug_assert!(self.is_thread());
        self.thread_wake.load(Relaxed)
    }

    /// The 64 bytes for closure or result.
    #[inline(always)]
    pub(crate) fn body(&self) -> *mut u8 {
        self.body.get().cast()
    }
}

impl std::fmt::Debug for G {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("G").field("id", &self.id()).field("status", &self.status()).finish_non_exhaustive()
    }
}
