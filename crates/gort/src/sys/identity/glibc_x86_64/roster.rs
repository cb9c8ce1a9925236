//! glibc's list of threads, and goroutines' blocks on it.
//!
//! glibc goes through its threads when it has to do something to each of them. Three such occasions concern every block that somebody may
//! use, so blocks stand on the list as long as they exist:
//!
//! - a library with initial-exec thread-locals is loaded: their initial values are written into every block, in use or waiting for its next
//!   user (`_dl_init_static_tls`);
//! - a library is loaded or unloaded: whoever looks up a symbol at that moment must be done with the old tables before they are freed
//!   (`__thread_gscope_wait`, which looks at a flag in each header);
//! - fork: the child forgets all threads but the current one, whose node it takes out first. Those on stacks of glibc's own go to the cache of
//!   stacks, for the next threads, and with them the thread under the goroutine that forked: it is taken off there (`Identity::keep_block`).
//!
//! `setuid` goes through the list, too: it tries to send the block's tid a signal, finds no such thread, and goes on (`setxid` has the rest).
//! Debuggers that read the list see threads whose ids the kernel does not know, and leave them alone.
//!
//! The list may be changed by whoever holds its lock, as `pthread_create` does. The lock has no descriptor. It has had the same place since
//! the list exists (glibc 2.34): behind the list's head lie the head of the cache of stacks, its size and a word for fork, then the lock.
//! That is not believed but tried: one thread takes the lock, another is started meanwhile, and only if glibc is seen to wait for that very word
//! is it the lock.
//!
//! What follows: the page with a listed block's record must stay as it is, whoever gives memory of idle stacks back to the system.
//!
//! A node is put behind the head by stores in glibc's order, so that a child forked in between finds a list that can be walked.
//!
//! Rejected: interposing `dlopen` (its caller's address decides where it searches); writing initial values at a goroutine's next gort call
//! (too late, the library's code may run before).

use super::super::{Unavailable, thread_pointer};
use super::Identity;
use super::reference::{join_bare, nap, on_bare_thread, start_bare};
use super::symbols::{Offsets, need, offset, size};
use crate::sys::futex;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// What lies between the list's head and the lock: the rest of the head, the cache's head and size, and fork's word.
const LOCK_BEHIND_HEAD: usize = size_of::<Node>() + size_of::<Node>() + 2 * size_of::<usize>();

/// What lies between the list's head and the head of the cache.
const CACHE_BEHIND_HEAD: usize = size_of::<Node>();

/// The lock's values: free, held, held and somebody waits (`lll_lock`).
const FREE: u32 = 0;
const HELD: u32 = 1;
const WAITED_FOR: u32 = 2;

/// `list_t`: a node, or the head of a circular list. Addresses of others; the head's own if it is empty.
#[repr(C)]
struct Node {
    next: AtomicUsize,
    previous: AtomicUsize,
}

/// The list of threads on stacks that are not glibc's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roster {
    head: usize,
    /// The place of the node in a block.
    node: usize,
}

impl Roster {
    /// Finds list and lock, and tries them.
    pub(super) fn find(offsets: &Offsets) -> Result<Roster, Unavailable> {
        let wrong = |what: &str| Unavailable::new(format!("glibc's list of threads is not as known ({what})"));
        let (used, user) =
            (offset(c"_thread_db_rtld_global__dl_stack_used")?, offset(c"_thread_db_rtld_global__dl_stack_user")?);
        let node = (size(c"_thread_db_sizeof_list_t")?, offset(c"_thread_db_list_t_next")?);
        if node != (size_of::<Node>(), 0) || offset(c"_thread_db_list_t_prev")? != size_of::<usize>() {
            return Err(wrong("its nodes"));
        }
        if user != used + size_of::<Node>() {
            return Err(wrong("the order of its heads"));
        }
        let global = need(c"_rtld_global")? as usize;
        let roster = Roster { head: global + user, node: offsets.list };
        roster.try_lock()?;
        if roster.locked(|| !roster.holds_this_thread(global + used)) {
            return Err(wrong("the calling thread is not on it"));
        }
        Ok(roster)
    }

