//! Cases that change what belongs to the whole process run in a child: the same binary, told to run one test.

use std::process::Command;
use std::sync::OnceLock;

const MARK: &str = "GORT_FS_TEST_CHILD";

/// True in the child.
pub(crate) fn is_child() -> bool {
    static IS_CHILD: OnceLock<bool> = OnceLock::new();
    *IS_CHILD.get_or_init(|| std::env::var_os(MARK).is_some())
}

/// Runs the test `name` (its path in this binary) in a child with these variables; fails if it fails.
pub(crate) fn run(name: &str, variables: &[(&str, &str)]) {
    start(&[name, "--exact"], "1 passed", variables);
}

/// Runs every test with one of these in its path in a child, as itself.
pub(crate) fn run_all(filters: &[&str], variables: &[(&str, &str)]) {
    start(&[filters, &["--skip", "_too"]].concat(), " passed", variables);
}

fn start(args: &[&str], says: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(args).args(["--nocapture", "--test-threads=1"]).env(MARK, "1").envs(variables.iter().copied());
    if variables.contains(&("GORT_MODE", "bound")) {
        // `move` is refused there.
        child.env_remove("GORT_PERTURB");
    }
    let output = gort::blocking(|| child.output().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains(says), "{}\n{out}\n{err}", output.status);
}

/// Sets a limit of this process.
pub(crate) fn set_limit(which: libc::__rlimit_resource_t, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes a live `rlimit`, and then reads one.
    unsafe {
        assert_eq!(libc::getrlimit(which, &raw mut limit), 0);
        limit.rlim_cur = value;
        assert_eq!(libc::setrlimit(which, &raw const limit), 0);
    }
}
