//! Panics: who is named, who goes on, who ends the process.

use crate::child;
use crate::support::{needs_migration, wait_until};
use std::hint::black_box;
use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// `at FILE:LINE:`, as messages name a place in this file.
fn place(line: &str) -> String {
    format!("{}:{line}:", file!())
}

/// LF-01. The message names the goroutine's id, its name and the place where it was started; the others go on; join gives the payload.
#[test]
fn a_panic_names_its_goroutine_and_the_others_go_on() {
    let this = child::of(|case| {
        static WENT_ON: AtomicUsize = AtomicUsize::new(0);
        let others: Vec<_> = (0..10)
            .map(|_| {
                gort::go(|| {
                    for _ in 0..1000 {
                        gort::yield_now();
                    }
                    WENT_ON.fetch_add(1, SeqCst);
                })
            })
            .collect();
        let (line, id, payload);
        match case {
            "named" => {
                let builder = gort::Builder::new().name("unlucky one".into());
                line = line!() + 1;
                let fails = builder.spawn(|| panic!("no luck {}", black_box(7))).unwrap();
                (id, payload) = (fails.goroutine().id(), fails.join().unwrap_err());
            }
            "unnamed" => {
                line = line!() + 1;
                let fails = gort::go(|| panic!("no luck {}", black_box(7)));
                (id, payload) = (fails.goroutine().id(), fails.join().unwrap_err());
            }
            _ => {
                line = line!() + 2;
                (id, payload) = gort::scope(|s| {
                    let fails = s.spawn(|| panic!("no luck {}", black_box(7)));
                    (fails.goroutine().id(), fails.join().unwrap_err())
                });
            }
        }
        println!("line {line}\nid {id}");
        assert_eq!(*payload.downcast::<String>().unwrap(), "no luck 7");
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(WENT_ON.load(SeqCst), 10);
    });
    for case in ["named", "unnamed", "scoped"] {
        let ended = this.run(case);
        let name = if case == "named" { "\"unlucky one\" " } else { "" };
        let who = format!("gort: goroutine {} {name}(started at {}", ended.value("id"), place(ended.value("line")));
        ended.exited(0).says_once(&who).says_once("no luck 7").says(") panicked\n");
    }
}

/// LF-02. A dropped handle silences nothing: the policy decides whether the process goes on, and the builder's has precedence.
#[test]
fn a_panic_behind_a_dropped_handle_is_reported_or_ends_the_process() {
    let this = child::of(|case| {
        if case == "runtime" {
            gort::runtime::Builder::new().abort_on_panic(true).start().unwrap();
        }
        let builder = gort::Builder::new().name("dropped".into());
        let builder = match case {
            "abort" => builder.abort_on_panic(true),
            "report" => builder.abort_on_panic(false),
            _ => builder,
        };
        let fails = || {
            println!("id {}", gort::current().id());
            panic!("nobody asks")
        };
        println!("line {}", line!() + 1);
        drop(builder.spawn(fails).unwrap());
        wait_until(|| gort::runtime::metrics().goroutines == 0);
        println!("went on");
    });
    for (case, policy, aborts) in [
        ("plain", None, false),
        ("plain", Some("report"), false),
        ("plain", Some("abort"), true),
        ("abort", None, true),
        ("abort", Some("report"), true),
        ("report", Some("abort"), false),
        ("runtime", None, true),
        // The environment wins over the program.
        ("runtime", Some("report"), false),
    ] {
        let child = match policy {
            Some(policy) => this.case(case).env("GORT_PANIC", policy),
            None => this.case(case),
        };
        let ended = child.run();
        let who = format!("goroutine {} \"dropped\" (started at {}", ended.value("id"), place(ended.value("line")));
        ended.says(&format!("gort: {who}")).says_once("nobody asks").says_once(") panicked\n");
        if aborts {
            ended.killed_by(libc::SIGABRT).says_once(") was to end the process on a panic (GORT_PANIC=abort, or ");
        } else {
            ended.exited(0).prints("went on").never_says("end the process");
        }
    }
}

