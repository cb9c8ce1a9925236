//! The examples, run: without arguments each shows itself at work and looks whether that went well.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// What Cargo has built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not there: cargo build -p gort --examples, or cargo test without --test",
        path.display()
    );
    path
}

fn run(name: &str, input: &[u8]) -> Output {
    let mut command = Command::new(example(name));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    output
}

#[track_caller]
fn prints(name: &str, input: &[u8], expected: &[&str]) {
    let text = String::from_utf8(run(name, input).stdout).unwrap();
    for expected in expected {
        assert!(text.contains(expected), "{name} should print {expected:?}, and prints {text:?}");
    }
}

#[test]
fn wc_counts_what_it_is_given() {
    prints("wc", b"one two\n  three\n\nfour", &["3 4 21\n"]);
    prints("wc", b"", &["0 0 0\n"]);
}

#[test]
fn du_counts_this_package() {
    prints("du", b"", &["KiB in ", "threads at most"]);
}

#[test]
fn tail_f_follows() {
    prints("tail_f", b"", &["one\ntwo\nthree\n"]);
}

#[test]
fn the_supervisor_starts_again_and_ends_all() {
    // On a busy machine the others may be told to end before they have begun.
    let expected = ["\"exit 1\" is given up", "\"exec sleep 1000\" is given up", "received SIGTERM"];
    prints("supervisor", b"", &expected);
}

#[test]
fn the_proxy_copies_both_ways() {
    prints("tcp_proxy", b"", &["HELLO THROUGH THE PROXY"]);
}

#[test]
fn the_udp_responder_answers() {
    run("udp_responder", b"");
}

#[test]
fn the_control_port_obeys() {
    prints("unix_control", b"", &["more: 1", "file: Name:"]);
}
