//! Whatever cannot be had is one error with the way out, not a panic.

use std::os::unix::fs::MetadataExt as _;

use super::*;

/// Fails with the status of an error, without a panic; what was said.
fn refusal(command: Command) -> String {
    let output = finish(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(text(&output.stdout), "");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn too_little_address_space_for_the_connections_is_one_error() {
    let args = ["fanout", "--conns", "2000", "--duration", "300ms"];
    // Several, for what is left when the stacks have theirs depends on the limit; and `malloc` must find enough.
    for limit in (340_000..360_000).step_by(3_000) {
        let said = refusal(gort_after(&format!("ulimit -v {limit}"), &args));
        // Both ends have the same limit. Either may be short first.
        let client = said.contains("cannot start the client goroutine") && said.contains("--conns");
        let server = said.contains("cannot start a goroutine for a connection");
        assert!(client || server, "{limit}: {said}");
        assert!(said.contains("ulimit -v"), "{limit}: {said}");
        assert_eq!(said.matches("cannot start").count(), 1, "{limit}: {said}");
        assert!(!said.contains("self-check failed"), "{limit}: {said}");
    }
}

#[test]
fn too_few_threads_are_one_error() {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    // The limit does not hold for root: another user, whom nobody else is, and who may not be let into the target directory.
    let (limits, exec) = match is_root {
        true => (&[1, 2, 3][..], "exec setpriv --reuid 61234 --regid 61234 --clear-groups"),
        false => (&[1][..], "exec"),
    };
    let program = std::env::temp_dir().join(format!("gort-for-all-{}", std::process::id()));
    std::fs::copy(env!("CARGO_BIN_EXE_gort"), &program).unwrap();
    for limit in limits {
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!("ulimit -u {limit}; {exec} \"$0\" \"$@\"")).arg(&program);
        command.args(["fanout", "--conns", "5", "--duration", "100ms"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = refusal(command);
        assert!(said.contains("cannot start") && said.contains("ulimit -u"), "ulimit -u {limit}: {said}");
    }
    std::fs::remove_file(&program).unwrap();
}
