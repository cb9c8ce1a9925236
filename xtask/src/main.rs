//! Tasks of this repository that are no tests of its own. `cargo xtask` lists them.

mod asan;
mod libcs;
mod musl;
mod rival_tests;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
usage: cargo xtask <task>

  asan [test…]                         gort's tests under AddressSanitizer: it and net, unless other test programs are named
  libcs [--moves N] [suite…]           thread identity with other versions of glibc, from Debian's packages (trixie and sid unless
                                       some are named), a million forced moves each unless told otherwise
  musl [test…]                         gort's tests on musl: it, unless other test programs are named
  rival-tests [--goroutines] [file…]   crossbeam-channel's own tests against gort::chan (docs/RIVAL-TESTS.md);
                                       with --goroutines, on goroutines instead of threads; all files unless some are named";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((task, rest)) if task == "asan" => asan::run(rest),
        Some((task, rest)) if task == "libcs" => libcs::run(rest),
        Some((task, rest)) if task == "musl" => musl::run(rest),
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

/// The workspace's folder.
fn root() -> Result<&'static Path> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the workspace's folder")?)
}

/// Where everything goes that is made.
fn target() -> Result<PathBuf> {
    Ok(std::env::var_os("CARGO_TARGET_DIR").map_or(root()?.join("target"), PathBuf::from))
}
