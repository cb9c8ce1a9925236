//! Children made by fork from a goroutine that go on without exec, start threads and allocate.

use crate::child;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

fn this_thread() -> usize {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::pthread_self() as usize }
}

/// Forks, and returns what `then` gives in the child process, by its exit code.
fn in_fork(then: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child does what is being tried.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        let code = then();
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: the kernel writes a live int.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child ended by a signal: {status:#x}");
    libc::WEXITSTATUS(status)
}

/// How many of `count` threads with a stack of this size, all alive at once, have the block at `block`.
fn threads_with(block: usize, count: usize, stack: usize) -> usize {
    let (met, found) = (Arc::new(Barrier::new(count)), Arc::new(AtomicUsize::new(0)));
    let start = |_| {
        let (met, found) = (met.clone(), found.clone());
        let thread = move || {
            if this_thread() == block {
                found.fetch_add(1, SeqCst);
            }
            met.wait();
        };
        std::thread::Builder::new().stack_size(stack).spawn(thread).unwrap()
    };
    (0..count).map(start).collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    found.load(SeqCst)
}

/// Whether the page of this address is mapped.
fn is_mapped(address: usize) -> bool {
    let mut resident = 0_u8;
    // SAFETY: asks of one page.
    unsafe { libc::mincore((address & !4095) as *mut libc::c_void, 1, &raw mut resident) == 0 }
}

/// The thread under the goroutine that forked lives on in the child, though glibc does not know it: nobody else gets its block, and the memory into
/// which the kernel writes stays, also when the cache of stacks overflows.
#[test]
fn in_a_forked_child_no_thread_gets_the_block_of_the_one_that_forked() {
    let this = child::of(|_| {
        let fork = || {
            gort::go(|| {
                let _locked = gort::lock_os_thread();
                let below = gort::host(this_thread);
                in_fork(|| {
                    if threads_with(below, 16, 64 << 10) > 0 {
                        return 1;
                    }
                    for _ in 0..3 {
                        // More than glibc keeps: it unmaps what it can.
                        threads_with(below, 8, 8 << 20);
                        if !is_mapped(below) {
                            return 2;
                        }
                    }
                    // Its own child: the same again.
                    in_fork(|| if threads_with(below, 16, 64 << 10) > 0 { 3 } else { 0 })
                })
            })
        };
        for code in (0..3).map(|_| fork().join().unwrap()) {
            println!("code {code}");
            assert_eq!(code, 0);
        }
    });
    if crate::support::needs_migration("a goroutine has the thread's own block") {
        return;
    }
    this.run("").exited(0).never_says("gort: ");
}

/// Notes as whom it was called.
struct Told(AtomicUsize);

// SAFETY: passed on.
unsafe impl GlobalAlloc for Told {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.store(this_thread(), SeqCst);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.0.store(this_thread(), SeqCst);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(block, layout) }
    }
}

/// An allocator behind `Global` is asked as the thread under the goroutine, but in a forked child as the goroutine: there is no other thread.
#[test]
fn in_a_forked_child_an_allocator_is_asked_as_the_goroutine() {
    static ALLOCATOR: gort::alloc::Global<Told> = gort::alloc::Global::new(Told(AtomicUsize::new(0)));
    fn asked_as(size: usize) -> (usize, usize) {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let told = &ALLOCATOR.inner().0;
        // SAFETY: a layout that is not empty; the block goes back at once.
        unsafe {
            let block = ALLOCATOR.alloc(layout);
            let first = told.load(SeqCst);
            ALLOCATOR.dealloc(block, layout);
            (first, told.load(SeqCst))
        }
    }
    let this = child::of(|_| {
        let code = gort::go(|| {
            let _locked = gort::lock_os_thread();
            let (own, below) = (this_thread(), gort::host(this_thread));
            assert_eq!(asked_as(4000), (below, below));
            assert_eq!(asked_as(40), (below, below));
            in_fork(|| {
                let large = asked_as(4000) == (own, own);
                let small = asked_as(40) == (own, own);
                i32::from(!large) | i32::from(!small) << 1
            })
        });
        assert_eq!(code.join().unwrap(), 0);
    });
    if crate::support::needs_migration("a goroutine has the thread's own block") {
        return;
    }
    this.run("").exited(0).never_says("gort: ");
}
