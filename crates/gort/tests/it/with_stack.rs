//! `with_stack`: frames elsewhere, everything else as it was.

use crate::support::{Dice, needs_migration, rounds};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

thread_local!(static OWN: Cell<u64> = const { Cell::new(0) });

/// Uses `kib` KiB of stack (twice as much in a build without optimisation), and parks at the bottom of it and on the way back.
#[inline(never)]
fn deep(kib: usize, seed: u64) -> u64 {
    let frame = std::hint::black_box([seed; 128]);
    if kib == 0 {
        gort::yield_now();
        return 0;
    }
    let below = deep(kib - 1, seed + 1);
    if kib.is_multiple_of(100) {
        gort::yield_now();
    }
    assert!(frame.iter().all(|&word| word == seed), "a frame was written over");
    below + 1
}

/// Whose stack it is does not matter to anything but frames: thread-locals, `!Send` values, the goroutine's id; parks and moves included.
#[gort::test(procs = [1, 2, 4])]
fn everything_but_the_frames_is_as_outside() {
    let all: Vec<_> = (0..8_u64)
        .map(|index| {
            gort::go(move || {
                let mut dice = Dice::of(index as usize);
                let shared = Rc::new(Cell::new(0));
                let me = gort::current().id();
                for round in 0..rounds(30) as u64 {
                    OWN.set(round);
                    let kib = 300 + dice.roll(700);
                    let ours = shared.clone();
                    let depth = gort::with_stack(4 << 20, || {
                        assert_eq!(gort::current().id(), me);
                        if gort::runtime::mode() == gort::runtime::Mode::Migrating {
                            assert_eq!(OWN.get(), round);
                        }
                        ours.set(ours.get() + 1);
                        deep(kib, index)
                    });
                    assert_eq!((depth, shared.get()), (kib as u64, round + 1));
                }
            })
        })
        .collect();
    all.into_iter().for_each(|one| one.join().unwrap());
}

/// One in another, with a goroutine started inside, and on a plain thread.
#[gort::test(procs = [1, 2])]
fn calls_nest_and_work_on_plain_threads() {
    fn nested(levels: u32) -> u64 {
        if levels == 0 {
            return gort::go(|| gort::with_stack(1 << 20, || deep(300, 1))).join().unwrap();
        }
        gort::with_stack(1 << 20, || deep(400, 1) + nested(levels - 1))
    }
    assert_eq!(nested(5), 2300);
    let thread = std::thread::spawn(|| {
        assert_eq!(nested(3), 1500);
        gort::with_stack(32 << 20, || {
            let (sender, receiver) = gort::chan::bounded(0);
            gort::go(move || sender.send(7).unwrap());
            assert_eq!(receiver.recv(), Ok(7));
            deep(10_000, 2)
        })
    });
    assert_eq!(gort::blocking_send(|| thread.join().unwrap()), 10_000);
    assert_eq!(gort::host(|| gort::with_stack(8 << 20, || deep(3000, 3))), 3000);
}

/// A panic comes out, with its payload, through as many of them as there are, and the stacks can be used again.
#[gort::test(procs = [1, 2])]
fn a_panic_comes_out_as_from_any_call() {
    struct Parks<'a>(&'a Cell<u32>);
    impl Drop for Parks<'_> {
        fn drop(&mut self) {
            gort::yield_now();
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Cell::new(0);
    for round in 0..rounds(50) as u32 {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _outer = Parks(&dropped);
            gort::with_stack(1 << 20, || {
                let _middle = Parks(&dropped);
                gort::with_stack(64 << 10, || {
                    let _inner = Parks(&dropped);
                    std::panic::resume_unwind(Box::new(round))
                })
            })
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u32>().unwrap(), round);
        assert_eq!(dropped.get(), 3 * (round + 1));
        assert!(!std::thread::panicking());
    }
}

#[gort::test(procs = [1])]
fn a_size_that_nobody_has_is_refused_by_name() {
    let payload = catch_unwind(|| gort::with_stack((1 << 30) + 1, || ())).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert_eq!(*text, "gort::with_stack: 1073741825 bytes are more than 1 GiB, the largest stack there is");
    assert_eq!(gort::with_stack(0, || deep(12, 0)), 12, "rounded up to what there is");
}

/// Who asks for the bounds of the stack gets those of the one that is in use.
#[gort::test(procs = [1, 2])]
fn the_bounds_are_those_of_the_stack_in_use() {
    if needs_migration("the crate remembers the bounds by thread") {
        return;
    }
    gort::go(|| {
        let outside = crate::stack_bounds::bounds();
        gort::with_stack(8 << 20, || {
            let (low, high, guard) = crate::stack_bounds::bounds();
            assert_eq!(high - low + guard, 8 << 20);
            assert!((low..high).contains(&crate::stack_bounds::here()));
            gort::yield_now();
            assert_eq!(crate::stack_bounds::bounds(), (low, high, guard));
        });
        assert_eq!(crate::stack_bounds::bounds(), outside);
    })
    .join()
    .unwrap();
}

/// What goroutines of a place have used is told by place, of those that have ended and of those that still run.
#[gort::test(procs = [1, 2])]
fn the_use_of_stacks_is_told_by_the_place_that_starts_them() {
    fn used(line: u32) -> gort::runtime::StackUse {
        let uses = gort::runtime::stack_use();
        assert!(uses.is_sorted_by(|one, other| one.used >= other.used));
        let ours = |one: &&gort::runtime::StackUse| one.site.file() == file!() && one.site.line() == line;
        *uses.iter().find(ours).unwrap_or_else(|| panic!("line {line} is missing in {uses:?}"))
    }
    // On stacks that others have used before.
    (0..64).for_each(|_| gort::go(|| deep(80, 0)).join().map(drop).unwrap());
    let shallow = line!() + 1;
    gort::go(|| ()).join().unwrap();
    let middle = line!() + 1;
    gort::go(|| deep(40, 0)).join().unwrap();
    let still_runs = line!() + 1;
    let running = gort::Builder::new().stack_size(1 << 20).spawn(|| (deep(400, 0), gort::park()));
    crate::support::wait_for_state(running.as_ref().unwrap(), "park");
    let (shallow, middle, still_runs) = (used(shallow), used(middle), used(still_runs));
    assert!(shallow.used < 24 << 10, "{shallow}");
    assert!((40 << 10..120 << 10).contains(&middle.used), "{middle}");
    assert!((400 << 10..900 << 10).contains(&still_runs.used), "{still_runs}");
    let usual = if gort::runtime::mode() == gort::runtime::Mode::Bound { 512 << 10 } else { 256 << 10 };
    assert_eq!((middle.size, still_runs.size), (usual, 1 << 20));
    assert!(shallow.measured >= 1 && still_runs.measured >= 1);
    let running = running.unwrap();
    running.goroutine().unpark();
    running.join().unwrap();
    let deepest: Vec<_> = gort::runtime::metrics().deepest_stacks.into_iter().flatten().collect();
    assert!(deepest.is_sorted_by(|one, other| one.used >= other.used), "{deepest:?}");
    assert!(deepest[0].used >= still_runs.used, "{deepest:?}");
}
