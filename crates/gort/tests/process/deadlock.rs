//! All goroutines asleep for good: told, with a dump, and the end of the process; but only if it is certain.

use crate::child;
use crate::support::ms;
use std::io::Write;
use std::time::{Duration, Instant};

/// Plays `body` in a process without another thread: the harness has one that waits for its test, and it might do anything.
fn as_only_thread(body: impl FnOnce()) -> ! {
    // SAFETY: gort has not started, and the harness's own thread waits, so it holds no lock that the child would miss.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        // Killed with the process that the test kills.
        // SAFETY: no memory is involved.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        body();
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: the kernel writes a live `i32`.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    std::process::exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 99 })
}

/// LF-08; and CH-13, a `select!` without arms among those asleep. Main parks for ever, alone, beside a locked goroutine that is parked, too, or after sockets were used.
#[test]
fn when_all_are_asleep_for_good_the_process_says_so_and_ends() {
    let play = |case: &str| match case {
        "alone" => child::gort_main(gort::park),
        "beside a locked one" => child::gort_main(|| {
            gort::go(|| {
                let _thread = gort::lock_os_thread();
                gort::park();
            });
            gort::park();
        }),
        "after sockets" => child::gort_main(|| {
            let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let accepted = gort::go(move || listener.accept().unwrap());
            let _client = gort::net::TcpStream::connect(addr).unwrap();
            let (_peer, _) = accepted.join().unwrap();
            gort::park();
        }),
        "channel" => child::gort_main(|| {
            let (_sender, receiver) = gort::chan::bounded::<()>(1);
            let _ = receiver.recv();
        }),
        "select without arms" => child::gort_main(|| {
            gort::select! {}
        }),
        "select" => child::gort_main(|| {
            let (sender, receiver) = gort::chan::bounded::<()>(0);
            let mut parked = gort::go(gort::park);
            gort::select! {
                recv(receiver) -> _ => (),
                join(parked) -> _ => (),
            }
            drop(sender);
        }),
        // From a plain main, which waits in a call of gort's.
        "plain" => gort::go(gort::park).join().unwrap(),
        "after a restart" => {
            let parked = gort::go(gort::park);
            drop(gort::runtime::shutdown(Instant::now()));
            gort::go(|| ()).join().unwrap();
            parked.join().unwrap();
        }
        other => panic!("{other}"),
    };
    const CASES: [&str; 8] = [
        "alone",
        "beside a locked one",
        "after sockets",
        "channel",
        "select without arms",
        "select",
        "plain",
        "after a restart",
    ];
    let this = child::of(|case| as_only_thread(|| play(case)));
    for procs in ["1", "2", "4"] {
        for case in CASES {
            this.case(case)
                .env("GORT_MAXPROCS", procs)
                .run()
                .exited(2)
                .says_once("all goroutines are asleep - deadlock!")
                .says("goroutine ")
                .says("\tcreated at ");
        }
    }
}

/// HF-04. With the limit of threads reached and all of them locked to sleeping goroutines, those that wait for a thread wait for ever.
#[test]
fn a_deadlock_at_the_limit_of_threads_names_the_limit() {
    let play = || {
        gort::runtime::Builder::new().max_threads(10).start().unwrap();
        let locked: Vec<_> = (0..100)
            .map(|_| {
                gort::go(|| {
                    let _thread = gort::lock_os_thread();
                    gort::park();
                })
            })
            .collect();
        locked.into_iter().for_each(|handle| handle.join().unwrap());
    };
    let this = child::of(|_| as_only_thread(play));
    for procs in ["1", "2", "4"] {
        this.case("")
            .env("GORT_MAXPROCS", procs)
            .run()
            .exited(2)
            .says_once("all goroutines are asleep - deadlock!")
            .says("the limit of 10 threads is reached");
    }
}

/// The report names who waits for whom, the wait that is none of the program's, and the way out for a program that is no such case.
#[test]
fn the_report_names_circles_and_the_wait_of_gort_main() {
    let play = || {
        child::gort_main(|| {
            let locks = [(); 2].map(|()| std::sync::Arc::new(gort::sync::Mutex::new(())));
            let both = gort::sync::Barrier::new(2);
            gort::scope(|s| {
                for (first, second) in [(0, 1), (1, 0)] {
                    let (locks, both) = (&locks, &both);
                    s.spawn(move || {
                        let _first = locks[first].lock().unwrap();
                        both.wait();
                        let _second = locks[second].lock().unwrap();
                    });
                }
            });
        })
    };
    let this = child::of(|_| as_only_thread(play));
    this.case("")
        .run()
        .exited(2)
        .says_once("all goroutines are asleep - deadlock!")
        .says_once("gort: deadlock: 2 goroutines wait for one another")
        .says("\twaits for what goroutine ")
        .says("GORT_DEADLOCK=report")
        .says("\"#[gort::main]\" [join, goroutine ");
}

