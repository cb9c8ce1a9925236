//! Thread blocks for glibc on x86-64, made in memory of ours.
//!
//! | file | what |
//! |---|---|
//! | `symbols` | glibc's functions, and the offsets it publishes for debuggers |
//! | `image` | initial contents of static thread-locals |
//! | `libc_words` | libc's own thread-locals that have a meaning |
//! | `malloc_words` | the allocator's, which an M lends to its goroutine |
//! | `block` | make, reset |
//! | `destructors` | what runs at a goroutine's end |
//! | `exits` | where pthread_exit goes |
//! | `late` | thread-locals of libraries loaded after the start |
//! | `record` | what else `pthread_create` writes into a thread's record |
//! | `roster` | glibc's list of threads, and our blocks on it |
//! | `robust` | robust mutexes that are held at the end |
//! | `setxid` | setuid and its family while goroutines run |
//! | `reference` | what a fresh thread of glibc's own looks like: the measure for all of the above |
//! | `self_check` | a block tried out on two threads before anything depends on it |
//! | `extras` | some blocks more, to try other things as so many threads |
//!
//! Rejected: making a block by `pthread_create` on the goroutine's stack and ending the kernel thread under it. glibc then fills in
//! everything itself and lists the block, but it costs 10 to 35 us instead of one, the pages of a listed block may never be given back,
//! and ending it costs 50 us more. The same idea serves as `reference`.

mod block;
mod destructors;
mod exits;
mod extras;
mod image;
mod late;
mod libc_words;
mod malloc_words;
mod record;
mod reference;
mod robust;
mod roster;
mod self_check;
mod setxid;
mod symbols;

use super::Unavailable;
use exits::Exit;
pub(crate) use exits::on_thread_exit;
pub(crate) use extras::Extras;
use image::Image;
use late::Late;
use libc_words::LibcWords;
pub(crate) use malloc_words::MallocWords;
use record::Record;
#[cfg(test)]
pub(super) use record::{Frame, leave_changed};
use roster::Roster;
use symbols::{Functions, Key, Offsets, Symbols};

/// `AT_HWCAP2` bit of the x86 kernel: user space may use `rdfsbase` and `wrfsbase`.
const HWCAP2_FSGSBASE: libc::c_ulong = 1 << 1;

/// How to make, reset and end thread blocks in this process.
#[derive(Debug)]
pub(crate) struct Identity {
    functions: Functions,
    offsets: Offsets,
    keys: *const Key,
    /// Where in the record the values of the first keys lie.
    first_keys: usize,
    exit: Exit,
    image: Image,
    late: Late,
    record: Record,
    roster: Roster,
    words: LibcWords,
    malloc: Option<MallocWords>,
    malloc_reason: &'static str,
}

// SAFETY: everything in it is read only after `probe`, or behind a mutex; the tables of keys and modules are glibc's, written by glibc and read as volatile.
unsafe impl Send for Identity {}
// SAFETY: as above.
unsafe impl Sync for Identity {}

/// Finds out how thread blocks are made here, and tries it.
///
/// Takes less than a millisecond and starts seven threads, at most two at a time, that are gone when it returns or end then.
///
/// # Errors
/// What is missing or not as expected. The process is unchanged then.
pub(crate) fn probe() -> Result<Identity, Unavailable> {
    // SAFETY: reads a word of the auxiliary vector.
    if unsafe { libc::getauxval(libc::AT_HWCAP2) } & HWCAP2_FSGSBASE == 0 {
        return Err(Unavailable::new("user space may not set the thread pointer (no FSGSBASE in AT_HWCAP2)"));
    }
    if block::has_shadow_stack() {
        return Err(Unavailable::new("shadow stacks are on (GLIBC_TUNABLES=glibc.cpu.x86_shstk=off turns them off)"));
    }
    let symbols = Symbols::find()?;
    let image = Image::capture(symbols.offsets.static_bytes)?;
    let reference = reference::measure(&symbols, &image)?;
    let (malloc, malloc_reason) = match reference.malloc {
        Ok(words) => (Some(words), ""),
        Err(reason) => (None, reason),
    };
    let record = Record::learn(&symbols.offsets, reference.exit)?;
    let roster = Roster::find(&symbols.offsets)?;
    let mut identity = Identity {
        functions: symbols.functions,
        offsets: symbols.offsets,
        keys: symbols.keys,
        first_keys: reference.first_keys,
        exit: reference.exit,
        late: Late::new(symbols.modules, image.first_late_module(), image.places(), symbols.offsets.static_bytes),
        image,
        record,
        roster,
        words: reference.words,
        malloc,
        malloc_reason,
    };
    self_check::run(&mut identity, &reference.fresh)?;
    setxid::install(&identity.offsets)?;
    Ok(identity)
}

