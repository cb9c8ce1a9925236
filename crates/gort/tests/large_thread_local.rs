//! A program with large thread-locals: each goroutine has its own, with its initial values, and pays for what it touches. A test binary of its
//! own, since its thread-locals are part of every block.

use std::cell::Cell;

const WORDS: usize = (64 << 10) / size_of::<u64>();

thread_local! {
    /// Zeros, which are given back to the system rather than written.
    static ZEROS: Cell<[u64; WORDS]> = const { Cell::new([0; WORDS]) };
    /// An image of that size, which is copied.
    static IMAGE: Cell<[u64; WORDS]> = const { Cell::new([7; WORDS]) };
}

fn word(of: &'static std::thread::LocalKey<Cell<[u64; WORDS]>>, index: usize) -> *mut u64 {
    // SAFETY: inside the array.
    of.with(|words| unsafe { words.as_ptr().cast::<u64>().add(index) })
}

/// Writes `value` into words of both that lie on different pages, over parks; they must have been new.
fn use_both(value: u64) {
    for index in (0..WORDS).step_by(500).chain([WORDS - 1]) {
        // SAFETY: words of this goroutine's thread-locals.
        unsafe {
            assert_eq!((*word(&ZEROS, index), *word(&IMAGE, index)), (0, 7), "new for each goroutine");
            *word(&ZEROS, index) = value;
            *word(&IMAGE, index) = value;
        }
        if index % 1000 == 0 {
            gort::yield_now();
        }
    }
    for index in (0..WORDS).step_by(500) {
        // SAFETY: as above.
        unsafe { assert_eq!((*word(&ZEROS, index), *word(&IMAGE, index)), (value, value)) };
    }
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn each_goroutine_has_large_thread_locals_of_its_own() {
    for round in 0..20 {
        let users: Vec<_> = (0..32).map(|n| gort::go(move || use_both(100 + round * 32 + n))).collect();
        users.into_iter().for_each(|user| user.join().unwrap());
    }
    assert!(gort::runtime::metrics().thread_local_bytes >= 128 << 10);
}

/// The stack does not become smaller by what the thread-locals take.
#[gort::test(procs = [1, 2])]
fn a_stack_has_the_room_that_was_asked_for_beside_large_thread_locals() {
    #[inline(never)]
    fn deep(levels: u64) -> u64 {
        let frame = std::hint::black_box([levels; 64]);
        if levels == 0 { 0 } else { deep(levels - 1) + frame[levels as usize % 64] / levels }
    }
    for kib in [64, 256] {
        let handle = gort::Builder::new().stack_size(kib << 10).spawn(move || {
            // Half of what was asked for, in frames of 512 bytes and more.
            let levels = kib as u64 / 4;
            assert_eq!(deep(levels), levels);
            use_both(1);
        });
        handle.unwrap().join().unwrap();
    }
}
