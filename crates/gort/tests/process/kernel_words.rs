//! What the kernel keeps for a thread, and code in a goroutine may ask it to keep elsewhere.

use crate::child;
use crate::support::needs_migration;
use std::cell::UnsafeCell;

/// Where libc has no area for restartable sequences nobody else gets one on a goroutine: the kernel would write into a block that is another's.
#[test]
fn a_goroutine_cannot_register_restartable_sequences() {
    #[repr(align(32))]
    struct Area(UnsafeCell<[u32; 8]>);
    thread_local!(static AREA: Area = const { Area(UnsafeCell::new([0; 8])) });
    if needs_migration("a goroutine has no block of its own") {
        return;
    }
    let this = child::of(|_| {
        for _ in 0..20 {
            let register = || {
                // SAFETY: it would be this goroutine's, which is what is tried.
                let done = AREA.with(|area| unsafe { libc::syscall(libc::SYS_rseq, area.0.get(), 32, 0, 0x5305_3053) });
                assert_eq!(done, -1);
            };
            gort::go(register).join().unwrap();
        }
    });
    this.case("").env("GLIBC_TUNABLES", "glibc.pthread.rseq=0").run().exited(0).never_says("gort: ");
}

/// A list of robust mutexes that somebody has set for a thread says nothing of where its record is: threads go on as ever, and for a goroutine there is
/// a message.
#[test]
fn a_change_of_credentials_does_not_believe_a_list_of_robust_mutexes() {
    fn set_list() {
        let list = Box::leak(Box::new([0_usize; 3]));
        list[0] = list.as_ptr() as usize;
        // SAFETY: an empty list that stays; the thread holds no robust mutex.
        assert_eq!(unsafe { libc::syscall(libc::SYS_set_robust_list, list.as_ptr(), 24) }, 0);
    }
    fn set_group() {
        // SAFETY: to what it is.
        assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0);
    }
    let this = child::of(|case| {
        gort::go(|| ()).join().unwrap();
        if case == "goroutine" {
            let change = || {
                set_list();
                set_group();
            };
            return gort::go(change).join().unwrap();
        }
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            set_list();
            ready.send(()).unwrap();
            loop {
                std::thread::park();
            }
        });
        is_ready.recv().unwrap();
        set_group();
    });
    this.run("thread").exited(0).never_says("gort: ");
    if !needs_migration("a goroutine has no record of its own") {
        this.run("goroutine").killed_by(libc::SIGABRT).says_once("gort: the kernel does not say").says("setuid");
    }
}

/// An exception flag that another goroutine has left with the thread is no exception of who wants to be told of some.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_division_by_zero_of_anothers_is_no_exception() {
    use std::arch::asm;
    let this = child::of(|_| {
        let (divide, is_due) = gort::chan::bounded::<()>(0);
        let (done, is_done) = gort::chan::bounded::<()>(0);
        let wants = gort::go(move || {
            let usual = 0x037f_u16;
            let told_of_divisions = usual & !4;
            // SAFETY: changes this goroutine's control word, and puts it back.
            unsafe { asm!("fldcw [{}]", in(reg) &raw const told_of_divisions, options(nostack)) };
            divide.send(()).unwrap();
            is_done.recv().unwrap();
            let (one, mut two) = (1_f64, 0_f64);
            // SAFETY: two loads, an addition, a store.
            unsafe {
                asm!("fld qword ptr [{one}]", "fadd qword ptr [{one}]", "fstp qword ptr [{two}]", "fldcw [{usual}]",
                    one = in(reg) &raw const one, two = in(reg) &raw mut two, usual = in(reg) &raw const usual,
                    out("st(0)") _, options(nostack));
            }
            assert_eq!(two, 2.0);
        });
        let divides = gort::go(move || {
            is_due.recv().unwrap();
            // SAFETY: leaves the registers as they were.
            unsafe { asm!("fldz", "fld1", "fdivrp", "fstp st(0)", out("st(0)") _, out("st(1)") _, options(nostack)) };
            done.send(()).unwrap();
        });
        wants.join().unwrap();
        divides.join().unwrap();
    });
    this.case("").env("GORT_MAXPROCS", "1").run().exited(0);
}
