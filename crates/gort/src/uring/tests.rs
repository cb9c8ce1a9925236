//! The thread with tiny queues, and goroutines played by plain threads.

use super::{DOOR, Lasts, NOT_DONE, Op, Room, State, begin, forget_refusal, refuse, run, set_stops, state, want};
use crate::context::Bound;
use crate::g::{GList, WaitReason};
use crate::sched;
use crate::spawn;
use crate::sys::clock;
use crate::sys::eventfd::EventFd;
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
    let _one = ONE_AT_A_TIME.lock();
    // Of the other test.
    forget_refusal();
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
    refuse("a test", Lasts::ForGood, deliver);
    assert_eq!((wait(&op), state()), (NOT_DONE, State::Refused));
    assert_eq!(super::refused_because(), Some("a test"));
    // A new start tries again; and changes nothing of what was not refused.
    forget_refusal();
    assert_eq!((state(), super::refused_because()), (State::Off, None));
    assert!(want());
    forget_refusal();
    assert_eq!(state(), State::Wanted);
    assert!(begin());
    refuse("a test", Lasts::ForGood, deliver);
}

/// What passes is tried again after a pause that grows, and not before; a new start does not wait for its end.
#[test]
fn a_refusal_that_passes_is_tried_again_after_a_pause() {
    let _one = ONE_AT_A_TIME.lock();
    forget_refusal();
    for _ in 0..3 {
        assert!(want() && begin());
        let before = clock::now_ns();
        let pause = DOOR.lock().pause_ns;
        refuse("a test", Lasts::AWhile, deliver);
        assert_eq!((state(), super::refused_because()), (State::Later, Some("a test")));
        assert_eq!(DOOR.lock().pause_ns, pause * 2);
        let early = want();
        assert!(!early || clock::now_ns() >= before + pause);
        if early {
            assert!(begin());
            refuse("a test", Lasts::AWhile, deliver);
        }
        DOOR.lock().pauses_until_ns = clock::now_ns();
    }
    forget_refusal();
    assert_eq!((state(), super::refused_because()), (State::Off, None));
    assert_eq!(DOOR.lock().pause_ns, super::FIRST_PAUSE_NS);
}

/// The tests here share the one thread.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A sandbox that refuses io_uring while the kernel has an operation: it is cancelled and ends as not done, as does whatever comes then, and the state says why.
#[test]
fn what_the_kernel_refuses_to_go_on_with_is_not_done() {
    let _one = ONE_AT_A_TIME.lock();
    let room = Room { entries: 4, results: 8, workers: 1 };
    if Ring::new(2, 4).and_then(|ring| ring.limit_workers(1)).is_err() {
        return;
    }
    forget_refusal();
    assert!(want() && begin());
    let thread = std::thread::spawn(move || {
        refuse_to_wait_for_results_only();
        run(room, deliver, || ());
    });
    let (never, now) = (EventFd::new().unwrap(), EventFd::new().unwrap());
    let mut words = [0_u64; 2];
    let [first, second] = words.each_mut().map(|word| std::ptr::from_mut(word).cast::<u8>());
    now.tell();
    let waits = Op::new(spawn::wait_record(), Sqe::read(never.raw(), At::Cursor, first, 8));
    let comes = Op::new(spawn::wait_record(), Sqe::read(now.raw(), At::Cursor, second, 8));
    // SAFETY: both are waited for below.
    unsafe {
        assert!(!waits.submit() && !comes.submit());
    }
    // When this one has its result, the kernel has the other one, and there is nothing to hand in: so the thread waits, and that is refused.
    assert_eq!(wait(&comes), 8);
    assert_eq!(wait(&waits), NOT_DONE);
    thread.join().unwrap();
    assert_eq!((state(), words), (State::Refused, [0, 1]));
    assert!(super::refused_because().unwrap().starts_with("io_uring_enter: Operation not permitted"));
}

/// From here on this thread may enter a ring only to hand in operations.
fn refuse_to_wait_for_results_only() {
    const CALL: u32 = 0;
    /// The low words of the arguments.
    const HANDED_IN: u32 = 16 + 8;
    let op = |code: u32, yes, no, k| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let (load, is) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    let end = libc::BPF_RET | libc::BPF_K;
    let mut program = [
        op(load, 0, 0, CALL),
        op(is, 0, 3, libc::SYS_io_uring_enter as u32),
        op(load, 0, 0, HANDED_IN),
        op(is, 0, 1, 0),
        op(end, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(end, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers, and a filter that lives as long as the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0), 0);
    }
}
