//! No memory for a stack: an error where somebody can take one, and nobody is lost.

use crate::child;
use crate::support::{count_of_ms, is_bound, ms, scaled, set_limit, threads, wait_until};
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

/// Lets the process have `more` bytes of address space beyond what it has now.
fn limit_address_space(more: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    set_limit(libc::RLIMIT_AS, pages * 4096 + more);
}

fn lift_the_limit() {
    set_limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
}

/// Starts the runtime and waits until its threads have all they need; a thread has its name last.
fn start() {
    gort::go(|| ()).join().unwrap();
    let is_up = || threads().values().any(|thread| thread.name == "gort-sysmon");
    wait_until(|| is_up() && count_of_ms() as u64 == gort::runtime::metrics().threads);
}

/// Spawning fails with an `io::Error` that names the limit; `go` panics with the same text; those that were accepted all run once others have
/// ended; then spawning works again.
#[test]
fn without_memory_for_stacks_spawning_fails_and_nobody_is_lost() {
    fn exhaust() {
        static RAN: AtomicUsize = AtomicUsize::new(0);
        let mut parked = Vec::new();
        let error = loop {
            let spawned = gort::Builder::new().spawn(|| {
                RAN.fetch_add(1, SeqCst);
                gort::park();
            });
            match spawned {
                Ok(handle) => parked.push(handle),
                Err(error) => break error,
            }
            assert!(parked.len() < 1_000_000, "the limit does not hold");
            if parked.len() % 64 == 0 {
                gort::yield_now();
            }
        };
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        println!("error {error}\naccepted {}", parked.len());
        let payload = catch_unwind(|| gort::go(|| ())).unwrap_err();
        let text = payload.downcast::<String>().unwrap();
        assert!(text.starts_with("gort::go: ") && text.contains(&error.to_string()), "{text}");
        let refused = catch_unwind(|| gort::scope(|s| drop(s.spawn(|| ())))).unwrap_err();
        assert!(refused.downcast::<String>().unwrap().starts_with("gort::Scope::spawn: "));

        assert!(RAN.load(SeqCst) < parked.len());
        let all = parked.len();
        // First all: a stack that one gives back may go to any of those that wait.
        parked.iter().for_each(|handle| handle.goroutine().unpark());
        parked.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(RAN.load(SeqCst), all);
        wait_until(|| gort::Builder::new().spawn(|| ()).is_ok());
        gort::go(|| ()).join().unwrap();
    }
    let this = child::of(|case| {
        start();
        limit_address_space(32 << 20);
        match case {
            "goroutine" => gort::go(exhaust).join().unwrap(),
            _ => exhaust(),
        }
    });
    for case in ["goroutine", "thread"] {
        let ended = this.run(case);
        ended.exited(0).says_once("gort: no stack for goroutine ").says("RLIMIT_AS, ulimit -v");
        let error = ended.value("error");
        assert!(error.contains("ulimit -v") && error.contains("GORT_STACK_SIZE"), "{ended}");
        // The first reservation, of 256 MiB.
        let most = if is_bound() { 512 } else { 1024 };
        assert!(ended.value("accepted").parse::<u64>().unwrap() >= most - 24, "{ended}");
    }
}

/// Whatever is left of the address space at the start: goroutines run, or the program is told why it cannot have any.
#[test]
fn a_start_with_little_address_space_succeeds_or_says_what_is_missing() {
    let this = child::of(|case| {
        limit_address_space(case.parse::<u64>().unwrap() << 20);
        println!("sum {}", (0..4_u64).map(|n| gort::go(move || n).join().unwrap()).sum::<u64>());
    });
    let mut ran = 0;
    for mib in (4..48).step_by(4).chain((48..400).step_by(32)) {
        let ended = this.run(&mib.to_string());
        if ended.status.success() {
            ran += 1;
            ended.prints("sum 6");
        } else {
            ended.exited(2).says("gort: ").says("ulimit");
        }
    }
    assert!(ran > 5, "{ran}");
}

