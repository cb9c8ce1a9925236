//! Threads that nobody needs any more leave, and take with them what they had.

use crate::child;
use crate::support::{count_of_ms, ms, needs_migration, pipe, read_byte, wait_until, write_byte};
use std::time::Duration;

/// So many threads more than processors are kept: two that sleep, the one that polls, and the one that minds timers.
const KEPT: usize = 2 + 2;

/// As many threads as goroutines, all in a blocking call at once, and then in none.
fn burst(count: usize) {
    let (reader, writer) = pipe();
    let calls: Vec<_> = (0..count).map(|_| gort::go(move || gort::blocking(|| read_byte(reader)))).collect();
    wait_until(|| count_of_ms() >= count);
    (0..count).for_each(|_| write_byte(writer));
    calls.into_iter().for_each(|call| call.join().unwrap());
    // SAFETY: both are open, and nobody uses them any more.
    unsafe { (libc::close(reader), libc::close(writer)) };
}

/// Address space of this process, in KiB.
fn address_space() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// After a burst the threads beyond those that are kept leave, whether the time stands in the environment or in a builder; the next burst is as good
/// as the first, and in the end no more is left behind than after the second. Without a time that has come they stay.
#[test]
fn threads_of_a_burst_leave_after_a_while() {
    let this = child::of(|case| {
        match case {
            "builder" => {
                let builder = gort::runtime::Builder::new().thread_keep_alive(ms(100));
                builder.max_procs(2).start().unwrap();
            }
            "never" => {
                let builder = gort::runtime::Builder::new().thread_keep_alive(Duration::MAX);
                builder.max_procs(2).start().unwrap();
            }
            _ => {}
        }
        const COUNT: usize = 60;
        if case == "never" {
            burst(COUNT);
            gort::sleep(ms(1500));
            assert!(count_of_ms() >= COUNT, "they have left");
            return;
        }
        let mut spaces = Vec::new();
        for _ in 0..6 {
            burst(COUNT);
            wait_until(|| count_of_ms() <= 2 + KEPT);
            assert!(gort::runtime::metrics().threads as usize <= 2 + KEPT);
            assert!(gort::runtime::metrics().threads_peak as usize >= COUNT);
            spaces.push(address_space());
        }
        // A thread's stack is 1 MiB.
        assert!(spaces[5] < spaces[1] + (20 << 10), "{spaces:?}");
        assert!(count_of_ms() >= 2, "some are kept");
        let sum: usize = (0..1000).map(|n| gort::go(move || n)).map(|handle| handle.join().unwrap()).sum();
        assert_eq!(sum, 499_500);
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    std::thread::scope(|s| {
        for (case, variable, value) in [
            ("environment", "GORT_THREAD_KEEP_ALIVE", "100ms"),
            ("builder", "GORT_DEADLOCK", "exit"),
            ("never", "GORT_DEADLOCK", "exit"),
        ] {
            s.spawn(move || {
                let case = this.case(case).env("GORT_MAXPROCS", "2").env(variable, value);
                case.run().exited(0).never_says("gort: ");
            });
        }
    });
}

/// Threads that come and go all the time, with timers, sockets and work beside them: nobody is left waiting.
#[test]
fn threads_come_and_go_beside_everything_else() {
    let this = child::of(|_| {
        let (listener, mut clients) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), Vec::new());
        let addr = listener.local_addr().unwrap();
        for _ in 0..4 {
            let mut client = gort::net::TcpStream::connect(addr).unwrap();
            let mut server = gort::net::TcpStream::from(listener.accept().unwrap().0);
            gort::go(move || std::io::copy(&mut server.try_clone().unwrap(), &mut server));
            clients.push(gort::go(move || {
                use std::io::{Read, Write};
                for round in 0..300_u32 {
                    client.write_all(&round.to_le_bytes()).unwrap();
                    let mut back = [0; 4];
                    client.read_exact(&mut back).unwrap();
                    assert_eq!(u32::from_le_bytes(back), round);
                    gort::sleep(Duration::from_micros(u64::from(round % 7) * 700));
                }
            }));
        }
        for client in 0..4 {
            clients.push(gort::go(move || {
                for round in 0..60 {
                    let calls: Vec<_> = (0..10)
                        .map(|_| gort::go(move || gort::blocking(|| std::thread::sleep(ms(1 + (client + round) % 3)))))
                        .collect();
                    calls.into_iter().for_each(|call| call.join().unwrap());
                    gort::sleep(ms((client + round) % 11));
                }
            }));
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).env("GORT_THREAD_KEEP_ALIVE", "1ms").run().exited(0);
    }
}
