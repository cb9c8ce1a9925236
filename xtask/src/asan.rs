//! Runs the tests under AddressSanitizer, in bound mode, which such a program falls back to by itself.
//!
//! The sanitizer is a feature of nightly compilers; the stable one has it too and takes the option when it is told to be one.

use crate::{Result, musl, root, target};
use std::process::Command;

/// Tests that cannot hold in such a program, and why.
const SKIPPED: [(&str, &str); 5] = [
    ("timers_that_lose_leave_nothing_behind", "counts resident memory, of which the sanitizer keeps what was freed"),
    ("a_size_that_nobody_has_is_refused_by_name", "frames are several times as large: the smallest stack is too small"),
    ("calls_nest_and_work_on_plain_threads", "as above"),
    ("under_valgrind_goroutines_are_bound", "valgrind does not read such a program"),
    ("the_use_of_stacks_is_told_by_the_place_that_starts_them", "frames are several times as large"),
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let tests = if arguments.is_empty() { vec!["it", "net"] } else { arguments.iter().map(String::as_str).collect() };
    let mut failed = Vec::new();
    for (test, reason) in SKIPPED {
        println!("not run: {test}: {reason}");
    }
    for test in tests {
        let mut command = Command::new(env!("CARGO"));
        command.args(["test", "--locked", "-p", "gort", "--target", "x86_64-unknown-linux-gnu", "--target-dir"]);
        command.arg(target()?.join("asan")).args(["--test", test, "--"]).current_dir(root()?);
        command.args(SKIPPED.iter().flat_map(|(test, _)| ["--skip", test]));
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address").env("RUST_BACKTRACE", "0");
        // Locals lie on the stack: some tests ask where they are. What ends with the process is no leak.
        command.env("ASAN_OPTIONS", "detect_stack_use_after_return=0:detect_leaks=0");
        command.env("GORT_TEST_SCALE", "20").env("GORT_TEST_TIMEOUT", "300s");
        musl::ask_for_bound_mode(test, &mut command);
        if !command.status()?.success() {
            failed.push(test);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("asan: FAILED: {}", failed.join(", ")).into()),
    }
}
