//! How a program ends: when its main returns, whatever goroutines do.

use crate::child;
use crate::support::{ms, needs_migration, pipe, read_byte, threads, wait_for_state};
use std::io::{Error, Write};
use std::process::ExitCode;
use std::time::Duration;

/// SC-09, first half. In a fresh process the count is 1.
#[test]
fn a_fresh_process_has_one_goroutine() {
    fn main() {
        let metrics = gort::runtime::metrics();
        assert_eq!((metrics.goroutines, metrics.running, metrics.created), (1, 1, 1), "{metrics:#?}");
        let dump = gort::runtime::dump();
        assert_eq!(dump.lines().filter(|line| line.starts_with("goroutine ")).count(), 1, "{dump}");
        assert!(dump.starts_with("gort: 1 goroutines,") && dump.contains("\"main\" [running"), "{dump}");
    }
    child::of(|_| child::gort_main(main)).run("").exited(0);
}

/// Goroutines in every state, which would all outlive any test.
fn start_all_kinds() {
    let (stuck, _) = pipe();
    let (marked, _) = pipe();
    type Run = Box<dyn Fn() + Send + Sync>;
    let kinds: [(&str, Run); 6] = [
        ("park", Box::new(gort::park)),
        ("sleep", Box::new(|| gort::sleep(Duration::from_secs(1000)))),
        ("syscall", Box::new(move || gort::blocking(|| read_byte(marked)))),
        ("in the kernel: read", Box::new(move || read_byte(stuck))),
        (
            "runnable",
            Box::new(|| {
                loop {
                    gort::yield_now()
                }
            }),
        ),
        (
            "running",
            Box::new(|| {
                loop {
                    std::hint::spin_loop()
                }
            }),
        ),
    ];
    let all = !needs_migration("goroutines that have begun on a blocked thread wait for it: none is blocked");
    for (state, run) in
        kinds.into_iter().filter(|(state, _)| all || !["syscall", "in the kernel: read", "running"].contains(state))
    {
        let handle = gort::go(run);
        if state != "runnable" {
            wait_for_state(handle.goroutine().id(), state);
        }
    }
    // And many of which some have not begun.
    for _ in 0..1000 {
        gort::go(gort::park);
    }
}

/// The rule is Go's: main returns, the process ends, with the exit code of main; destructors of other goroutines do not run.
#[test]
fn when_main_returns_the_process_ends_with_its_code_whatever_others_do() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            println!("a destructor ran");
        }
    }
    fn main() -> ExitCode {
        start_all_kinds();
        gort::go(|| {
            let _loud = Loud;
            gort::park();
        });
        gort::sleep(ms(5));
        // Buffered, without a line end: the end of the process writes it.
        print!("last words");
        ExitCode::from(17)
    }
    let this = child::of(|_| child::gort_main(main));
    for _ in 0..5 {
        let ended = this.run("");
        ended.exited(17).prints("last words").never_says("gort: ");
        assert!(!ended.out.contains("a destructor ran"), "{ended}");
    }
}

/// Ending while goroutines start, run and end all the time: no crash on the way out.
#[test]
fn ending_in_the_middle_of_everything_crashes_nothing() {
    fn main() {
        fn breed(depth: u32) {
            let text = format!("{depth}");
            gort::yield_now();
            if text.len() < 10 {
                gort::go(move || breed(depth + 1));
            }
        }
        for _ in 0..200 {
            gort::go(|| breed(0));
        }
        gort::sleep(ms(3));
    }
    let this = child::of(|_| child::gort_main(main));
    for _ in 0..15 {
        this.run("").exited(0).never_says("gort: ");
    }
}

/// A panic in main is 101, as std's; its handle is joined, so the process does not wait for anybody else.
#[test]
fn a_panic_in_main_ends_with_101() {
    fn main() {
        start_all_kinds();
        panic!("main fails");
    }
    child::of(|_| child::gort_main(main))
        .run("")
        .exited(101)
        .says_once("gort: goroutine")
        .says("\"main\"")
        .says_once("main fails");
}