/// A goroutine that waits for a connection may get one.
#[test]
fn a_parked_accept_is_no_deadlock() {
    let play = || {
        child::gort_main(|| {
            let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
            println!("port {}", listener.local_addr().unwrap().port());
            gort::go(move || {
                listener.accept().unwrap();
                std::process::exit(7);
            });
            gort::park();
        })
    };
    let this = child::of(|_| as_only_thread(play));
    let mut running = this.case("").start();
    running.wait_for("port ").wait_for("\n");
    // Twice as long as it takes to find a deadlock.
    std::thread::sleep(ms(2500));
    let port = running.output_so_far().split("port ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    running.wait().exited(7).never_says("asleep");
}

/// What sleeps, waits in the kernel or has a limit goes on by itself.
#[test]
fn who_goes_on_by_himself_is_no_deadlock() {
    let play = |case: &str| match case {
        "sleep" => child::gort_main(|| gort::sleep(ms(2500))),
        "timed park" => child::gort_main(|| gort::park_timeout(ms(2500))),
        "blocking" => child::gort_main(|| gort::blocking(|| std::thread::sleep(ms(2500)))),
        "unmarked" => child::gort_main(|| std::thread::sleep(ms(2500))),
        "timer" => child::gort_main(|| {
            let (sender, receiver) = gort::chan::bounded(1);
            let _timer = gort::time::after_func(ms(2500), move || sender.send(()).unwrap());
            receiver.recv().unwrap();
        }),
        "a thread's limit" => {
            gort::go(gort::park);
            gort::park_timeout(ms(2500));
        }
        "shutdown" => {
            gort::go(gort::park);
            assert_eq!(gort::runtime::shutdown(Instant::now() + ms(2500)).goroutines().len(), 1);
        }
        other => panic!("{other}"),
    };
    let this = child::of(|case| as_only_thread(|| play(case)));
    for case in ["sleep", "timed park", "blocking", "unmarked", "timer", "a thread's limit", "shutdown"] {
        this.case(case).run().exited(0).never_says("asleep");
    }
}

/// A thread that is not gort's may wake somebody: one line, and the process goes on.
#[test]
fn with_a_foreign_thread_a_deadlock_is_only_suspected() {
    let this = child::of(|_| {
        child::gort_main(|| {
            let main = gort::current();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(12));
                main.unpark();
            });
            gort::park();
        })
    });
    this.case("").run().exited(0).says_once("have been asleep for 10 s").never_says("deadlock!");
}

/// `GORT_DEADLOCK`: a report and no end, or nothing at all.
#[test]
fn the_end_can_be_left_out_and_the_report_too() {
    let play = || {
        child::gort_main(|| {
            println!("begins");
            std::io::stdout().flush().unwrap();
            gort::park();
        })
    };
    let this = child::of(|_| as_only_thread(play));
    let mut reports = this.case("").env("GORT_DEADLOCK", "report").start();
    reports.wait_for_error("all goroutines are asleep - deadlock!").wait_for_error("\tcreated at ");
    std::thread::sleep(ms(100));
    reports.signal(libc::SIGKILL);
    reports.wait().killed_by(libc::SIGKILL);
    let mut quiet = this.case("").env("GORT_DEADLOCK", "off").start();
    quiet.wait_for("begins");
    std::thread::sleep(ms(2000));
    quiet.signal(libc::SIGKILL);
    quiet.wait().killed_by(libc::SIGKILL).never_says("asleep");
}

/// Two plain threads hand a value to and fro through channels while the only goroutine is asleep: no deadlock, whatever the looks show.
#[test]
fn two_plain_threads_that_talk_to_each_other_are_no_deadlock() {
    let play = || {
        let (poke, poked) = gort::chan::bounded::<()>(0);
        let sleeper = gort::go(move || while poked.recv().is_ok() {});
        let (there, at_there) = gort::chan::bounded::<u64>(0);
        let (back, at_back) = gort::chan::bounded::<u64>(0);
        let other = std::thread::spawn(move || {
            while let Ok(n) = at_there.recv() {
                back.send(n + 1).unwrap();
            }
        });
        let mut n = 0;
        for _ in 0..8 {
            let begun = Instant::now();
            while begun.elapsed() < ms(1500) {
                there.send(n).unwrap();
                n = at_back.recv().unwrap();
            }
            poke.send(()).unwrap();
        }
        drop((there, poke));
        other.join().unwrap();
        sleeper.join().unwrap();
        println!("{n} handed over");
    };
    let this = child::of(|_| as_only_thread(play));
    this.case("talk").run().exited(0);
}

/// A plain main that has waited with a limit, and then waits for ever; and a goroutine whose wait ended long before its limit.
#[test]
fn a_deadlock_after_a_wait_with_a_limit_is_found_too() {
    let after_its_limit = || {
        let parked = gort::go(gort::park);
        let (_s, r) = gort::chan::bounded::<()>(0);
        assert!(r.recv_timeout(ms(2500)).is_err());
        parked.join().unwrap();
    };
    let before = || {
        child::gort_main(|| {
            let (sender, receiver) = gort::chan::bounded(1);
            let sending = gort::go(move || sender.send(()).map(|()| sender).unwrap());
            receiver.recv_timeout(Duration::from_secs(3600)).unwrap();
            let _sender = sending.join().unwrap();
            receiver.recv().unwrap();
        })
    };
    let this = child::of(|case| as_only_thread(|| if case == "before" { before() } else { after_its_limit() }));
    for case in ["before", "after"] {
        let mut running = this.case(case).start();
        running.wait_for_error("all goroutines are asleep - deadlock!");
        running.wait().exited(2);
    }
}
