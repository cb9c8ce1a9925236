//! Cases that change what belongs to the whole process run in a child: the same binary, told to run one test.

use std::process::{Command, Output};
use std::sync::OnceLock;

const MARK: &str = "GORT_NET_TEST_CHILD";

/// True in the child.
pub(crate) fn is_child() -> bool {
    static IS_CHILD: OnceLock<bool> = OnceLock::new();
    *IS_CHILD.get_or_init(|| std::env::var_os(MARK).is_some())
}

/// Runs the test `name` (its path in this binary) in a child and returns what it wrote; fails if it fails.
pub(crate) fn run(name: &str) -> Output {
    run_with(name, &[])
}

/// The same with these variables.
pub(crate) fn run_with(name: &str, env: &[(&str, &str)]) -> Output {
    let output = gort::blocking(|| {
        Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(MARK, "1")
            .envs(env.iter().copied())
            .output()
            .unwrap()
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{}\n{out}\n{err}", output.status);
    output
}

fn descriptor_limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes a live `rlimit`.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit
}

/// Sets the number of descriptors that this process may have open.
pub(crate) fn set_descriptor_limit(count: u64) {
    let limit = libc::rlimit { rlim_cur: count, ..descriptor_limit() };
    // SAFETY: the kernel reads a live `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// As many descriptors as this process can get.
pub(crate) fn raise_descriptor_limit() {
    set_descriptor_limit(descriptor_limit().rlim_max);
}
