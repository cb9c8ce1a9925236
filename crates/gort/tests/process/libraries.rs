//! Libraries with thread-locals that are loaded and unloaded while goroutines run.
//!
//! Where there is no compiler to make them the case is skipped and says so.

use crate::child;
use crate::common::library::{Library, RUST, Scratch, allocated, compile};
use crate::support::needs_migration;
use std::ffi::{CString, c_int, c_void};
use std::path::Path;

/// Uses the library in `count` goroutines at once, each of which must find new thread-locals, keep them over parks, and have them dropped.
fn use_in_goroutines(library: &Library, count: i32) {
    let (next, large, dropped) = (library.function(c"next"), library.function(c"large"), library.function(c"dropped"));
    let before = dropped();
    let users: Vec<_> = (0..count)
        .map(|_| {
            gort::go(move || {
                for round in 1..=10 {
                    assert_eq!(next(), 41 + round, "thread-locals of a library loaded later follow the goroutine");
                    assert_eq!(large(), 7 + round);
                    gort::yield_now();
                }
            })
        })
        .collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    assert_eq!(dropped(), before + count, "each destructor ran once, before its goroutine was joined");
}

/// Plays with a library of `source`, in C, whose thread-locals insist on static places.
fn run_with(this: child::Test, source: &str) {
    let scratch = Scratch::new();
    match compile(&scratch, "fixed", "c", source, &["-ftls-model=initial-exec", "-O1"]) {
        Some(library) => drop(this.run(library.to_str().unwrap()).exited(0).never_says("gort: ")),
        None => println!("skipped: there is no C compiler"),
    }
}