/// An error that main returns is printed, and the code is 1, as std's.
#[test]
fn an_error_that_main_returns_is_printed() {
    fn main() -> Result<(), Error> {
        start_all_kinds();
        Err(Error::other("no such luck"))
    }
    let ended = child::of(|_| child::gort_main(main)).run("");
    ended.exited(1).says_once("Error: Custom { kind: Other, error: \"no such luck\" }");
}

/// `process::exit` from a goroutine, on its small stack and with its own thread block, exit handlers included.
#[test]
fn a_goroutine_may_exit_the_process() {
    extern "C" fn at_exit() {
        let text = vec![b'x'; 100_000];
        let _ = std::io::stdout().write_all(b"at exit\n");
        drop(text);
    }
    fn main() {
        start_all_kinds();
        // SAFETY: a function that may run at exit.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
        let ends = gort::go(|| {
            thread_local!(static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
            COUNT.set(1);
            gort::yield_now();
            std::process::exit(33)
        });
        let _: Result<(), _> = ends.join();
    }
    let this = child::of(|_| child::gort_main(main));
    for _ in 0..5 {
        this.run("").exited(33).prints("at exit");
    }
}

/// A plain main that uses goroutines ends them as well; so does an abort.
#[test]
fn a_plain_main_ends_its_goroutines_too() {
    let this = child::of(|case| {
        start_all_kinds();
        if case == "abort" {
            std::process::abort();
        }
    });
    this.run("return").exited(0).never_says("gort: ");
    this.run("abort").killed_by(libc::SIGABRT).never_says("gort: ");
}

/// The attribute itself, with its allocator, under load.
#[test]
fn the_attribute_runs_main_with_its_allocator() {
    mod with_attribute {
        #[gort::main(procs = 3, max_threads = 64, stack_size = 128 << 10)]
        pub(super) fn main() -> Result<(), String> {
            let made: Vec<_> = (0..1000_usize).map(|n| gort::go(move || vec![n; n % 50 + 1])).collect();
            let sum: usize = made.into_iter().map(|handle| handle.join().unwrap()[0]).sum();
            let name = gort::current().name().map(str::to_owned);
            Err(format!("{sum} {name:?} {} {}", gort::runtime::max_procs(), gort::runtime::max_threads()))
        }
    }
    child::of(|_| child::end(with_attribute::main()))
        .case("")
        .env("GORT_MAXPROCS", "3")
        .run()
        .exited(1)
        .says("Error: \"499500 Some(\\\"main\\\") 3 64\"");
}

/// `main` has 8 MiB of stack or, if that is more, what every goroutine is to have: what the report of its overflow advises helps.
#[test]
fn a_larger_stack_for_goroutines_is_one_for_main_too() {
    fn use_12_mib() {
        fn descend(left: usize) -> u8 {
            let room = std::hint::black_box([left as u8; 64 << 10]);
            if left == 0 { room[0] } else { descend(left - 1).wrapping_add(room[left % room.len()]) }
        }
        std::hint::black_box(descend(200));
    }
    let this = child::of(|_| child::gort_main(use_12_mib));
    this.case("").env("GORT_STACK_SIZE", "64M").run().exited(0);
    this.run("").killed_by(libc::SIGABRT).says("\"main\" overflowed its 8 MiB stack");
}

/// Whoever uses nothing of gort pays nothing: the runtime starts with the first use, not before.
#[test]
fn the_runtime_starts_with_its_first_use() {
    child::of(|_| {
        let before = threads().len();
        assert!(before <= 2, "the harness has one or two");
        gort::go(|| ()).join().unwrap();
        // The monitor and one for each processor, at least.
        assert!(threads().len() >= before + 2);
    })
    .run("")
    .exited(0);
}
