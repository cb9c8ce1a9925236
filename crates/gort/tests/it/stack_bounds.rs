//! Stack bounds as the system tells them, for goroutines as for threads.

use crate::support::{needs_migration, rounds};
use std::ffi::c_void;

/// Lower end, upper end and guard of the calling thread's stack.
pub(crate) fn bounds() -> (usize, usize, usize) {
    let mut attributes = std::mem::MaybeUninit::uninit();
    let (mut low, mut bytes, mut guard) = (std::ptr::null_mut::<c_void>(), 0, 0);
    // SAFETY: the attributes are initialised by the first call and given back by the last.
    unsafe {
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()), 0);
        assert_eq!(libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut bytes), 0);
        assert_eq!(libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard), 0);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    (low as usize, low as usize + bytes, guard)
}

#[inline(never)]
pub(crate) fn here() -> usize {
    let local = std::hint::black_box(0_u8);
    &raw const local as usize
}

// Elsewhere the answer is about the thread (`stack::bounds`).
#[cfg(target_env = "gnu")]
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_that_asks_for_its_stack_gets_its_own() {
    let plain = bounds();
    let ask = |kib: usize| {
        let asks = move || {
            let first = bounds();
            let (low, high, guard) = first;
            assert!(low < here() && here() < high);
            let are_own = gort::runtime::mode() == gort::runtime::Mode::Migrating;
            // In bound mode the smallest is larger.
            let kib = if are_own { kib } else { kib.max(512) };
            assert_eq!(high - low + guard, kib << 10, "the whole slot, of which a part is the guard");
            assert!((low..high).contains(&(std::ptr::from_ref(&std::thread::current()) as usize)));
            // SAFETY: this goroutine's errno, a thread-local.
            let errno = unsafe { libc::__errno_location() } as usize;
            assert_eq!((low..high).contains(&errno), are_own, "thread-locals are in it, if they are the goroutine's");
            gort::yield_now();
            assert_eq!(bounds(), first);
            assert_ne!(gort::host(bounds), first);
            (low, high)
        };
        gort::Builder::new().stack_size(kib << 10).spawn(asks).unwrap()
    };
    let answers: Vec<_> = [64, 256, 1024, 256].map(ask).into_iter().map(|handle| handle.join().unwrap()).collect();
    assert!(answers.iter().all(|&(low, high)| high <= plain.0 || plain.1 <= low));
    assert_eq!(bounds(), plain, "plain threads are answered by libc as ever");
    let thread = std::thread::spawn(|| {
        let (low, high, _) = bounds();
        low < here() && here() < high
    });
    assert!(gort::blocking_send(|| thread.join().unwrap()));
}

/// `stacker` asks where the stack ends and goes on elsewhere in time; goroutines park on the stacks that it makes.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_crate_that_grows_the_stack_works_in_goroutines() {
    if needs_migration("the crate remembers the bounds by thread") {
        return;
    }
    fn deep(levels: usize) -> usize {
        stacker::maybe_grow(32 << 10, 256 << 10, || {
            let frame = std::hint::black_box([levels; 64]);
            if levels.is_multiple_of(1000) {
                gort::yield_now();
            }
            if levels == 0 { 0 } else { deep(levels - 1) + frame[levels % 64] / levels }
        })
    }
    let handles: Vec<_> = (0..8)
        .map(|_| {
            gort::go(|| {
                let left = stacker::remaining_stack().expect("the bounds are known");
                assert!(left > 100 << 10 && left < 256 << 10, "{left} bytes left");
                assert_eq!(deep(rounds(20_000)), rounds(20_000));
                assert!(gort::host(stacker::remaining_stack).is_some_and(|left| left > 256 << 10));
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}
