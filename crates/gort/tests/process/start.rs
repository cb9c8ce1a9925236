//! A runtime that cannot be had: the program says why and ends with status 2.

use crate::child::{self, Ended};
use crate::common::library::{Scratch, compile};
use crate::support::{set_limit, words_of};
use std::path::PathBuf;

/// A library to preload whose `getauxval` does not report FSGSBASE; `None` where no C compiler is.
fn shim(at: &Scratch) -> Option<PathBuf> {
    const SOURCE: &str = "
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <elf.h>
        unsigned long getauxval(unsigned long type) {
            unsigned long (*next)(unsigned long) = (unsigned long (*)(unsigned long))dlsym(RTLD_NEXT, \"getauxval\");
            unsigned long value = next(type);
            return type == AT_HWCAP2 ? value & ~2UL : value;
        }";
    compile(at, "shim", "c", SOURCE, &[])
}

fn assert_refused(ended: &Ended, why: &str) {
    ended.exited(2).says_once("gort: ").says(why);
    assert!(!ended.out.contains("it ran"), "{ended}");
}

/// No FSGSBASE: the kernel (or a boot option, or an emulator) does not let user space set the thread pointer. The program goes on in bound mode
/// and says so, unless it, or its user, wants goroutines that move or none.
#[test]
fn without_fsgsbase_the_program_says_so_and_goes_on_bound_or_ends() {
    let this = child::of(|case| {
        match case {
            "builder" => gort::runtime::Builder::new().max_procs(2).start().unwrap(),
            "main" => child::gort_main(|| println!("it ran")),
            "requires" => gort::runtime::Builder::new().require_migrating().start().unwrap(),
            "thread" => drop(std::thread::spawn(|| gort::go(|| ())).join()),
            _ => drop(gort::go(|| println!("it ran"))),
        }
        let metrics = gort::runtime::metrics();
        println!("{} because {:?}", metrics.mode, metrics.bound_because);
        assert_eq!((gort::runtime::mode(), gort::runtime::bound_because()), (metrics.mode, metrics.bound_because));
        println!("it ran");
    });
    if crate::support::is_only_bound() {
        println!("skipped: nothing can be hidden that is not looked for");
        return;
    }
    let scratch = Scratch::new();
    let Some(library) = shim(&scratch) else {
        println!("skipped: there is no C compiler (cc) to make a library with that hides FSGSBASE");
        return;
    };
    let library = library.to_str().expect("a path that is text");
    let why = "because user space may not set the thread pointer (no FSGSBASE in AT_HWCAP2)";
    for case in ["go", "builder", "main", "thread"] {
        let ended = this.case(case).env("LD_PRELOAD", library).env("GORT_MODE", "migrating").run();
        assert_refused(&ended, &format!("gort: goroutines cannot move between threads here, {why}"));
        ended.says("FSGSBASE").says("Linux 5.9").says("GORT_MODE=migrating");

        let ended = this.case(case).env("LD_PRELOAD", library).env("GORT_MODE", "auto").run();
        ended.exited(0).says_once("gort: ").prints("it ran");
        ended.says_once(&format!("gort: goroutines stay on the thread on which they begin (bound mode), {why}"));
        if case != "main" {
            ended.prints("bound because Some(\"user space may not set the thread pointer");
        }
    }
    for mode in ["auto", "migrating", "bound"] {
        let ended = this.case("requires").env("LD_PRELOAD", library).env("GORT_MODE", mode).run();
        assert_refused(&ended, "the program requires goroutines that move between threads");
    }
    let ended = this.case("go").env("LD_PRELOAD", library).env("GORT_MODE", "auto").env("GORT_PERTURB", "move").run();
    assert_refused(&ended, "gort: GORT_PERTURB: \"move\" has no meaning here");
    ended.says(why);
}

/// No descriptors left for the poller.
#[test]
fn without_descriptors_the_program_says_so_and_ends() {
    let this = child::of(|case| {
        set_limit(libc::RLIMIT_NOFILE, case.parse().unwrap());
        gort::go(|| println!("it ran")).join().unwrap();
    });
    // One more is enough for an epoll instance, but not for the event descriptor that wakes it.
    for limit in ["3", "4"] {
        let ended = this.run(limit);
        assert_refused(&ended, "gort: cannot create the network poller: ");
        ended.says(&words_of(libc::EMFILE)).says("ulimit -n");
    }
    this.run("64").exited(0).prints("it ran");
}

/// No memory for anything: a limit on the address space below what is in use.
#[test]
fn without_address_space_the_program_says_so_and_ends() {
    let this = child::of(|_| {
        set_limit(libc::RLIMIT_AS, 1 << 20);
        gort::go(|| println!("it ran")).join().unwrap();
    });
    let ended = this.run("");
    assert_refused(&ended, "gort: ");
    ended.says("limit");
}

/// A kernel without membarrier (gVisor, seccomp) is no reason to end: both sides of the fence then pay for it.
#[test]
fn without_membarrier_the_program_runs() {
    let this = child::of(|_| {
        crate::support::refuse_system_calls(&[libc::SYS_membarrier], libc::ENOSYS);
        let handles: Vec<_> = (0..100_u64).map(|n| gort::go(move || n)).collect();
        assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<u64>(), 4950);
        println!("it ran");
    });
    this.run("").exited(0).prints("it ran").never_says("gort: ");
}

/// Threads refused from the very first: one message that says which limits there are.
#[test]
fn without_threads_the_program_says_so_and_ends() {
    let this = child::of(|_| {
        crate::support::refuse_system_calls(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN);
        gort::go(|| println!("it ran")).join().unwrap();
    });
    let ended = this.run("");
    assert_refused(&ended, "gort: ");
    ended.says("thread").says(&words_of(libc::EAGAIN)).says("ulimit -u");
}
