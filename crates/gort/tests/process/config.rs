//! Settings: what is wrong is refused by name, what is right arrives.

use crate::child;
use std::io::ErrorKind;
use std::time::Duration;

/// Each variable with values that it cannot have: status 2 before anything runs, and a message with variable, value and expectation.
#[test]
fn a_wrong_value_of_any_variable_is_refused_by_name() {
    let this = child::of(|_| {
        gort::go(|| println!("it ran")).join().unwrap();
    });
    for (variable, expected, values) in [
        ("GORT_MAXPROCS", "1..=1024", &["0", "1025", "-1", "two", "", "1.5", "99999999999999999999"][..]),
        ("GORT_MAX_THREADS", "4..=", &["3", "0", "many", "16385"]),
        ("GORT_STACK_SIZE", "64K..=1G", &["63K", "2G", "256X", "K", "lots", "-1"]),
        ("GORT_PANIC", "report or abort", &["ignore", "Report", ""]),
        ("GORT_DEADLOCK", "exit, report or off", &["on", "Exit", ""]),
        ("GORT_WATCHDOG", "off, log or abort", &["on", "Log", ""]),
        ("GORT_WATCHDOG_AFTER", "a time", &["0", "soon", "-1s", "25h"]),
        ("GORT_SIGQUIT", "on or off", &["yes", "1", "OFF"]),
        ("GORT_PERTURB", "yield, steal, move and wake", &["all", "yield;move", "yield,", ""]),
        ("GORT_SEED", "64 bits", &["x", "0xg", "18446744073709551616", "-1"]),
        ("GORT_MODE", "auto, migrating or bound", &["fast", "Bound"]),
        ("GORT_FS", "auto, uring or threads", &["io_uring", "Threads", ""]),
        ("GORT_MEMBARRIER", "on or off", &["maybe", "0"]),
        ("GORT_RETAKE", "on or off", &["never", "true"]),
        ("GORT_HOG_NICE", "0..=19", &["20", "-1", "off"]),
        ("GORT_THREAD_KEEP_ALIVE", "a time", &["0", "never", "25h"]),
        ("GORT_TEST_TIMEOUT", "a time", &["0", "soon", "5h"]),
    ] {
        for value in values {
            let ended = this.case("").env(variable, value).run();
            ended.exited(2).says(&format!("gort: {variable}: {value:?} ")).says(expected);
            assert!(!ended.out.contains("it ran"), "{ended}");
        }
    }
    // The child's own harness reads this one, too, and takes what it does not understand for 1.
    this.case("")
        .env("GORT_TEST_SCALE", "-3")
        .run()
        .exited(2)
        .says("gort: GORT_TEST_SCALE: \"-3\" ")
        .says("a factor above 0");
}

/// Bytes that are no text are refused as well.
#[test]
fn a_value_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let this = child::of(|_| {
        // Before any thread but this one exists.
        // SAFETY: as just said.
        unsafe { std::env::set_var("GORT_MAXPROCS", std::ffi::OsStr::from_bytes(b"\xff2")) };
        gort::go(|| ()).join().unwrap();
    });
    this.run("").exited(2).says("gort: GORT_MAXPROCS: ").says("is not text").says("1..=1024");
}

/// An unknown variable may be meant for another version: a warning with the nearest name, and the program goes on.
#[test]
fn an_unknown_variable_is_warned_of_with_the_nearest_name() {
    let this = child::of(|_| gort::go(|| println!("it ran")).join().unwrap());
    let ended = this.case("").env("GORT_MAX_PROCS", "2").env("GORT_PANICS", "abort").env("GORT_ZYGOTE", "1").run();
    ended.exited(0).prints("it ran");
    for (unknown, hint) in [
        ("GORT_MAX_PROCS", "did you mean GORT_MAXPROCS?"),
        ("GORT_PANICS", "did you mean GORT_PANIC?"),
        ("GORT_ZYGOTE", "known are GORT_MAXPROCS, "),
    ] {
        ended.says_once(&format!("the environment variable {unknown} is unknown and ignored ({hint}"));
    }
}

