//! `serve-echo`, and `load` against it. See `strangers` for servers of another kind.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use super::*;

const STYLES: [&str; 3] = ["gort", "threads", "epoll"];

#[test]
fn the_two_halves_work_as_two_programs() {
    for style in STYLES {
        let server = EchoServer::of_style(style);
        let addr = server.addr.to_string();
        let load = success(gort(&["load", "--addr", &addr, "--conns", "50", "--duration", "500ms", "--json"]));
        let run: Value = serde_json::from_str(&load).unwrap();
        assert_eq!((&run["conns"], &run["errors"]), (&50.into(), &0.into()), "{run}");
        assert!(run["requests"].as_u64().unwrap() > 0, "{run}");
        assert!(run["style"].is_null() && run["os_threads_peak"].is_null(), "{run}");
        let words = server.end();
        assert!(words.contains("served 50 connections"), "{words}");
    }
}

#[test]
fn a_name_is_as_good_as_an_address() {
    for style in STYLES {
        let server = EchoServer::start(gort(&["serve-echo", "--addr", "localhost:0", "--style", style]));
        assert!(server.addr.ip().is_loopback());
        // The name may stand for an address nobody listens on before the right one.
        let place = format!("localhost:{}", server.addr.port());
        success(gort(&["load", "--addr", &place, "--conns", "3", "--duration", "100ms"]));
        server.end();
    }
}

#[test]
fn a_server_under_nohup_outlives_the_terminal() {
    let mut server = EchoServer::start(gort_after("trap '' HUP", &["serve-echo", "--addr", "127.0.0.1:0"]));
    signal(server.child.id(), "HUP");
    assert_eq!(echo_once(server.addr, b"still there"), b"still there");
    assert!(server.child.try_wait().unwrap().is_none());
    server.end();
}

#[test]
fn several_addresses_share_the_connections() {
    let mut command = gort(&["serve-echo", "--addr", "127.0.0.1:0", "--addr", "127.0.0.2:0"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut addr = || lines.next().unwrap().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    let (one, two) = (addr(), addr());
    success(gort(&["load", "--addr", &one, "--addr", &two, "--conns", "9", "--duration", "100ms"]));
    signal(child.id(), "TERM");
    assert!(lines.next().unwrap().unwrap().contains("served 9 connections"));
    assert!(wait(child).status.success());
}

#[test]
fn sigint_sigterm_and_sighup_end_a_server_in_order_with_connections_open() {
    for style in STYLES {
        for name in ["TERM", "INT", "HUP"] {
            let mut server = EchoServer::of_style(style);
            let mut stream = std::net::TcpStream::connect(server.addr).unwrap();
            stream.write_all(b"hello").unwrap();
            let mut back = [0; 5];
            stream.read_exact(&mut back).unwrap();
            signal(server.child.id(), name);
            let mut words = String::new();
            server.stdout.read_to_string(&mut words).unwrap();
            let status = eventually("the server ends", || server.child.try_wait().unwrap());
            assert!(status.success(), "{style}: {status}");
            assert!(words.contains("served 1 connection, 5 bytes"), "{style}: {words}");
            assert_eq!(stream.read(&mut back).unwrap_or(0), 0, "{style}: the connection is still open");
        }
    }
}

#[test]
fn a_peer_that_resets_or_half_closes_harms_nobody_else() {
    for style in STYLES {
        let server = EchoServer::of_style(style);
        // Data and end in one go: everything must come back before the end does.
        let mut half = std::net::TcpStream::connect(server.addr).unwrap();
        half.write_all(&[7; 100]).unwrap();
        half.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        half.read_to_end(&mut back).unwrap();
        assert_eq!(back, [7; 100], "{style}");
        // Closing with unread data resets.
        let mut rude = std::net::TcpStream::connect(server.addr).unwrap();
        rude.write_all(&[1; 1000]).unwrap();
        drop(rude);
        assert_eq!(echo_once(server.addr, b"still there"), b"still there", "{style}");
        server.end();
    }
}

#[test]
fn a_slow_reader_is_held_back_and_gets_everything() {
    for style in STYLES {
        let server = EchoServer::of_style(style);
        let stream = std::net::TcpStream::connect(server.addr).unwrap();
        let sent: Vec<u8> = (0..8_000_000_u32).map(|i| (i / 7) as u8).collect();
        // One thread pushes until every buffer is full; the other begins to read when the first cannot go on at once.
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (&stream).write_all(&sent));
            let mut back = vec![0; sent.len()];
            (&stream).read_exact(&mut back).unwrap();
            writer.join().unwrap().unwrap();
            assert!(back == sent, "{style}: other bytes came back");
        });
        server.end();
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for style in STYLES {
        let said = failure(gort(&["serve-echo", "--addr", &addr, "--style", style]));
        assert!(said.contains("in use"), "{style}: {said}");
        assert_eq!(
            (said.matches(&addr).count(), said.matches("in use").count()),
            (1, 1),
            "{style}: said twice: {said}"
        );
    }
}

#[test]
fn a_server_without_descriptors_pauses_says_so_once_and_goes_on() {
    for style in STYLES {
        let mut command = gort_after("ulimit -n 40", &["serve-echo", "--addr", "127.0.0.1:0", "--style", style]);
        let mut server = EchoServer::start({
            command.stderr(Stdio::piped());
            command
        });
        let mut said = BufReader::new(server.child.stderr.take().unwrap());
        let crowd: Vec<_> = (0..60).map(|_| std::net::TcpStream::connect(server.addr).unwrap()).collect();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(
            line.contains("accept") && line.contains("Too many open files") && line.contains("limit"),
            "{style}: {line}"
        );
        drop(crowd);
        assert_eq!(echo_once(server.addr, b"after the crowd"), b"after the crowd", "{style}");
        server.end();
        line.clear();
        said.read_to_string(&mut line).unwrap();
        assert_eq!(line, "", "{style}: said more than once");
    }
}

#[test]
fn a_load_on_nobody_says_refused() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap().to_string();
    drop(free);
    let said = failure(gort(&["load", "--addr", &addr, "--conns", "10", "--duration", "1s"]));
    assert!(said.contains(&addr) && said.contains("10 connections were refused"), "{said}");
    assert_eq!(said.matches("connect to").count(), 1, "said twice: {said}");
}
