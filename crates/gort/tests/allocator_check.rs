//! What the start says of the program's global allocator, and what becomes of one that lets a pthread key end what it keeps for a thread. No harness:
//! this binary is the program, and each allocator is tried in a child.

use gort::alloc::Global;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::process::Command;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicUsize};

/// libc's, whose caches goroutines share.
const SHARED: usize = 0;
/// Never gives the same block twice.
const LEAKING: usize = 1;
/// Keeps what a thread frees for that thread.
const CACHING: usize = 2;
/// And takes a megabyte for each thread that comes.
const GREEDY: usize = 3;
/// The caching one, behind gort's.
const WRAPPED: usize = 4;
/// Notes each thread that comes, in a thread-local, and lets a key tell when it ends.
const KEYED: usize = 5;
const NAMES: [&str; 6] = ["shared", "leaking", "caching", "greedy", "wrapped", "keyed"];

const CLASSES: usize = 65;
const UNKNOWN: usize = usize::MAX;

/// Which of them this process has. Found out by the first allocation, which may not allocate.
static KIND: AtomicUsize = AtomicUsize::new(UNKNOWN);

thread_local! {
    static FREE: [Cell<*mut u8>; CLASSES] = const { [const { Cell::new(ptr::null_mut()) }; CLASSES] };
    static HAS_COME: Cell<bool> = const { Cell::new(false) };
}

fn kind() -> usize {
    // Relaxed, both: every thread finds the same.
    let kind = KIND.load(Relaxed);
    if kind != UNKNOWN {
        return kind;
    }
    let mut line = [0_u8; 4096];
    // SAFETY: the kernel writes into a live array of that length.
    let read = unsafe {
        let file = libc::open(c"/proc/self/cmdline".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let read = libc::read(file, line.as_mut_ptr().cast(), line.len());
        libc::close(file);
        usize::try_from(read).unwrap_or(0)
    };
    let argument = line[..read].split(|&byte| byte == 0).nth(1).unwrap_or_default();
    let kind = NAMES.iter().position(|name| name.as_bytes() == argument).unwrap_or(SHARED);
    KIND.store(kind, Relaxed);
    kind
}

const NO_KEY: u32 = u32::MAX;
static KEY: AtomicU32 = AtomicU32::new(NO_KEY);
/// Threads that have come and not ended.
static PRESENT: AtomicIsize = AtomicIsize::new(0);

thread_local!(static IS_PRESENT: Cell<bool> = const { Cell::new(false) });

fn come() {
    // Acquire: pairs with the Release in `keyed`.
    let key = KEY.load(Acquire);
    if kind() == KEYED && key != NO_KEY && !IS_PRESENT.replace(true) {
        PRESENT.fetch_add(1, Relaxed);
        // SAFETY: a key that is never deleted. The value says no more than that there is one.
        unsafe { libc::pthread_setspecific(key, ptr::dangling()) };
    }
}

unsafe extern "C" fn go(_: *mut c_void) {
    IS_PRESENT.set(false);
    PRESENT.fetch_sub(1, Relaxed);
}

/// Goroutines with names, whose record is the last thing that is freed at an end. Says how many there seem to be afterwards.
fn keyed() -> isize {
    gort::go(|| ()).join().unwrap();
    let mut key = 0;
    // SAFETY: makes a key.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(go)) }, 0);
    // Release: pairs with the Acquire in `come`.
    KEY.store(key, Release);
    for _ in 0..200 {
        gort::Builder::new()
            .name("named".into())
            .spawn(|| drop(std::hint::black_box(vec![1_u8; 10])))
            .unwrap()
            .join()
            .unwrap();
    }
    PRESENT.load(Relaxed)
}

struct Caching;

fn class(layout: Layout) -> Option<usize> {
    (layout.size() <= 1024 && layout.align() <= 16).then(|| layout.size().div_ceil(16).max(1))
}

// SAFETY: blocks are `System`'s, of at least the size asked for; a free one is on one list of one thread.
unsafe impl GlobalAlloc for Caching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if kind() == GREEDY && !HAS_COME.replace(true) {
            // SAFETY: a layout that is not empty; the block stays, and has that size.
            unsafe { System.alloc(Layout::from_size_align_unchecked(1 << 20, 4096)).write_bytes(1, 1 << 20) };
        }
        // SAFETY: as the caller says; blocks on the list are of this class, and link to the next.
        unsafe {
            match class(layout) {
                None => System.alloc(layout),
                Some(class) => FREE.with(|free| match free[class].get() {
                    block if block.is_null() => System.alloc(Layout::from_size_align_unchecked(class * 16, 16)),
                    block => {
                        free[class].set(block.cast::<*mut u8>().read());
                        block
                    }
                }),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe {
            match class(layout) {
                None => System.dealloc(block, layout),
                Some(class) => FREE.with(|free| block.cast::<*mut u8>().write(free[class].replace(block))),
            }
        }
    }
}

struct Chosen(Global<Caching>);

// SAFETY: one of several allocators, the same for the life of the process.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        come();
        // SAFETY: passed on.
        unsafe {
            match kind() {
                CACHING | GREEDY => Caching.alloc(layout),
                WRAPPED => self.0.alloc(layout),
                _ => System.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        come();
        // SAFETY: passed on.
        unsafe {
            match kind() {
                LEAKING => {}
                CACHING | GREEDY => Caching.dealloc(block, layout),
                WRAPPED => self.0.dealloc(block, layout),
                _ => System.dealloc(block, layout),
            }
        }
    }
}

#[global_allocator]
static ALLOCATOR: Chosen = Chosen(Global::new(Caching));

/// Starts the runtime with this allocator; what it says, and in which mode it is then.
fn start(name: &str, mode: &str) -> (String, String) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).arg(name).env("GORT_MODE", mode).env_remove("GORT_PERTURB").output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{name} {mode}: {:?}\n{err}", output.status);
    (err, out.trim().to_owned())
}

fn main() {
    if let Some(name) = std::env::args().nth(1).filter(|name| NAMES.contains(&name.as_str())) {
        assert_eq!(NAMES[kind()], name);
        if kind() == KEYED {
            return println!("{}", keyed());
        }
        gort::go(|| drop(std::hint::black_box(vec![1_u8; 100]))).join().unwrap();
        return println!("{}", gort::runtime::mode());
    }
    let (said, mode) = start("shared", "auto");
    if mode != "migrating" || said.contains("caches of the C allocator") {
        return println!(
            "skipped: goroutines share their threads' caches here, or cannot share those of libc:\n{said}"
        );
    }
    const LINE: &str = "#[global_allocator] static ALLOCATOR: gort::alloc::Global<A> = gort::alloc::Global::new(A)";
    assert_eq!(said, "");
    for silent in ["leaking", "wrapped"] {
        assert_eq!(start(silent, "auto"), (String::new(), "migrating".into()), "{silent}");
    }
    for (name, asked, mode) in
        [("caching", "auto", "migrating"), ("greedy", "migrating", "migrating"), ("greedy", "auto", "bound")]
    {
        let (said, is) = start(name, asked);
        assert_eq!(is, mode, "{name} {asked}: {said}");
        assert!(
            said.starts_with("gort: ") && said.lines().count() == 1 && said.contains(LINE),
            "{name} {asked}: {said}"
        );
    }
    assert_eq!(start("caching", "bound"), (String::new(), "bound".into()), "its threads are few");
    let (said, present) = start("keyed", "auto");
    // This thread, the monitor's, and those that run goroutines.
    assert!(present.parse::<isize>().unwrap() < 50, "{present} of 200 have left something behind; {said}");
    println!("the start has found out what it should of every allocator");
}
