//! Tasks of this repository that are no tests of its own. `cargo xtask` lists them.

mod rival_tests;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  rival-tests [--goroutines] [file…]   crossbeam-channel's own tests against gort::chan (docs/RIVAL-TESTS.md);
                                       with --goroutines, on goroutines instead of threads; all files unless some are named";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((task, rest)) if task == "rival-tests" => rival_tests::run(rest),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