    fn lock_word(&self) -> &'static AtomicU32 {
        // SAFETY: a 4-aligned word inside the loader's variable, which is never unmapped. Everybody uses it atomically.
        unsafe { AtomicU32::from_ptr((self.head + LOCK_BEHIND_HEAD) as *mut u32) }
    }

    /// Runs `f` with the lock held. `f` calls nothing of libc's.
    fn locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let word = self.lock_word();
        // Acquire: pairs with the Release of whoever unlocks, here and in glibc.
        if word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            while word.swap(WAITED_FOR, Acquire) != FREE {
                futex::wait(word, WAITED_FOR, None);
            }
        }
        let result = f();
        unlock(word);
        result
    }

    /// Puts the block at `tp` on the list.
    ///
    /// # Safety
    /// A made block that is not on the list and stays mapped until it is taken off. The thread pointer is an OS thread's own.
    pub(super) unsafe fn add(&self, tp: usize) {
        let address = tp + self.node;
        // SAFETY: the block's node, the head, and the first node, which is the head's or a thread's that cannot go while the lock is held.
        self.locked(|| unsafe {
            let (node, head) = (&*(address as *const Node), &*(self.head as *const Node));
            // Relaxed: under the lock.
            let first = head.next.load(Relaxed);
            node.next.store(first, Relaxed);
            node.previous.store(self.head, Relaxed);
            (*(first as *const Node)).previous.store(address, Relaxed);
            // Release: a child forked now sees either the old list or the whole node.
            head.next.store(address, Release);
        });
    }

    /// Takes the block at `tp` off the cache of stacks, if it is there. (glibc goes on counting its bytes, which makes the cache smaller.)
    ///
    /// # Safety
    /// `tp` is the block of a thread that glibc made, and this process is a fork's child that has just forgotten its threads.
    unsafe fn take_from_cache(&self, tp: usize) {
        let (own, cache) = (tp + self.node, self.head + CACHE_BEHIND_HEAD);
        // SAFETY: the cache's head and its nodes, which are changed under the lock only and are not unmapped while they are linked.
        self.locked(|| unsafe {
            let mut at = cache;
            loop {
                // Relaxed, all: under the lock.
                let next = (*(at as *const Node)).next.load(Relaxed);
                if next == cache {
                    return;
                }
                if next == own {
                    let node = &*(own as *const Node);
                    let after = node.next.load(Relaxed);
                    (*(at as *const Node)).next.store(after, Relaxed);
                    (*(after as *const Node)).previous.store(at, Relaxed);
                    node.next.store(own, Relaxed);
                    node.previous.store(own, Relaxed);
                    return;
                }
                at = next;
            }
        });
    }

    /// Takes it off.
    ///
    /// # Safety
    /// The block is on the list. The thread pointer is an OS thread's own.
    #[cfg(test)]
    pub(super) unsafe fn remove(&self, tp: usize) {
        // SAFETY: the block's node and its neighbours, which cannot go while the lock is held.
        self.locked(|| unsafe {
            let node = &*((tp + self.node) as *const Node);
            // Relaxed: under the lock.
            let (next, previous) = (node.next.load(Relaxed), node.previous.load(Relaxed));
            (*(next as *const Node)).previous.store(previous, Relaxed);
            (*(previous as *const Node)).next.store(next, Relaxed);
        });
    }

    /// Whether the calling thread is on one of the lists, this one or that of threads on glibc's own stacks, and both are circular.
    fn holds_this_thread(&self, used: usize) -> bool {
        let own = thread_pointer() + self.node;
        let mut found = false;
        for head in [used, self.head] {
            let mut at = head;
            loop {
                // SAFETY: the head, or a node that is linked from it and cannot go while the lock is held. Relaxed: under the lock.
                let (next, back) = unsafe {
                    let next = (*(at as *const Node)).next.load(Relaxed);
                    (next, (*(next as *const Node)).previous.load(Relaxed))
                };
                if back != at {
                    return false;
                }
                if next == head {
                    break;
                }
                found |= next == own;
                at = next;
            }
        }
        found
    }

    /// Sees whether glibc waits for the word that should be its lock.
    fn try_lock(&self) -> Result<(), Unavailable> {
        let trial = Trial {
            word: self.lock_word(),
            held: AtomicU32::new(0),
            over: AtomicBool::new(false),
            seen: AtomicBool::new(false),
        };
        let holder = start_bare(hold, ptr::from_ref(&trial).cast_mut().cast())?;
        // Acquire: pairs with the Release in `hold`.
        while trial.held.load(Acquire) == 0 {
            futex::wait(&trial.held, 0, None);
        }
        // Takes the lock to have a stack; if it is this one, only after `hold` has let go.
        let started = on_bare_thread(nothing, ptr::null_mut());
        // Release: pairs with the Acquire in `hold`.
        trial.over.store(true, Release);
        join_bare(holder);
        started?;
        // Relaxed: the thread that wrote it has been joined.
        if trial.seen.load(Relaxed) {
            return Ok(());
        }
        Err(Unavailable::new("glibc's list of threads is not as known (its lock is not where it has been since 2.34)"))
    }
}

