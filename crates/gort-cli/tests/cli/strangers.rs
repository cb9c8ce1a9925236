//! `load` against servers that do not do what an echo server does: what is lost is counted, what is wrong is a failure.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use super::*;

/// What a stranger does with a message.
enum Reply {
    /// Sends it back.
    Whole,
    /// Sends it back with a byte changed.
    Spoiled,
    /// Sends so many bytes of it and closes.
    Part(usize),
    /// Keeps it, and the connection open.
    None,
}

/// A server that asks `how` about each message, by connection and number; its address.
fn stranger(how: impl Fn(usize, usize) -> Reply + Send + Sync + Copy + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            std::thread::spawn(move || converse(stream, |number| how(connection, number)));
        }
    });
    addr
}

/// Ends with the connection: an error is a client that left.
fn converse(mut stream: TcpStream, how: impl Fn(usize) -> Reply) -> std::io::Result<()> {
    let mut message = [0; 64];
    for number in 0.. {
        stream.read_exact(&mut message)?;
        match how(number) {
            Reply::Whole => {}
            Reply::Spoiled => message[40] ^= 1,
            Reply::Part(length) => return stream.write_all(&message[..length]),
            Reply::None => return stream.read(&mut message).map(drop),
        }
        stream.write_all(&message)?;
    }
    Ok(())
}

fn load(addr: &str, conns: &str, more: &[&str]) -> Output {
    let args = [&["load", "--addr", addr, "--conns", conns, "--duration", "300ms"], more].concat();
    finish(gort(&args))
}

#[test]
fn wrong_bytes_are_a_failure_and_early_ends_are_counted_by_kind() {
    let addr = stranger(|connection, number| match (connection, number) {
        (0, 5) => Reply::Spoiled,
        (1, 5) => Reply::Part(10),
        _ => Reply::Whole,
    });
    let json = load(&addr, "5", &["--json"]);
    let run: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(run["errors"], 2, "{run}");
    assert_eq!(run["errors_by_kind"]["mismatch"], 1, "{run}");
    assert_eq!(run["errors_by_kind"]["closed"], 1, "{run}");
    assert_eq!(json.status.code(), Some(1));
    assert!(text(&json.stderr).contains("wrong bytes came back on 1 connection:"), "{}", text(&json.stderr));
}

#[test]
fn lost_connections_are_named_in_sentences_and_nobody_is_at_its_limit() {
    let addr = stranger(|connection, number| match (connection, number) {
        (0, 5) => Reply::Part(10),
        (1, 5) => Reply::Part(0),
        _ => Reply::Whole,
    });
    let output = load(&addr, "5", &["--rate", "1000000"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.contains("2 connections were closed by the server"), "{said}");
    assert!(said.contains("in the middle of a reply, after 10 of 64 bytes") || said.contains("instead of replying"));
    assert!(!said.contains("at its limit"), "{said}");
}

#[test]
fn connections_lost_before_anything_was_measured_leave_no_table() {
    for (reply, reason) in [
        (
            (|_, number| if number == 0 { Reply::Whole } else { Reply::Part(7) }) as fn(usize, usize) -> Reply,
            "after 7 of 64",
        ),
        (|_, number| if number == 0 { Reply::Whole } else { Reply::None }, "timed out"),
    ] {
        let addr = stranger(reply);
        let said = failure(gort(&["load", "--addr", &addr, "--conns", "5", "--duration", "300ms"]));
        assert!(said.contains("measured") && said.contains("5 connections") && said.contains(reason), "{said}");
    }
}

#[test]
fn too_low_a_rate_for_the_time_is_a_failure_that_says_so() {
    let server = EchoServer::of_style("gort");
    let addr = server.addr.to_string();
    let args = ["load", "--addr", &addr, "--conns", "1", "--rate", "1", "--duration", "500ms"];
    let said = failure(gort(&args));
    assert!(said.contains("no request was answered") && said.contains("--rate 1 makes one due every 1.0s"), "{said}");
}

#[test]
fn a_server_that_takes_connections_and_answers_none_is_not_called_unreachable() {
    // Sends everybody away.
    let addr = stranger(|_, _| Reply::Part(0));
    let said = failure(gort(&["load", "--addr", &addr, "--conns", "20", "--duration", "1s"]));
    assert!(said.contains("20 connections") && said.contains("no request was echoed"), "{said}");
    assert!(said.contains("instead of replying"), "{said}");
    // Says nothing, which takes a while to be believed.
    let addr = stranger(|_, _| Reply::None);
    let said = failure(gort(&["load", "--addr", &addr, "--conns", "20", "--duration", "1s"]));
    assert!(said.contains("20 of 20 connections") && said.contains(&addr), "{said}");
    assert!(said.contains("none had their first request answered"), "{said}");
}

#[test]
fn a_server_that_stops_answering_is_counted_not_waited_for() {
    let addr = stranger(|connection, number| if (connection, number) == (0, 2) { Reply::None } else { Reply::Whole });
    let output = load(&addr, "3", &["--json"]);
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{run}{}", text(&output.stderr));
    assert_eq!(run["errors_by_kind"]["timed_out"], 1, "{run}");
    assert_eq!(run["errors"], 1, "{run}");
}
