//! The thread with tiny queues, and goroutines played by plain threads.

use super::{NOT_DONE, Op, Room, State, begin, forget_refusal, refuse, run, set_stops, state, want};
use crate::context::Bound;
use crate::g::{GList, WaitReason};
use crate::sched;
use crate::spawn;
use crate::sys::file::At;
use crate::sys::uring::{Ring, Sqe};
use std::os::fd::AsRawFd;
use std::panic::Location;

fn deliver(ready: &mut GList) {
    sched::ready_list(ready);
}

fn wait(op: &Op) -> i32 {
    while !op.is_done() {
        Bound::NONE.park(spawn::wait_record(), WaitReason::Disk, 0, Location::caller());
    }
    op.result()
}

/// More operations than there is room for, from several sides, some of which are given up at once: each has its one result, and nothing is left behind
/// when the thread ends, however often that is. Where there is no io_uring all of it is not done.
#[test]
fn what_is_handed_over_comes_back_once() {
    let room = Room { entries: 2, results: 4, workers: 1 };
    let has_uring = Ring::new(2, 4).and_then(|ring| ring.limit_workers(1)).is_ok();
    for _ in 0..20 {
        assert!(want() && begin());
        let thread = std::thread::spawn(move || run(room, deliver, || ()));
        std::thread::scope(|s| {
            for side in 0..3 {
                s.spawn(move || {
                    let file = std::fs::File::open("/proc/self/exe").unwrap();
                    let mut bufs = [[0_u8; 8]; 50];
                    let fd = file.as_raw_fd();
                    let sqes = bufs.each_mut().map(|buf| Sqe::read(fd, At::Offset(0), buf.as_mut_ptr(), buf.len()));
                    let ops = sqes.map(|sqe| Op::new(spawn::wait_record(), sqe));
                    for (n, op) in ops.iter().enumerate() {
                        // SAFETY: all of it is waited for below. Somebody asks for a thread that is there, or for another one after this.
                        assert!(unsafe { !op.submit() });
                        if n % 3 == side {
                            assert!(!op.give_up());
                        }
                    }
                    for op in &ops {
                        let result = wait(op);
                        assert!(matches!(result, 8 | NOT_DONE) || result == -libc::ECANCELED, "{result}");
                        assert!(has_uring || result == NOT_DONE);
                    }
                });
            }
        });
        set_stops(true);
        thread.join().unwrap();
        assert_eq!(state(), if has_uring { State::Off } else { State::Refused });
        if !has_uring {
            return;
        }
    }
    // Who is late leaves his operation with nobody, asks for a thread, and gets one, or hears that there is none.
    let op = Op::new(spawn::wait_record(), Sqe::sync(-1, true));
    // SAFETY: it is waited for below.
    assert!(unsafe { op.submit() } && begin());
    refuse("a test", deliver);
    assert_eq!((wait(&op), state()), (NOT_DONE, State::Refused));
    assert_eq!(super::refused_because(), Some("a test"));
    // A new start tries again; and changes nothing of what was not refused.
    forget_refusal();
    assert_eq!((state(), super::refused_because()), (State::Off, None));
    assert!(want());
    forget_refusal();
    assert_eq!(state(), State::Wanted);
    assert!(begin());
    refuse("a test", deliver);
}
