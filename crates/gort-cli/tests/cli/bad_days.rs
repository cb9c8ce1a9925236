//! Either process dies, the user has had enough, nobody reads the output: never a hang, never a process left behind.

use std::os::unix::process::ExitStatusExt as _;

use super::*;

/// The server process of a running `fanout`.
fn server_of(parent: &Child) -> u32 {
    eventually("the server process starts", || {
        let pid = *children(parent.id()).first()?;
        // Between fork and exec it is still the parent's image.
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command.contains("serve-echo").then_some(pid)
    })
}

/// Waits until all connections of the server are open.
fn connected(server: u32, conns: usize) {
    eventually("the clients connect", || {
        let open = std::fs::read_dir(format!("/proc/{server}/fd")).map_or(0, |fds| fds.count());
        (open >= conns).then_some(())
    });
}

#[test]
fn a_server_that_dies_under_load_is_an_error_with_its_status() {
    for args in [
        &["fanout", "--conns", "50", "--duration", "60s"][..],
        &["fanout", "--conns", "50", "--duration", "60s", "--json"],
    ] {
        let parent = gort(args).spawn().unwrap();
        let server = server_of(&parent);
        connected(server, 50);
        signal(server, "KILL");
        let output = wait(parent);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("server process") && said.contains("signal: 9"), "{said}");
        assert_eq!(text(&output.stdout), "", "a report of a broken run");
    }
}

/// Processor time of a process in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    behind_name[11].parse::<u64>().unwrap() + behind_name[12].parse::<u64>().unwrap()
}

/// Leaves a process less address space than the stack of one more thread takes, which must not be starting one right now.
fn starve(pid: u32) {
    let pages = || {
        std::fs::read_to_string(format!("/proc/{pid}/statm"))
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let mut before = 0;
    let size = eventually("its address space is settled", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = pages();
        (std::mem::replace(&mut before, now) == now).then_some(now)
    });
    let limit = Some(size * rustix::param::page_size() as u64 + (32 << 10));
    let pid = rustix::process::Pid::from_raw(pid as i32);
    let limit = rustix::process::Rlimit { current: limit, maximum: limit };
    rustix::process::prlimit(pid, rustix::process::Resource::As, limit).unwrap();
}

/// The port a process listens on, by the kernel's tables.
fn port_of(pid: u32) -> u16 {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let sockets: Vec<String> = fds
        .filter_map(|fd| {
            std::fs::read_link(fd.path()).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let listening = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|words| {
        // Columns: number, local address, remote address, state (0A listens), ..., inode.
        words.get(3) == Some(&"0A") && words.get(9).is_some_and(|inode| sockets.iter().any(|socket| socket == inode))
    });
    u16::from_str_radix(listening.unwrap()[1].rsplit(':').next().unwrap(), 16).unwrap()
}

const REFUSED_THREAD: [&str; 4] = ["cannot start a thread", "threads-max", "ulimit -u", "--style gort"];

#[test]
fn the_last_words_of_a_dying_server_are_shown() {
    let parent = gort(&["fanout", "--conns", "20", "--duration", "60s", "--style", "threads"]).spawn().unwrap();
    let server = server_of(&parent);
    connected(server, 20);
    starve(server);
    let _one_more = std::net::TcpStream::connect(("127.0.0.1", port_of(server))).unwrap();
    let output = wait(parent);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for name in REFUSED_THREAD {
        assert!(said.contains(name), "no {name:?} in {said}");
    }
    assert!(said.contains("exit status: 1"), "{said}");
}

#[test]
fn a_refused_thread_is_named_with_the_limits() {
    let mut server = EchoServer::of_style("threads");
    echo_once(server.addr, b"so far so good");
    starve(server.child.id());
    // The first may get the stack of the one that has ended.
    let _crowd: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(server.addr).unwrap()).collect();
    let said = text(&drain(server.child.stderr.take()).join().unwrap());
    let status = eventually("the server ends", || server.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1), "{said}");
    for name in REFUSED_THREAD {
        assert!(said.contains(name), "no {name:?} in {said}");
    }
}

#[test]
fn a_server_killed_during_a_load_is_reported_by_kind_with_a_failure() {
    let mut server = EchoServer::of_style("gort");
    let addr = server.addr.to_string();
    let load = gort(&["load", "--addr", &addr, "--conns", "50", "--duration", "60s", "--json"]).spawn().unwrap();
    connected(server.child.id(), 50);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let output = wait(load);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("connections"), "{said}");
}

#[test]
fn a_server_that_does_not_answer_any_more_is_a_failure_too() {
    let server = EchoServer::of_style("gort");
    let addr = server.addr.to_string();
    let load = gort(&["load", "--addr", &addr, "--conns", "5", "--duration", "5s", "--json"]).spawn().unwrap();
    connected(server.child.id(), 5);
    // Into measuring, or there is nothing to report.
    eventually("the server has worked", || (cpu_ticks(server.child.id()) >= 50).then_some(()));
    signal(server.child.id(), "STOP");
    let output = wait(load);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("does not answer any more"), "{said}");
    let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["errors"], 5, "{run}");
}

#[test]
fn a_comparison_goes_on_after_a_style_that_failed() {
    let parent = gort(&["fanout", "--conns", "10", "--duration", "1s", "--compare", "--json"]).spawn().unwrap();
    let server = eventually("the style threads comes", || {
        let pid = server_of(&parent);
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?.contains("threads").then_some(pid)
    });
    connected(server, 10);
    signal(server, "KILL");
    let output = wait(parent);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("style threads") && said.contains("1 of 3 styles"), "{said}");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let styles: Vec<_> = all["runs"].as_array().unwrap().iter().map(|run| run["style"].as_str().unwrap()).collect();
    assert_eq!(styles, ["gort", "epoll"]);
}

#[test]
fn an_interrupt_ends_both_processes_and_reports_what_there_is() {
    for name in ["INT", "TERM", "HUP"] {
        let parent = gort(&["fanout", "--conns", "20", "--duration", "60s", "--procs", "1", "--json"]).spawn().unwrap();
        let server = server_of(&parent);
        connected(server, 20);
        // Into measuring, as an interrupt before has nothing to report: on one processor the server cannot have used two seconds
        // before the warm-up of one is over.
        eventually("the server has worked", || (cpu_ticks(server) >= 200).then_some(()));
        signal(parent.id(), name);
        let output = wait(parent);
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(run["interrupted"], true);
        assert!(run["requests"].as_u64().unwrap() > 0 && run["duration_s"].as_f64().unwrap() < 50.0, "{run}");
        assert_eq!(run["errors"], 0, "{run}");
        assert!(!alive(server), "the server is left behind");
    }
}

#[test]
fn a_server_never_outlives_a_killed_parent() {
    for style in ["gort", "threads", "epoll"] {
        let mut parent = gort(&["fanout", "--conns", "20", "--duration", "60s", "--style", style]).spawn().unwrap();
        let server = server_of(&parent);
        connected(server, 20);
        parent.kill().unwrap();
        parent.wait().unwrap();
        eventually("the server ends", || (!alive(server)).then_some(()));
    }
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let mut child = gort(&["fanout", "--conns", "10", "--duration", "200ms"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = wait(child);
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.signal(), None);
}

#[test]
fn a_full_disk_is_an_error() {
    for args in [
        &["fanout", "--conns", "10", "--duration", "200ms", "--json"][..],
        &["serve-echo", "--addr", "127.0.0.1:0"],
        &["--help"],
        &["fanout", "--help"],
        &["--version"],
    ] {
        let mut command = gort(args);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = finish(command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("stdout") && said.contains("space"), "{said}");
    }
}
