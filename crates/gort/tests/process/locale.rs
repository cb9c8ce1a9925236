//! The locale that a goroutine begins with.

use crate::child;
use crate::support::needs_migration;

unsafe extern "C" {
    fn __ctype_b_loc() -> *const usize;
    fn __ctype_tolower_loc() -> *const usize;
    fn __ctype_toupper_loc() -> *const usize;
}

/// The character tables of whoever calls.
fn tables() -> [usize; 3] {
    // SAFETY: libc's words of this thread.
    unsafe { [*__ctype_b_loc(), *__ctype_tolower_loc(), *__ctype_toupper_loc()] }
}

/// As a thread: with that of the process at this moment, also where the block has been used and has waited since.
#[test]
fn a_goroutine_begins_with_the_locale_that_the_process_has_then() {
    if needs_migration("the tables are the thread's, which began earlier") {
        return;
    }
    let this = child::of(|_| {
        let before = gort::go(tables).join().unwrap();
        // SAFETY: nobody else uses the locale at the moment.
        if unsafe { libc::setlocale(libc::LC_ALL, c"C.UTF-8".as_ptr()) }.is_null() {
            return println!("skipped: this system has no other locale");
        }
        let of_a_thread = std::thread::spawn(tables).join().unwrap();
        assert_ne!(of_a_thread, before);
        for _ in 0..3 {
            assert_eq!(gort::go(tables).join().unwrap(), of_a_thread);
        }
    });
    this.case("").env("GORT_MAXPROCS", "1").run().exited(0);
}