impl Identity {
    /// In the child of a fork, keeps the block at `tp`, and the stack under it, from being given to a thread that is started later.
    ///
    /// To glibc the goroutine that forked is the only thread left, and the one under it has ended. But the kernel's thread goes on with that one's area
    /// for restartable sequences, which the kernel writes to, and code of gort's may still have its address.
    ///
    /// # Safety
    /// `tp` is the block of a thread that glibc made; called by a handler of fork in the child.
    pub(crate) unsafe fn keep_block(&self, tp: usize) {
        if tp != thread_pointer() {
            // SAFETY: as the caller says.
            unsafe { self.roster.take_from_cache(tp) };
        }
    }
}

/// Frees the lock, and wakes one who waits for it.
fn unlock(word: &AtomicU32) {
    // Release: pairs with the Acquire of who locks next.
    if word.swap(FREE, Release) == WAITED_FOR {
        futex::wake(word, 1);
    }
}

struct Trial {
    word: &'static AtomicU32,
    held: AtomicU32,
    over: AtomicBool,
    seen: AtomicBool,
}

extern "C" fn nothing(_: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

/// Takes the lock and keeps it until somebody waits for it, or until it is clear that nobody will.
extern "C" fn hold(argument: *mut c_void) -> *mut c_void {
    /// Other threads of the program may be at it; a word that is no lock may never have the value.
    const TRIES: usize = 100_000;
    // SAFETY: `try_lock` passes this and waits.
    let trial = unsafe { &*argument.cast::<Trial>() };
    let taken = (0..TRIES).any(|_| {
        // Acquire: as in `locked`. If it is another word: 0 became 1, and becomes 0 again at once.
        let taken = trial.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok();
        if !taken {
            nap();
        }
        taken
    });
    // Release: pairs with the Acquire in `try_lock`.
    trial.held.store(1, Release);
    futex::wake(&trial.held, 1);
    if taken {
        // Relaxed: only the value counts. Acquire: pairs with the Release in `try_lock`.
        while trial.word.load(Relaxed) != WAITED_FOR && !trial.over.load(Acquire) {
            nap();
        }
        // Relaxed: read after a join.
        trial.seen.store(trial.word.load(Relaxed) == WAITED_FOR, Relaxed);
        unlock(trial.word);
    }
    ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::identity::tests::{Block, identity};

    #[test]
    fn the_list_is_found_while_threads_and_blocks_come_and_go() {
        let over = AtomicBool::new(false);
        let offsets = &identity().offsets;
        std::thread::scope(|scope| {
            for n in 0..4 {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        if n % 2 == 0 {
                            std::thread::spawn(|| ()).join().unwrap();
                        } else {
                            drop((Block::new(), Block::new()));
                        }
                    }
                });
            }
            let found: Vec<_> = (0..300).map(|_| Roster::find(offsets).map(|_| ())).collect();
            over.store(true, Relaxed);
            let wrong: Vec<_> = found.into_iter().filter_map(Result::err).collect();
            assert!(wrong.is_empty(), "{wrong:?}");
        });
    }
}