impl Identity {
    /// Bytes of a block at and above the thread pointer.
    pub(crate) fn bytes_above_tp(&self) -> usize {
        self.offsets.record_bytes
    }

    /// Bytes of a block below the thread pointer, a multiple of 64.
    pub(crate) fn bytes_below_tp(&self) -> usize {
        self.offsets.static_bytes
    }

    /// What a thread pointer must be a multiple of; at least 64.
    pub(crate) fn alignment(&self) -> usize {
        self.offsets.alignment
    }

    /// Bytes of thread-locals that the program and its libraries use: what a reset writes, unless it is large and zero.
    #[allow(dead_code, reason = "for the runtime's metrics and its warning about large thread-locals")]
    pub(crate) fn thread_local_bytes(&self) -> usize {
        self.image.bytes()
    }

    /// The allocator's words, as [`Identity::lend_malloc`] needs them.
    pub(crate) fn malloc_words(&self) -> Option<MallocWords> {
        self.malloc
    }

    /// Whether goroutines use the allocator's caches of the M they run on. If not, [`Identity::malloc_reason`] says why.
    pub(crate) fn has_malloc_words(&self) -> bool {
        self.malloc.is_some()
    }

    /// Why the allocator's words are not lent; empty if they are.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the runtime's warning"))]
    pub(crate) fn malloc_reason(&self) -> &'static str {
        self.malloc_reason
    }

    /// Makes the calling thread own an allocator cache, so that it has one to lend. Each M, once, before its first goroutine.
    pub(crate) fn warm_malloc(&self) {
        malloc_words::warm();
    }

    /// Lends the allocator's words of the M's block to that of the goroutine it is about to resume.
    ///
    /// # Safety
    /// `m_tp` is the calling M's own block; the goroutine whose block is at `g_tp` runs nowhere.
    #[inline(always)]
    pub(crate) unsafe fn lend_malloc(&self, m_tp: usize, g_tp: usize) {
        if let Some(words) = &self.malloc {
            // SAFETY: both blocks are the caller's.
            unsafe { words.copy(m_tp, g_tp) };
        }
    }

    /// Takes the words back when the goroutine has left: it may have switched to another arena, or made the M's first cache.
    ///
    /// # Safety
    /// As for [`Identity::lend_malloc`].
    #[inline(always)]
    pub(crate) unsafe fn return_malloc(&self, g_tp: usize, m_tp: usize) {
        if let Some(words) = &self.malloc {
            // SAFETY: both blocks are the caller's.
            unsafe { words.copy(g_tp, m_tp) };
        }
    }

    /// `pthread_exit` on the calling kernel thread becomes a report, until [`Identity::allow_exit`] is given what this returns.
    ///
    /// # Safety
    /// `tp` is the thread's own block, and a block has been made before.
    #[inline(always)]
    pub(crate) unsafe fn forbid_exit(&self, tp: usize) -> usize {
        // SAFETY: as the caller says.
        unsafe { self.exit.replace(tp) }
    }

    /// # Safety
    /// As for [`Identity::forbid_exit`], which gave `place`.
    #[inline(always)]
    pub(crate) unsafe fn allow_exit(&self, tp: usize, place: usize) {
        // SAFETY: as the caller says.
        unsafe { self.exit.restore(tp, place) };
    }
}
