//! C: a function that blocks, called in three ways, and callbacks that use gort, from a goroutine's own thread and from a foreign one.
//!
//! `cargo run --release --example ffi`

use gort::BlockingClass;
use gort::chan::{Sender, bounded};
use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::time::Instant;

/// A library in C that waits for its server: 20 ms, in the kernel, and gort is told nothing.
fn ask_the_server() {
    // SAFETY: sleeps.
    unsafe { libc::usleep(20_000) };
}

/// The library has so many connections; more callers than that only hold threads.
static LIBRARY: BlockingClass = BlockingClass::new("library", 4);

fn all_at_once(how: &str, call: impl Fn() + Copy + Send + Sync) {
    let start = Instant::now();
    gort::scope(|s| {
        for _ in 0..16 {
            s.spawn(call);
        }
    });
    println!("{how:<8} 16 calls of 20 ms took {:3} ms", start.elapsed().as_millis());
}

/// What C calls back: it knows one word of ours.
type Callback = extern "C" fn(*mut c_void) -> *mut c_void;

/// A thread that C makes, in which it calls us back.
fn on_a_thread_of_cs(callback: Callback, word: *mut c_void) {
    // SAFETY: all zero is no thread, and is written before it is read; the callback takes that word.
    unsafe {
        let mut thread: libc::pthread_t = std::mem::zeroed();
        assert_eq!(libc::pthread_create(&raw mut thread, std::ptr::null(), callback, word), 0);
        // What blocks is marked: the thread may take its time.
        assert_eq!(gort::blocking(|| libc::pthread_join(thread, std::ptr::null_mut())), 0);
    }
}

/// Runs on a thread that gort has never seen. It waits as any thread does, and whom it waits for may be a goroutine. It must not unwind into C: a
/// panic ends the process there.
extern "C" fn talk(word: *mut c_void) -> *mut c_void {
    // SAFETY: the word that `main` has given: it waits until this thread has ended.
    let report = unsafe { &*word.cast::<Sender<String>>() };
    let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    gort::go(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"from a goroutine").unwrap();
    });
    let (mut stream, mut text) = (gort::net::TcpStream::connect(addr).unwrap(), String::new());
    stream.read_to_string(&mut text).unwrap();
    report.send(text).unwrap();
    std::ptr::null_mut()
}

/// Compares for `qsort`, within the goroutine that has called that: it may park, and go on on another thread, with C's frames below it.
extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
    gort::yield_now();
    // SAFETY: elements of the array that `main` sorts.
    unsafe { (*a.cast::<c_int>()).cmp(&*b.cast::<c_int>()) as c_int }
}

#[gort::main]
fn main() {
    all_at_once("bare", ask_the_server);
    all_at_once("marked", || gort::blocking(ask_the_server));
    all_at_once("class", || LIBRARY.run(ask_the_server));

    let (report, said) = bounded::<String>(1);
    on_a_thread_of_cs(talk, (&raw const report).cast_mut().cast());
    println!("a thread of C's has heard {:?}", said.recv().unwrap());

    let mut numbers: Vec<c_int> = (0..100).rev().collect();
    // SAFETY: so many elements of that size, and a comparison for them.
    unsafe {
        libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), size_of::<c_int>(), Some(compare));
    }
    assert!(numbers.is_sorted());
    println!("C has sorted {} numbers by a comparison that parks", numbers.len());
}
