//! Stacks for signal handlers (`sigaltstack`) that goroutines set, as crates do for what they think is their thread.

use crate::child;
use crate::support::needs_migration;
use std::ffi::c_void;
use std::ptr;

const BYTES: usize = 512 << 10;

fn set(stack: &libc::stack_t) -> libc::stack_t {
    let mut old = here();
    // SAFETY: a stack that is never freed, or what this call has given before.
    assert_eq!(unsafe { libc::sigaltstack(stack, &mut old) }, 0);
    old
}

/// What the caller is told.
fn here() -> libc::stack_t {
    let mut now = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: only asks.
    assert_eq!(unsafe { libc::sigaltstack(ptr::null(), &mut now) }, 0);
    now
}

/// Where the kernel would run a handler.
fn in_the_kernel() -> usize {
    let mut now = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: only asks.
    assert_eq!(unsafe { libc::syscall(libc::SYS_sigaltstack, 0, &raw mut now) }, 0);
    now.ss_sp as usize
}

fn new_stack() -> libc::stack_t {
    let memory = Box::leak(vec![0_u8; BYTES].into_boxed_slice());
    libc::stack_t { ss_sp: memory.as_mut_ptr().cast::<c_void>(), ss_flags: 0, ss_size: BYTES }
}

/// It is its own for as long as it runs, and nobody else's.
#[test]
fn a_stack_for_signals_follows_the_goroutine_that_set_it() {
    if needs_migration("a thread's stack for signals is that of all its goroutines") {
        return;
    }
    let this = child::of(|_| {
        let own = new_stack().ss_sp as usize;
        let (turn, is_mine) = gort::chan::bounded::<()>(0);
        let has_own = gort::go(move || {
            set(&libc::stack_t { ss_sp: own as *mut c_void, ss_flags: 0, ss_size: BYTES });
            for () in is_mine {
                assert_eq!(in_the_kernel(), own);
                assert_eq!(here().ss_sp as usize, own);
            }
            // Ends with it.
        });
        for _ in 0..20 {
            turn.send(()).unwrap();
            assert_ne!(gort::go(in_the_kernel).join().unwrap(), own, "another goroutine's memory");
        }
        drop(turn);
        has_own.join().unwrap();
        for _ in 0..20 {
            assert_ne!(gort::go(in_the_kernel).join().unwrap(), own, "memory of one that has ended");
        }
    });
    this.case("").env("GORT_MAXPROCS", "1").without("GORT_PERTURB").run().exited(0);
}

/// Putting the old one back means that of the thread on which it runs now, which nobody is told of. It is large enough for who makes one only if he finds
/// a small one (256 KiB: wasmtime).
#[test]
fn the_old_stack_for_signals_is_the_threads_own_after_a_move() {
    if needs_migration("nobody moves") {
        return;
    }
    let this = child::of(|_| {
        let moves = || {
            let told = here();
            assert!(told.ss_flags == 0 && told.ss_size >= 256 << 10, "{} bytes", told.ss_size);
            let (first, mine) = (in_the_kernel(), new_stack());
            let old = set(&mine);
            assert_eq!(old.ss_sp, told.ss_sp);
            gort::yield_now();
            assert_eq!(in_the_kernel(), mine.ss_sp as usize);
            assert_eq!(set(&old).ss_sp, mine.ss_sp);
            let own = in_the_kernel();
            assert_ne!(own, first, "forced moves are on");
            assert_ne!(own, old.ss_sp as usize);
            // As found by who comes next, and inside `host`.
            assert_eq!(own, gort::host(in_the_kernel));
        };
        gort::go(moves).join().unwrap();
    });
    this.case("").env("GORT_MAXPROCS", "2").env("GORT_PERTURB", "move").run().exited(0);
}
