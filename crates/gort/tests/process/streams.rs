//! Standard streams that are closed, full or go nowhere: reports must not hang, and their failure must not become a failure of the program.

use crate::child::{self, Test};
use crate::support::{ms, wait_until};
use std::fs::File;
use std::io::Write;
use std::process::Stdio;

/// A panic behind a dropped handle, a dump, an unknown variable: everything that the runtime says by itself.
fn say_everything() {
    let dropped = gort::Builder::new().name("dropped".into()).spawn(|| panic!("nobody asks")).unwrap();
    drop(dropped);
    drop(gort::go(|| std::panic::resume_unwind(Box::new(5))));
    wait_until(|| gort::runtime::metrics().goroutines == 0);
    // SAFETY: a signal that is handled.
    unsafe { libc::kill(libc::getpid(), libc::SIGQUIT) };
    gort::go(|| gort::sleep(ms(5))).join().unwrap();
    let joined = gort::go(|| panic!("somebody asks")).join();
    assert_eq!(*joined.unwrap_err().downcast::<&str>().unwrap(), "somebody asks");
}

fn play(case: &str) -> ! {
    let close = |fd| {
        // SAFETY: nobody else uses the descriptor yet.
        unsafe { libc::close(fd) };
    };
    match case {
        "closed late" => {
            gort::go(|| ()).join().unwrap();
            close(0);
            close(2);
        }
        "closed early" => {
            // The runtime's own descriptors then get these numbers.
            close(0);
            close(2);
        }
        "abort" => {
            drop(gort::Builder::new().abort_on_panic(true).spawn(|| panic!("the end")).unwrap().join());
        }
        "main fails" => child::gort_main(|| -> () { panic!("main fails") }),
        "main errs" => child::gort_main(|| Err::<(), _>("main errs")),
        "overflow" => {
            #[allow(unconditional_recursion)]
            fn deep() {
                let frame = std::hint::black_box([1_u64; 8]);
                deep();
                std::hint::black_box(&frame);
            }
            drop(gort::go(deep).join());
        }
        _ => {}
    }
    say_everything();
    // Standard output may be what is missing, so the code is the only sign.
    std::process::exit(42)
}

fn cases(this: Test, with: impl Fn(child::Case) -> child::Case) {
    let child = |case| with(this.case(case).env("GORT_PERTURB", "yield").env("GORT_WHAT", "no such thing"));
    child("plain").run().exited(42);
    child("abort").run().killed_by(libc::SIGABRT);
    child("overflow").run().killed_by(libc::SIGABRT);
    child("main fails").run().exited(101);
    child("main errs").run().exited(1);
    with(this.case("plain").env("GORT_MAXPROCS", "none")).run().exited(2);
}

/// Closed from the start (std then opens /dev/null in their place).
#[test]
fn closed_streams_hang_nothing() {
    let this = child::of(|case| play(case));
    for fd in [0, 1, 2] {
        cases(this, |child| child.without_descriptor(fd));
    }
}

/// Closed by the program itself, before or after the runtime has started.
#[test]
fn streams_closed_by_the_program_hang_nothing() {
    let this = child::of(|case| play(case));
    this.run("closed late").exited(42);
    this.run("closed early").exited(42);
}

/// Nobody at the other end of the pipe: each write fails.
#[test]
fn streams_that_nobody_reads_any_more_hang_nothing() {
    let this = child::of(|case| play(case));
    cases(this, |child| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        child.stderr(writer.into())
    });
}

/// A full disk: each write fails.
#[test]
fn streams_to_a_full_device_hang_nothing() {
    let this = child::of(|case| play(case));
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    cases(this, |child| child.stderr(full()));
}

/// A panic while standard output is locked by another goroutine: the report goes to standard error, which is not.
#[test]
fn a_report_waits_for_no_lock_of_standard_output() {
    let this = child::of(|_| {
        let holds = gort::go(|| {
            let mut out = std::io::stdout().lock();
            gort::park();
            writeln!(out, "held").unwrap();
        });
        wait_until(|| gort::runtime::metrics().waiting == 1);
        gort::go(|| panic!("said")).join().unwrap_err();
        holds.goroutine().unpark();
        holds.join().unwrap();
    });
    this.run("").exited(0).says_once("said").prints("held");
}
