//! Ownership of a P, step by step, and on two threads with the real membarrier, which no model knows.

use super::{Lease, Owner, Stay, retake_step};

#[test]
fn a_lease_ends_with_every_change() {
    let owner = Owner::new();
    assert!(owner.current().is_idle());
    let first = owner.acquire(3);
    assert_eq!((first.m, owner.current()), (3, first));
    let second = owner.renew(first).unwrap();
    assert_ne!(first, second);
    assert!(owner.renew(first).is_none() && !owner.retake(first) && !owner.release(first));
    assert!(owner.retake(second) && owner.current().is_idle());
    assert!(owner.renew(second).is_none());
    let third = owner.acquire(4);
    assert!(owner.release(third) && owner.current().is_idle());
}

#[test]
fn an_epoch_that_comes_round_is_just_another() {
    let last = Lease { m: 1, epoch: u32::MAX };
    assert_eq!(Lease::unpack(last.pack()), last);
    assert_eq!(last.next(2), Lease { m: 2, epoch: 0 });
}

#[test]
fn a_p_is_retaken_only_in_the_visit_to_user_code_that_was_seen() {
    let (stay, owner) = (Stay::new(), Owner::new());
    let lease = owner.acquire(1);
    let seen = stay.sample();
    assert!(!stay.enter());
    assert!(!Stay::in_user_code(stay.sample()));
    assert!(!retake_step(&stay, &owner, lease, stay.sample(), || true), "it is in the runtime");
    stay.leave();
    assert!(!retake_step(&stay, &owner, lease, seen, || true), "it was in the runtime since");
    assert!(stay.enter(), "both attempts left a mark");
    stay.clear_mark();
    let lease = owner.renew(lease).unwrap();
    stay.leave();
    assert!(!stay.is_marked());
    assert!(!retake_step(&stay, &owner, lease, stay.sample(), || false), "there was no barrier");
    assert!(retake_step(&stay, &owner, lease, stay.sample(), || true));
    assert!(stay.enter() && owner.renew(lease).is_none(), "the M finds out");
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
mod stress {
    use core::hint::spin_loop;
    use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
    use core::sync::atomic::{AtomicBool, AtomicU64, fence};
    use std::time::{Duration, Instant};
    use std::{eprintln, thread};

    use super::super::{Owner, Stay, retake_step};

    /// membarrier(2). This crate makes no system calls; its tests make this one.
    fn membarrier(command: u32) -> isize {
        let result;
        // SAFETY: the call takes three numbers and touches no memory of ours; rcx and r11 are named as lost.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") 324_isize => result,
                in("rdi") u64::from(command),
                in("rsi") 0_u64,
                in("rdx") 0_u64,
                out("rcx") _,
                out("r11") _,
                options(nostack),
            );
        }
        result
    }

    const PRIVATE_EXPEDITED: u32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 16;

    /// An M visits the runtime again and again; sysmon takes its P whenever it can, keeps it for a moment and lets it
    /// go. Each adds to a sum that only the owner may touch, and does so without care.
    fn fight(enter: fn(&Stay) -> bool, barrier: fn() -> bool) {
        let (stay, owner) = (Stay::new(), Owner::new());
        // The scheduler's list of idle Ps, and the end.
        let (is_idle, done) = (AtomicBool::new(false), AtomicBool::new(false));
        let sum = AtomicU64::new(0);
        let touch = || sum.store(sum.load(Relaxed) + 1, Relaxed);
        let mut lease = owner.acquire(1);
        let start = Instant::now();
        thread::scope(|scope| {
            let m = scope.spawn(|| {
                let mut visits = 0;
                while !done.load(Relaxed) {
                    if enter(&stay) {
                        stay.clear_mark();
                        lease = owner.renew(lease).unwrap_or_else(|| {
                            while !is_idle.swap(false, Acquire) {
                                thread::yield_now();
                            }
                            owner.acquire(1)
                        });
                    }
                    touch();
                    visits += 1;
                    stay.leave();
                    (0..visits % 64).for_each(|_| spin_loop());
                }
                visits
            });
            let mut retakes = 0;
            while start.elapsed() < Duration::from_millis(400) || retakes == 0 {
                assert!(start.elapsed() < Duration::from_secs(60), "not one chance to retake in a minute");
                let lease = owner.current();
                let seen = stay.sample();
                if !lease.is_idle() && Stay::in_user_code(seen) && retake_step(&stay, &owner, lease, seen, barrier) {
                    touch();
                    retakes += 1;
                    is_idle.store(true, Release);
                }
            }
            done.store(true, Relaxed);
            let visits: u64 = m.join().unwrap();
            assert_eq!(sum.load(Relaxed), visits + retakes, "two owned the P at the same time");
        });
    }

    #[test]
    fn an_m_without_fences_and_sysmon_with_membarrier_never_both_own_the_p() {
        if membarrier(REGISTER_PRIVATE_EXPEDITED) != 0 {
            eprintln!("this system refuses membarrier: only the form with fences was tested");
            return;
        }
        fight(Stay::enter, || membarrier(PRIVATE_EXPEDITED) == 0);
    }

    #[test]
    fn an_m_with_fences_and_sysmon_with_one_never_both_own_the_p() {
        fight(Stay::enter_fenced, || {
            fence(SeqCst);
            true
        });
    }
}