/// A panic that passes no hook, or one that is not ours, is reported where it ends.
#[test]
fn a_panic_that_runs_no_hook_of_ours_is_reported_all_the_same() {
    let this = child::of(|case| {
        if case == "hook before" {
            std::panic::set_hook(Box::new(|_| println!("the program's hook")));
        }
        gort::go(|| ()).join().unwrap();
        if case == "hook after" {
            std::panic::set_hook(Box::new(|_| println!("the program's hook")));
        }
        let case = case.to_owned();
        let fails = gort::go(move || match case.as_str() {
            "resumed" => resume_unwind(Box::new("the payload")),
            "a number" => resume_unwind(Box::new(5)),
            "another one" => {
                drop(catch_unwind(|| panic!("caught")));
                resume_unwind(Box::new("the payload"))
            }
            "another of a kind" => {
                drop(catch_unwind(|| panic!("caught {}", black_box(1))));
                resume_unwind(Box::new(String::from("the payload")))
            }
            "the same" => match catch_unwind(|| panic!("the payload")) {
                Ok(()) => unreachable!(),
                Err(payload) => resume_unwind(payload),
            },
            "the same, made" => match catch_unwind(|| panic!("the {}", black_box("payload"))) {
                Ok(()) => unreachable!(),
                Err(payload) => resume_unwind(payload),
            },
            "hook before" | "hook after" => panic!("the payload"),
            _ => panic_any(5),
        });
        println!("id {}", fails.goroutine().id());
        fails.join().unwrap_err();
    });
    let silent_hook = |case: &str| case.starts_with("hook");
    for case in [
        "resumed",
        "a number",
        "another one",
        "another of a kind",
        "the same",
        "the same, made",
        "hook before",
        "hook after",
        "any",
    ] {
        let ended = this.run(case);
        let who = format!("gort: goroutine {} (started at {}:", ended.value("id"), file!());
        ended.exited(0).says(&who);
        match case {
            "resumed" | "another one" | "another of a kind" => {
                ended.says_once(") panicked without a message of its own, with \"the payload\"");
            }
            "a number" => {
                ended.says_once(") panicked without a message of its own");
            }
            "the same" | "the same, made" => {
                ended.says_once(&who).says_once("the payload");
            }
            "hook after" => {
                ended.says_once(&who).says_once("\"the payload\"");
            }
            _ => {
                ended.says_once(&who);
            }
        }
        assert_eq!(ended.out.matches("the program's hook").count(), usize::from(silent_hook(case)), "{ended}");
    }
}

/// A destructor may be the first to use gort, while its thread panics: no second panic, and goroutines are reported as ever.
#[test]
fn gort_may_be_used_first_while_a_thread_panics() {
    struct UsesGort;
    impl Drop for UsesGort {
        fn drop(&mut self) {
            println!("{}", gort::go(|| "it ran").join().unwrap());
        }
    }
    let this = child::of(|_| {
        drop(catch_unwind(|| {
            let _uses = UsesGort;
            panic!("the thread's");
        }));
        let fails = gort::go(|| panic!("the goroutine's"));
        println!("id {}", fails.goroutine().id());
        fails.join().unwrap_err();
    });
    let ended = this.run("");
    ended.exited(0).prints("it ran").says_once("the thread's").says("the goroutine's");
    ended.says_once(&format!("gort: goroutine {} (started at {}:", ended.value("id"), file!()));
}

/// A panic on a plain thread is std's business.
#[test]
fn a_panic_on_a_plain_thread_is_reported_by_std_alone() {
    let this = child::of(|_| {
        gort::go(|| ()).join().unwrap();
        let thread = std::thread::Builder::new().name("plain".into()).spawn(|| {
            // With a record to wait with, as any thread that has joined or parked.
            gort::go(|| ()).join().unwrap();
            panic!("a thread's");
        });
        thread.unwrap().join().unwrap_err();
    });
    this.run("").exited(0).says_once("thread 'plain'").says_once("a thread's").never_says("gort:");
}

/// What cannot be unwound ends the process, with a word of whose it was.
#[test]
fn panics_that_cannot_be_unwound_abort_and_say_whose_they_were() {
    struct Fails(&'static str);
    impl Drop for Fails {
        fn drop(&mut self) {
            panic!("{}", self.0);
        }
    }
    thread_local!(static LOCAL: std::cell::RefCell<Option<Fails>> = const { std::cell::RefCell::new(None) });
    let this = child::of(|case| {
        let case = case.to_owned();
        let result = case == "result";
        let fails = move || match case.as_str() {
            "twice" => {
                println!("id {}", gort::current().id());
                let _second = Fails("the second");
                panic!("the first");
            }
            "thread-local" => {
                println!("id {}", gort::current().id());
                LOCAL.set(Some(Fails("a destructor's")));
                None
            }
            _ => Some(Fails("the result's")),
        };
        let handle = gort::Builder::new().name("hopeless".into()).spawn(fails).unwrap();
        if result {
            println!("id {}", handle.goroutine().id());
            wait_until(|| gort::runtime::metrics().goroutines == 0);
        }
        // Nobody asks for the result: whoever comes second of the goroutine and its handle drops it.
        drop(handle);
        wait_until(|| gort::runtime::metrics().goroutines == 0);
    });
    for (case, message) in [("twice", "the second"), ("thread-local", "a destructor's"), ("result", "the result's")] {
        if case == "thread-local" && needs_migration("thread-locals end with the thread") {
            continue;
        }
        let ended = this.run(case);
        // The name goes with the goroutine.
        let name = if case == "result" { "" } else { " \"hopeless\"" };
        let who = format!("goroutine {}{name} (started at {}:", ended.value("id"), file!());
        ended.killed_by(libc::SIGABRT).says(&who).says(message);
    }
}