/// Loads, uses in goroutines and unloads a Rust library again and again; memory is what it was.
#[test]
fn a_library_with_thread_locals_comes_and_goes_and_leaves_nothing_behind() {
    let this = child::of(|path| {
        let path = Path::new(path);
        let round = |rounds: usize| {
            for _ in 0..rounds {
                let library = Library::load(path);
                use_in_goroutines(&library, 16);
                // And on blocks that have had it already.
                use_in_goroutines(&library, 16);
                library.close();
            }
        };
        // What is kept for good (vectors that have grown, records) is kept after the first rounds.
        round(20);
        let before = allocated();
        round(60);
        let grown = allocated().saturating_sub(before);
        // 64 KiB and more for each of 1920 goroutines, if nothing were freed.
        assert!(grown < 4 << 20, "{grown} bytes were left behind");
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    let scratch = Scratch::new();
    let Some(library) = compile(&scratch, "late", "rs", RUST, &[]) else {
        println!("skipped: there is no rustc to make a library with");
        return;
    };
    this.run(library.to_str().unwrap()).exited(0).never_says("gort: ");
}

/// A goroutine whose library is unloaded while it waits: its destructors still run (libc keeps the library for them), and what the loader
/// allocated for it is freed at its end although the library is gone.
#[test]
fn a_library_unloaded_under_waiting_goroutines_leaves_nothing_behind() {
    const PLAIN: &str = "__thread char large[1 << 20]; __thread int counter = 41;
        int next(void) { large[4711]++; return ++counter + large[4711] - 1; }";
    let this = child::of(|path| {
        let (kind, path) = path.split_once(' ').unwrap();
        let path = Path::new(path);
        let round = |count: usize| {
            let library = Library::load(path);
            let next = library.function(c"next");
            let waiting: Vec<_> = (0..count)
                .map(|_| {
                    gort::go(move || {
                        assert_eq!(next(), 42);
                        gort::park();
                    })
                })
                .collect();
            waiting.iter().for_each(|handle| crate::support::wait_for_state(handle.goroutine().id(), "park"));
            library.close();
            if kind == "c" {
                let path = CString::new(path.to_str().unwrap()).unwrap();
                // SAFETY: asks whether it is loaded.
                let still = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
                assert!(still.is_null(), "a library without destructors is unloaded at once");
            }
            for handle in waiting {
                handle.goroutine().unpark();
                handle.join().unwrap();
            }
        };
        round(50);
        let before = allocated();
        (0..3).for_each(|_| round(50));
        let grown = allocated().saturating_sub(before);
        // A megabyte (64 KiB of the Rust library) for each of 150.
        assert!(grown < 4 << 20, "{grown} bytes were left behind");
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    let scratch = Scratch::new();
    let libraries = [
        ("c", compile(&scratch, "plain", "c", PLAIN, &["-ftls-model=global-dynamic"])),
        ("rs", compile(&scratch, "late", "rs", RUST, &[])),
    ];
    for (kind, library) in libraries {
        match library {
            Some(path) => drop(this.run(&format!("{kind} {}", path.display())).exited(0).never_says("gort: ")),
            None => println!("skipped: there is no compiler for {kind}"),
        }
    }
}

/// A library that insists on a fixed place in every thread's block ("initial-exec") is loaded while goroutines run, wait, and have left blocks
/// for the next: each finds the library's initial values, and the next user of its block finds them again.
#[test]
fn a_library_with_initial_exec_thread_locals_finds_every_goroutine_prepared() {
    const FIXED: &str = "__thread int counter = 41; __thread int more[3] = {1, 2, 3}; __thread int zero;
        int next(void) { zero++; more[2]++; return ++counter + more[2] - 4 + zero - 1; }
        int all(void) { return counter * 1000 + more[0] * 100 + more[1] * 10 + more[2]; }";
    let this = child::of(|path| {
        let path = Path::new(path);
        // Blocks that wait for their next user.
        let ended: Vec<_> = (0..100).map(|_| gort::go(gort::yield_now)).collect();
        ended.into_iter().for_each(|handle| handle.join().unwrap());
        for round in 0..5 {
            let library = std::sync::Arc::new(std::sync::OnceLock::<extern "C" fn() -> c_int>::new());
            let use_it = move |library: &std::sync::OnceLock<extern "C" fn() -> c_int>| {
                let next = library.get().expect("it is loaded");
                for value in 0..10 {
                    assert_eq!(next(), 42 + 3 * value, "round {round}");
                    gort::yield_now();
                }
            };
            let waiting: Vec<_> = (0..50)
                .map(|_| {
                    let library = library.clone();
                    gort::go(move || {
                        gort::park();
                        use_it(&library);
                    })
                })
                .collect();
            waiting.iter().for_each(|handle| crate::support::wait_for_state(handle.goroutine().id(), "park"));
            let running = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
            let busy: Vec<_> = (0..4)
                .map(|_| {
                    let (library, running) = (library.clone(), running.clone());
                    gort::go(move || {
                        while running.load(std::sync::atomic::Ordering::SeqCst) {
                            // Blocks are made meanwhile, too.
                            let more: Vec<_> = (0..20).map(|_| gort::go(gort::yield_now)).collect();
                            more.into_iter().for_each(|handle| handle.join().unwrap());
                        }
                        use_it(&library);
                    })
                })
                .collect();
            let loaded = gort::go({
                let path = path.to_owned();
                move || Library::load(&path)
            });
            let loaded = loaded.join().unwrap();
            assert_eq!(loaded.function(c"all")(), 41123, "this thread is prepared, too");
            library.set(loaded.function(c"next")).unwrap();
            running.store(false, std::sync::atomic::Ordering::SeqCst);
            waiting.iter().for_each(|handle| handle.goroutine().unpark());
            waiting.into_iter().chain(busy).for_each(|handle| handle.join().unwrap());
            // The next users of those blocks, and some of new ones.
            let users: Vec<_> = (0..200)
                .map(|_| {
                    let library = library.clone();
                    gort::go(move || use_it(&library))
                })
                .collect();
            users.into_iter().for_each(|handle| handle.join().unwrap());
            loaded.close();
        }
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    run_with(this, FIXED);
}

/// More libraries with thread-locals than the loader's table has room for at first: the next user of a block still finds initial values.
#[test]
fn the_hundredth_library_with_thread_locals_finds_them_new_too() {
    let this = child::of(|paths| {
        let (many, fixed) = paths.split_once(' ').unwrap();
        gort::go(|| ()).join().unwrap();
        let image = std::fs::read(many).unwrap();
        for n in 0..100 {
            // The loader takes another file for another library.
            let copy = Path::new(many).with_file_name(format!("copy{n}.so"));
            std::fs::write(&copy, &image).unwrap();
            let library = Library::load(&copy);
            assert_eq!(library.function(c"next")(), 42);
        }
        let next = Library::load(Path::new(fixed)).function(c"next");
        for _ in 0..20 {
            gort::go(move || assert_eq!((next(), next()), (42, 43))).join().unwrap();
        }
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    const COUNTER: &str = "__thread int counter = 41; int next(void) { return ++counter; }";
    let scratch = Scratch::new();
    let many = compile(&scratch, "many", "c", COUNTER, &["-ftls-model=global-dynamic"]);
    let fixed = compile(&scratch, "fixed", "c", COUNTER, &["-ftls-model=initial-exec"]);
    match (many, fixed) {
        (Some(many), Some(fixed)) => {
            this.run(&format!("{} {}", many.display(), fixed.display())).exited(0).never_says("gort: ");
        }
        _ => println!("skipped: there is no C compiler"),
    }
}

/// A library loaded before the runtime started, and closed after: the next one does not get its number and its place in the block, where the next
/// goroutine would find what the one before has left.
#[test]
fn a_library_from_before_the_start_leaves_its_place_to_nobody() {
    let this = child::of(|paths| {
        let mut paths = paths.split(' ').map(Path::new);
        let early = Library::load(paths.next().unwrap());
        assert_eq!(early.function(c"next")(), 42);
        // The runtime starts on a thread that is newer than the library.
        std::thread::spawn(|| gort::go(|| ()).join().unwrap()).join().unwrap();
        early.close();
        for path in paths {
            let next = Library::load(path).function(c"next");
            for _ in 0..20 {
                gort::go(move || assert_eq!((next(), next()), (52, 53))).join().unwrap();
            }
        }
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    const EARLY: &str = "__thread int counter = 41; int next(void) { return ++counter; }";
    const LATER: &str = "__thread int counter = 51; int next(void) { return ++counter; }";
    let scratch = Scratch::new();
    let make = |name, source, model: &str| compile(&scratch, name, "c", source, &[&format!("-ftls-model={model}")]);
    let early = make("early", EARLY, "initial-exec");
    let (dynamic, fixed) = (make("dynamic", LATER, "global-dynamic"), make("fixed", LATER, "initial-exec"));
    let (Some(early), Some(dynamic), Some(fixed)) = (early, dynamic, fixed) else {
        println!("skipped: there is no C compiler");
        return;
    };
    for paths in [[&early, &dynamic], [&early, &fixed]] {
        let paths = paths.map(|path| path.to_str().unwrap()).join(" ");
        this.run(&paths).exited(0).never_says("gort: ");
    }
}

/// The loader's lock that `dl_iterate_phdr` holds while it calls back may be held by a parked goroutine: nobody needs it to start another.
#[test]
fn goroutines_start_while_one_is_called_back_by_the_loader() {
    unsafe extern "C" fn called_back(_: *mut libc::dl_phdr_info, _: usize, _: *mut std::ffi::c_void) -> c_int {
        // More than have blocks at hand. They end later: an end needs the lock.
        let (begun, begin) = gort::chan::bounded(0);
        for _ in 0..200 {
            let begun = begun.clone();
            gort::go(move || {
                begun.send(()).unwrap();
                gort::park();
            });
        }
        (0..200).for_each(|_| begin.recv().unwrap());
        1
    }
    let this = child::of(|path| {
        gort::go(|| ()).join().unwrap();
        // It stays: the goroutines wait for ever.
        let _library = Library::load(Path::new(path));
        // SAFETY: a callback that touches nothing it is given.
        let call = || unsafe { libc::dl_iterate_phdr(Some(called_back), std::ptr::null_mut()) };
        assert_eq!(gort::go(call).join().unwrap(), 1);
    });
    let scratch = Scratch::new();
    let Some(library) = compile(&scratch, "late", "rs", RUST, &[]) else {
        println!("skipped: there is no rustc to make a library with");
        return;
    };
    this.case(library.to_str().unwrap()).env("GORT_MAXPROCS", "1").run().exited(0).never_says("gort: ");
}

/// A goroutine that is parked in a callback of the loader's holds the loader's lock. Others end all the same, who join one there included.
#[test]
fn goroutines_end_while_another_is_parked_in_a_callback_of_the_loaders() {
    const FIXED: &str = "__thread int counter = 41; int next(void) { return ++counter; }";
    unsafe extern "C" fn join_others(_: *mut libc::dl_phdr_info, _: usize, next: *mut c_void) -> c_int {
        // SAFETY: as it was given below.
        let next = unsafe { *next.cast::<extern "C" fn() -> c_int>() };
        let values: Vec<_> = (0..3).map(|_| gort::go(move || next()).join().unwrap()).collect();
        assert_eq!(values, [42; 3]);
        1
    }
    let this = child::of(|path| {
        gort::go(|| ()).join().unwrap();
        let library = Library::load(Path::new(path));
        let next = library.function(c"next");
        let parked = gort::go(move || {
            // SAFETY: the callback takes what it is given, which outlives the call.
            unsafe { libc::dl_iterate_phdr(Some(join_others), (&raw const next).cast_mut().cast()) }
        });
        assert_eq!(parked.join().unwrap(), 1);
        library.close();
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    run_with(this, FIXED);
}

/// One in a namespace of its own (`dlmopen`), of which the program's link maps know nothing.
#[cfg(target_env = "gnu")]
#[test]
fn a_library_in_another_namespace_is_new_for_the_next_goroutine() {
    const FIXED: &str = "__thread int counter = 41; int next(void) { return ++counter; }";
    let this = child::of(|path| {
        let waiting = gort::go(gort::park);
        gort::go(|| ()).join().unwrap();
        let path = CString::new(path).unwrap();
        // SAFETY: loads a library without initialisers, whose function is of this type.
        let next = unsafe {
            let handle = libc::dlmopen(libc::LM_ID_NEWLM, path.as_ptr(), libc::RTLD_NOW);
            if handle.is_null() {
                return println!("skipped: no other namespace");
            }
            std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(libc::dlsym(handle, c"next".as_ptr()))
        };
        let values: Vec<_> = (0..3).map(|_| gort::go(move || next()).join().unwrap()).collect();
        assert_eq!(values, [42; 3]);
        waiting.goroutine().unpark();
        waiting.join().unwrap();
    });
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    let scratch = Scratch::new();
    match compile(&scratch, "fixed", "c", FIXED, &["-ftls-model=initial-exec", "-O1"]) {
        Some(library) => drop(this.case(library.to_str().unwrap()).env("GORT_MAXPROCS", "1").run().exited(0)),
        None => println!("skipped: there is no C compiler"),
    }
}
