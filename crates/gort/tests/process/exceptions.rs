//! Exceptions of C++ code that calls back, in goroutines.

use crate::child;
use crate::common::library::{Library, Scratch, compile};
use std::ffi::c_int;
use std::path::Path;

/// Calls back while it handles an exception, of its own number, and then throws on what it handles.
const SOURCE: &str = r#"
    #include <atomic>
    static std::atomic<int> last(0);
    static void (*park)() = nullptr;
    extern "C" int next() {
        int number = ++last;
        try {
            try { throw number; } catch (int) { park(); throw; }
        } catch (int caught) { return caught - number; }
        return 1000;
    }
    extern "C" void set(void (*p)()) { park = p; }
"#;

/// Blocks that overlap keep their exceptions, in both modes.
#[test]
fn a_catch_block_may_park() {
    extern "C" fn park() {
        gort::yield_now();
        gort::yield_now();
    }
    let this = child::of(|path| {
        // Into the global scope, as where the program is linked with it.
        // SAFETY: its initialisers do nothing that matters here.
        assert!(!unsafe { libc::dlopen(c"libstdc++.so.6".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) }.is_null());
        let library = Library::load(Path::new(path));
        let next = library.function(c"next");
        // SAFETY: the function of that name takes one.
        let set = unsafe {
            std::mem::transmute::<extern "C" fn() -> c_int, extern "C" fn(extern "C" fn())>(library.function(c"set"))
        };
        set(park);
        let all: Vec<_> = (0..100).map(|_| gort::go(move || (0..20).map(|_| next()).sum::<c_int>())).collect();
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), 0, "another's exception"));
    });
    let scratch = Scratch::new();
    let Some(library) = compile(&scratch, "catch", "cpp", SOURCE, &[]) else {
        println!("skipped: there is no compiler for C++");
        return;
    };
    for mode in ["auto", "bound"] {
        let ended = this.case(library.to_str().unwrap()).env("GORT_MODE", mode).env("GORT_MAXPROCS", "1").run();
        ended.exited(0).never_says("gort: ");
    }
}
