//! Few threads are left: who holds the others is said, once.

use crate::child;
use crate::support::{ms, needs_migration, pipe, read_byte, wait_until, write_byte};
use gort::BlockingClass;

static DATABASE: BlockingClass = BlockingClass::new("database", 8);

/// HF-04, before it comes to that. At 80 % of the threads that there may be beyond the processors, one message names the limit, the classes and the
/// call sites that hold them.
#[test]
fn who_holds_the_threads_is_said_at_four_fifths() {
    let this = child::of(|_| {
        let (reader, writer) = pipe();
        let mut calls = Vec::new();
        for _ in 0..8 {
            calls.push(gort::go(move || DATABASE.run(|| read_byte(reader))));
        }
        wait_until(|| DATABASE.metrics().running == 8);
        for _ in 0..3 {
            let locked = gort::go(move || {
                let _thread = gort::lock_os_thread();
                gort::blocking(|| read_byte(reader));
            });
            calls.push(locked);
        }
        // One after the other, so that those before them are where they block.
        let mut blocked = 11;
        let mut add = |call: gort::JoinHandle<()>| {
            calls.push(call);
            blocked += 1;
            wait_until(|| gort::runtime::metrics().blocking + gort::runtime::metrics().running >= blocked);
            // Somebody wants the processor that it has.
            gort::go(|| gort::sleep(ms(1))).join().unwrap();
        };
        (0..2).for_each(|_| add(gort::go(move || read_byte(reader))));
        (0..6).for_each(|_| add(gort::go(move || gort::blocking(|| read_byte(reader)))));
        (0..calls.len()).for_each(|_| write_byte(writer));
        calls.into_iter().for_each(|call| call.join().unwrap());
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let ended = this.case("").env("GORT_MAXPROCS", "2").env("GORT_MAX_THREADS", "22").run();
    ended.exited(0).says_once("threads are in use").says_once(" of at most 22 threads are in use (GORT_MAX_THREADS, ");
    ended.says("\t8 in the blocking class \"database\", at crates/gort/tests/process/crowd.rs:");
    ended.says(
        "\t3 locked by their goroutines (gort::lock_os_thread), last seen at crates/gort/tests/process/crowd.rs:",
    );
    ended.says(" without a mark, last seen at crates/gort/tests/process/crowd.rs:");
    ended.says(" in gort::blocking, at crates/gort/tests/process/crowd.rs:").says("gort::BlockingClass");
    ended.never_says("limit of 22");
}