/// Right values arrive; the environment wins over the program.
#[test]
fn settings_arrive_and_the_environment_wins() {
    let this = child::of(|case| {
        if case == "builder" {
            gort::runtime::Builder::new().max_procs(3).max_threads(50).stack_size(1 << 20).start().unwrap();
        }
        let metrics = gort::runtime::metrics();
        assert_eq!(metrics.procs as usize, gort::runtime::max_procs());
        println!("procs {}\nthreads {}", gort::runtime::max_procs(), gort::runtime::max_threads());
    });
    let expect = |ended: child::Ended, procs: &str, threads: &str| {
        ended.exited(0);
        assert_eq!((ended.value("procs"), ended.value("threads")), (procs, threads), "{ended}");
    };
    expect(this.case("builder").env("GORT_MAXPROCS", " 5 ").run(), "5", "50");
    expect(this.case("builder").env("GORT_MAX_THREADS", "7").env("GORT_MAXPROCS", "3").run(), "3", "7");
    expect(this.case("none").env("GORT_MAX_THREADS", "9").env("GORT_MAXPROCS", "1").run(), "1", "9");
}

/// The runtime's builder names the setting, the value and the range.
#[test]
fn wrong_values_of_the_runtimes_builder_are_errors() {
    let this = child::of(|_| {
        use gort::runtime::Builder;
        for (builder, expected) in [
            (Builder::new().max_procs(0), "max_procs: 0 is not between 1 and 1024"),
            (Builder::new().max_procs(1025), "max_procs: 1025 is not between 1 and 1024"),
            (Builder::new().max_threads(3), "max_threads: 3 is "),
            (Builder::new().max_threads(usize::MAX), "max_threads: 18446744073709551615 is "),
            (Builder::new().watchdog_after(Duration::ZERO), "watchdog_after: 0ns is not above 0"),
            (Builder::new().watchdog_after(Duration::from_secs(86_401)), "watchdog_after: 86401s is not "),
            (Builder::new().stack_size(0), "stack_size: 0 is not between "),
            (Builder::new().stack_size((1 << 30) + 1), "stack_size: 1073741825 is not between "),
        ] {
            let error = builder.start().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(expected), "{error}");
        }
        // None of them has started anything.
        Builder::new().max_procs(3).start().unwrap();
        assert_eq!(gort::runtime::max_procs(), 3);
        let error = Builder::new().start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("runs already"), "{error}");

        let error = gort::Builder::new().stack_size((1 << 30) + 1).spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1073741825") && error.to_string().contains("1 GiB"), "{error}");
    });
    this.case("").env("GORT_MAXPROCS", "3").run().exited(0);
}

/// Two that start the runtime at the same time: one of them does, the other one is told.
#[test]
fn of_several_starts_at_once_one_wins_and_the_others_are_told() {
    let this = child::of(|_| {
        let barrier = std::sync::Barrier::new(8);
        let start = |procs| {
            barrier.wait();
            gort::runtime::Builder::new().max_procs(procs).start().map(|()| procs)
        };
        let start = &start;
        let won = std::thread::scope(|s| {
            let all: Vec<_> = (1..=8).map(|procs| s.spawn(move || start(procs))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        let winners: Vec<_> = won.iter().flatten().copied().collect();
        assert_eq!(winners, [gort::runtime::max_procs()]);
        assert!(won.iter().flat_map(|one| one.as_ref().err()).all(|error| error.kind() == ErrorKind::AlreadyExists));
    });
    for _ in 0..10 {
        this.run("").exited(0);
    }
}

/// `#[gort::main]` with options that cannot be is refused as variables are.
#[test]
fn wrong_options_of_main_end_with_2() {
    let this = child::of(|case| {
        let options = gort::__private::Options {
            procs: (case == "procs").then_some(0),
            max_threads: (case == "threads").then_some(1),
            stack_size: (case == "stack").then_some(usize::MAX),
            require_migrating: true,
            allocator: false,
        };
        child::end(gort::__private::main(options, || println!("it ran")))
    });
    for (case, expected) in
        [("procs", "max_procs: 0 "), ("threads", "max_threads: 1 "), ("stack", "stack_size: 18446744073709551615 ")]
    {
        let ended = this.run(case);
        ended.exited(2).says(&format!("gort: #[gort::main]: {expected}"));
        assert!(!ended.out.contains("it ran"), "{ended}");
    }
    if !crate::support::is_only_bound() {
        this.case("none").env("GORT_MODE", "migrating").run().exited(0).prints("it ran");
    }
}
