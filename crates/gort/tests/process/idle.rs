//! A process in which nothing happens makes no wake-ups.

use crate::child;
use crate::support::{ms, own_thread_id, scaled, threads};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Context switches of every thread but the calling one.
fn switches() -> Vec<(u32, String, u64, u64)> {
    let me = own_thread_id();
    let others = threads().into_iter().filter(|&(id, _)| id != me);
    others.map(|(id, thread)| (id, thread.name, thread.switches.0, thread.switches.1)).collect()
}

/// Waits until no thread but the calling one has been switched for half a second: longer than any pause the monitor makes while it watches.
/// Fails if that takes more than a few seconds.
fn settle() {
    let start = Instant::now();
    let (mut before, mut since) = (switches(), Instant::now());
    while since.elapsed() < ms(500) {
        std::thread::sleep(ms(10));
        let now = switches();
        assert!(
            start.elapsed() < scaled(Duration::from_secs(6)),
            "it does not settle: {now:?}\n{}",
            gort::runtime::dump()
        );
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// 0 wake-ups once settled: no goroutines; parked ones; one that waits for a connection, after traffic; one that sleeps for long;
/// the thread for files; some that are blocked for long, with a mark and without.
#[test]
fn a_settled_process_makes_no_wake_ups() {
    let this = child::of(|case| {
        let mut connections = Vec::new();
        match case {
            "nothing" => gort::go(|| ()).join().unwrap(),
            "parked" => (0..100).for_each(|_| drop(gort::go(gort::park))),
            "sleep" => drop(gort::go(|| gort::sleep(Duration::from_secs(1000)))),
            "timed park" => drop(gort::go(|| gort::park_timeout(Duration::from_secs(1000)))),
            "file" => drop(crate::files::uses_files()),
            "blocked" => {
                drop(gort::go(|| std::thread::sleep(Duration::from_secs(1000))));
                drop(gort::go(|| gort::blocking(|| std::thread::sleep(Duration::from_secs(1000)))));
            }
            "accept" => {
                let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let addr = listener.local_addr().unwrap();
                gort::go(move || {
                    for stream in listener.incoming() {
                        let mut stream = stream.unwrap();
                        gort::go(move || {
                            let mut byte = [0];
                            while stream.read(&mut byte).unwrap() > 0 {
                                stream.write_all(&byte).unwrap();
                            }
                        });
                    }
                });
                for _ in 0..20 {
                    let mut client = std::net::TcpStream::connect(addr).unwrap();
                    let mut byte = [5];
                    client.write_all(&byte).unwrap();
                    client.read_exact(&mut byte).unwrap();
                    connections.push(client);
                }
            }
            _ => {
                // A peak of threads and work, then nothing.
                let busy: Vec<_> = (0..50)
                    .map(|n| {
                        gort::go(move || {
                            for _ in 0..50 {
                                gort::yield_now();
                                if n % 5 == 0 {
                                    std::thread::sleep(ms(1));
                                }
                                gort::sleep(Duration::from_micros(200));
                            }
                        })
                    })
                    .collect();
                busy.into_iter().for_each(|handle| handle.join().unwrap());
            }
        }
        settle();
        let before = switches();
        std::thread::sleep(ms(2000));
        assert_eq!(switches(), before, "{}", gort::runtime::dump());
        // And it is as lively as before.
        gort::go(|| gort::sleep(ms(1))).join().unwrap();
        for client in &mut connections {
            client.write_all(&[7]).unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
    });
    // Most of the time is spent asleep: all at once.
    std::thread::scope(|s| {
        for case in ["nothing", "parked", "sleep", "timed park", "accept", "file", "peak"] {
            s.spawn(move || {
                this.run(case).exited(0).never_says("gort: ");
            });
        }
        s.spawn(move || {
            this.case("blocked").env("GORT_WATCHDOG", "off").run().exited(0).never_says("gort: ");
        });
        // Its threads leave in the meantime.
        s.spawn(move || {
            this.case("peak").env("GORT_THREAD_KEEP_ALIVE", "300ms").run().exited(0).never_says("gort: ");
        });
    });
}