/// A stack of a size of one's own that cannot be had is refused at once, and others with smaller ones go on.
#[test]
fn a_stack_too_large_for_the_limit_is_refused_and_smaller_ones_go_on() {
    fn try_it() {
        for _ in 0..3 {
            let error = gort::Builder::new().name("large".into()).stack_size(1 << 30).spawn(|| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            let text = error.to_string();
            assert!(text.contains("1048576 KiB") && text.contains("ulimit -v"), "{text}");
            gort::go(|| ()).join().unwrap();
            gort::Builder::new().stack_size(1 << 20).spawn(|| ()).unwrap().join().unwrap();
        }
        let caught = catch_unwind(|| {
            gort::scope(|s| {
                let error = gort::Builder::new().stack_size(1 << 30).spawn_scoped(s, || ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::OutOfMemory);
                s.spawn(|| 5).join().unwrap()
            })
        });
        assert_eq!(caught.unwrap(), 5);
        lift_the_limit();
        let deep = gort::Builder::new().stack_size(1 << 30).spawn(|| std::hint::black_box([1_u8; 100 << 10])[5]);
        assert_eq!(deep.unwrap().join().unwrap(), 1);
        assert_eq!(gort::runtime::metrics().goroutines, u64::from(gort::current().name() == Some("tries")));
    }
    let this = child::of(|case| {
        start();
        limit_address_space(512 << 20);
        match case {
            "goroutine" => gort::Builder::new().name("tries".into()).spawn(try_it).unwrap().join().unwrap(),
            _ => try_it(),
        }
    });
    for case in ["goroutine", "thread"] {
        this.run(case).exited(0).never_says("gort: ");
    }
}

/// LF-05. Rounds of deep stacks take no more memory than one round, and what they have touched is given back when nobody needs it any more.
/// Names and sizes are honoured, those below the least are rounded up; a hundred thousand that are parked fit into a GiB.
#[test]
fn stacks_are_used_again_and_those_that_nobody_needs_are_given_back() {
    fn resident_mib() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() >> 8
    }
    #[inline(never)]
    fn touch() {
        std::hint::black_box(&mut [1_u8; 128 << 10]);
    }
    fn deep_rounds() {
        for _ in 0..100 {
            let barrier = Arc::new(gort::sync::Barrier::new(256));
            let all: Vec<_> = (0..256)
                .map(|_| {
                    let barrier = barrier.clone();
                    gort::go(move || {
                        touch();
                        barrier.wait();
                    })
                })
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        }
        let last = resident_mib();
        // Those of one round, those that each processor has at hand, and what else there is in a process.
        let most = (256 + 64 * gort::runtime::metrics().procs as usize) * 132 / 1024 + 12;
        assert!(last >= 32 && last <= most, "{last} MiB, {most} expected at most");
        // All but those that the processors have at hand, up to 64 each.
        wait_until(|| resident_mib() < last - 12);
        deep_in_use(last);
    }
    /// What was given back can be used again.
    fn deep_in_use(most: usize) {
        let all: Vec<_> = (0..256).map(|_| gort::go(touch)).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        assert!(resident_mib() <= most + 4);
    }
    fn parked() {
        let all: Vec<_> = (0..100_000).map(|_| gort::go(gort::park)).collect();
        wait_until(|| gort::runtime::metrics().waiting == 100_000);
        // Without optimisation frames take a page more.
        let most = if cfg!(debug_assertions) { 1024 + 400 } else { 1024 };
        assert!(resident_mib() < most, "{} MiB", resident_mib());
        all.iter().for_each(|one| one.goroutine().unpark());
        all.into_iter().for_each(|one| one.join().unwrap());
    }
    fn kib_of_own_stack() -> usize {
        let mut attributes = std::mem::MaybeUninit::uninit();
        let (mut low, mut bytes, mut guard) = (std::ptr::null_mut(), 0, 0);
        // SAFETY: the attributes are initialised by the first call and given back by the last.
        unsafe {
            assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()), 0);
            libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut bytes);
            libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
        (bytes + guard) >> 10
    }
    fn settings() {
        let least = if gort::runtime::mode() == gort::runtime::Mode::Bound { 512 } else { 64 };
        for (bytes, kib) in [(1, least), (64 << 10, least), (300_000, 512), (4 << 20, 4096)] {
            let named = gort::Builder::new().name(format!("of {bytes}")).stack_size(bytes);
            let told = named.spawn(|| (gort::current().name().map(str::to_owned), kib_of_own_stack()));
            assert_eq!(told.unwrap().join().unwrap(), (Some(format!("of {bytes}")), kib));
        }
    }
    let this = child::of(|case| match case {
        "rounds" => deep_rounds(),
        "parked" => parked(),
        _ => settings(),
    });
    for case in ["settings", "parked", "rounds"] {
        this.run(case).exited(0).never_says("gort: ");
    }
}

/// Memory that comes free elsewhere is noticed, also by a process in which nothing else happens any more.
#[test]
fn goroutines_without_a_stack_run_when_memory_comes_free_elsewhere() {
    let this = child::of(|case| {
        start();
        // All that is reserved already, taken.
        let mut parked = Vec::new();
        limit_address_space(16 << 20);
        while let Ok(handle) = gort::Builder::new().spawn(gort::park) {
            parked.push(handle);
            if parked.len() % 64 == 0 {
                gort::yield_now();
            }
        }
        let runnable = || gort::runtime::dump().matches(" [runnable]").count();
        assert!(runnable() > 0);
        if case == "settled" {
            // Longer than the monitor watches a process in which nothing happens.
            std::thread::sleep(ms(1500));
        }
        assert!(runnable() > 0);
        let freed = Instant::now();
        lift_the_limit();
        while runnable() > 0 {
            assert!(freed.elapsed() < scaled(ms(2000)), "{}", gort::runtime::dump());
            std::thread::sleep(ms(1));
        }
        for handle in parked {
            handle.goroutine().unpark();
            handle.join().unwrap();
        }
    });
    for case in ["busy", "settled"] {
        this.run(case).exited(0);
    }
}

/// Stacks of one size that are used up keep nobody from stacks of another one.
#[test]
fn each_size_of_stack_runs_out_by_itself() {
    let this = child::of(|_| {
        start();
        let ended = Arc::new(AtomicUsize::new(0));
        limit_address_space(256 << 20);
        let mut large = Vec::new();
        while let Ok(handle) = gort::Builder::new().stack_size(16 << 20).spawn(gort::park) {
            large.push(handle);
        }
        assert!((1..=16).contains(&large.len()), "{}", large.len());
        for _ in 0..500 {
            let ended = ended.clone();
            gort::go(move || ended.fetch_add(1, SeqCst)).join().unwrap();
        }
        assert_eq!(ended.load(SeqCst), 500);
        large.pop().map(|handle| {
            handle.goroutine().unpark();
            handle.join()
        });
        // The stack that has come free is the one that is taken.
        large.push(gort::Builder::new().stack_size(16 << 20).spawn(gort::park).unwrap());
        for handle in large {
            handle.goroutine().unpark();
            handle.join().unwrap();
        }
    });
    this.run("").exited(0).never_says("gort: ");
}
