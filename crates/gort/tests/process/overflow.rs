//! Stack overflows: always a message, never silent corruption; and faults that are none.

use crate::child::{self, Ended};
use crate::support::{is_bound, needs_migration};

/// Small frames, without end.
#[inline(never)]
#[allow(unconditional_recursion)]
fn deep() {
    let frame = std::hint::black_box([1_u64; 8]);
    deep();
    std::hint::black_box(&frame);
}

/// Frames of five pages, of which only one word is used: the guard must not be jumped over.
#[inline(never)]
#[allow(unconditional_recursion)]
fn deep_in_pages() {
    let mut frame = std::mem::MaybeUninit::<[u64; 5 * 512]>::uninit();
    std::hint::black_box(&mut frame);
    deep_in_pages();
    std::hint::black_box(&frame);
}

/// A single frame larger than the stack.
#[inline(never)]
fn huge() {
    let mut frame = std::mem::MaybeUninit::<[u64; 256 << 10]>::uninit();
    std::hint::black_box(&mut frame);
}

#[inline(never)]
fn null_dereference() {
    // SAFETY: none; this is what the test is about.
    unsafe { std::hint::black_box(std::ptr::null_mut::<u64>()).write_volatile(1) };
}

/// Overflows in C code: glibc's compiler of regular expressions calls itself for each parenthesis.
fn deep_in_c() {
    let pattern = std::ffi::CString::new("(".repeat(1 << 20)).unwrap();
    let mut compiled = std::mem::MaybeUninit::uninit();
    // SAFETY: a place for the result, and a string that ends in a zero.
    unsafe { libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), libc::REG_EXTENDED) };
}

extern "C" fn does_nothing(_signal: libc::c_int) {}

/// Goes down to the last of the stack, and lets a signal come there whose handler has no other.
fn no_room_for_a_handler() {
    fn down_to(least: usize) {
        let here = std::hint::black_box([0_u64; 8]);
        if std::hint::black_box(&here).as_ptr() as usize > least {
            return down_to(least);
        }
        // SAFETY: sends a signal to the calling thread. No function of libc's, which would want some stack.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR1) };
    }
    // SAFETY: zeros are valid records; the attributes are filled before they are read.
    let end = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = does_nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        let (mut attributes, mut end, mut bytes) = (std::mem::zeroed(), std::ptr::null_mut(), 0);
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes), 0);
        libc::pthread_attr_getstack(&raw const attributes, &raw mut end, &raw mut bytes);
        libc::pthread_attr_destroy(&raw mut attributes);
        end as usize
    };
    down_to(end + 800);
}

extern "C" fn overflows(_signal: libc::c_int) {
    deep();
}

/// Lets SIGUSR1 overflow the stack on which its handler runs, and raises it.
fn deep_in_a_handler(flags: libc::c_int) {
    // SAFETY: zeros are a valid record; the handler has the right type. What it does is what the test is about.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = overflows as *const () as usize;
        action.sa_flags = flags;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
        libc::raise(libc::SIGUSR1);
    }
}

fn report(ended: &Ended, name: &str, size: &str) -> String {
    let (id, line) = (ended.value("id"), ended.value("line"));
    format!("gort: goroutine {id} {name}overflowed its {size} stack (started at {}:{line})\n", file!())
}

/// The message has id, name, stack size, the place of the start and the way out; then the process ends by SIGABRT.
#[test]
fn an_overflow_says_whose_and_how_large_the_stack_was_and_what_to_do() {
    struct Deep;
    impl Drop for Deep {
        fn drop(&mut self) {
            deep();
        }
    }
    thread_local!(static LOCAL: std::cell::RefCell<Option<Deep>> = const { std::cell::RefCell::new(None) });
    let this = child::of(|case| {
        let builder = gort::Builder::new();
        let builder = match case {
            "named" => builder.name("conn 10.0.0.7:5123".into()),
            "1 MiB" => builder.stack_size(1 << 20),
            "odd" => builder.stack_size(700_000),
            "largest" => builder.stack_size(1 << 30),
            _ => builder,
        };
        let run = case.to_owned();
        println!("line {}", line!() + 1);
        let overflows = builder.spawn(move || {
            println!("id {}", gort::current().id());
            // Not on the thread it began on, in most runs.
            (0..100).for_each(|_| gort::yield_now());
            match run.as_str() {
                "pages" => deep_in_pages(),
                "huge" => huge(),
                "thread-local" => LOCAL.set(Some(Deep)),
                "locked" => {
                    let _thread = gort::lock_os_thread();
                    deep();
                }
                "marked" => gort::blocking(deep),
                "largest" => deep_in_pages(),
                "foreign" => deep_in_c(),
                "handler" => deep_in_a_handler(0),
                "no room for a handler" => no_room_for_a_handler(),
                "unwinding" => {
                    let _deep = Deep;
                    std::panic::resume_unwind(Box::new(1));
                }
                _ => deep(),
            }
        });
        let others: Vec<_> = (0..4)
            .map(|_| {
                gort::go(|| {
                    loop {
                        gort::yield_now()
                    }
                })
            })
            .collect();
        overflows.unwrap().join().unwrap();
        drop(others);
    });
    // In bound mode the smallest is larger.
    let (usual, usual_advice, small) =
        if is_bound() { ("512 KiB", 2 << 20, "512 KiB") } else { ("256 KiB", 1 << 20, "64 KiB") };
    let size = |case: &str| match case {
        "1 MiB" | "odd" => ("1 MiB", 4 << 20),
        _ => (usual, usual_advice),
    };
    let cases = [
        "default",
        "named",
        "pages",
        "huge",
        "1 MiB",
        "odd",
        "thread-local",
        "locked",
        "marked",
        "unwinding",
        "foreign",
        "handler",
        "no room for a handler",
    ];
    for case in cases {
        if case == "thread-local" && needs_migration("thread-locals end with the thread") {
            continue;
        }
        let ended = this.run(case);
        let name = if case == "named" { "\"conn 10.0.0.7:5123\" " } else { "" };
        let (size, larger) = size(case);
        ended.killed_by(libc::SIGABRT).says_once(&report(&ended, name, size)).says_once(&format!(
            "raise it with gort::Builder::new().stack_size(1 << {}), or GORT_STACK_SIZE={larger} for all goroutines\n",
            i32::ilog2(larger)
        ));
    }
    let ended = this.case("default").env("GORT_STACK_SIZE", "64K").run();
    ended.killed_by(libc::SIGABRT).says_once(&report(&ended, "", small)).says_once("raise it with");
}

/// A stack that was asked for a call is told as such, on a goroutine and on a thread.
#[test]
fn an_overflow_of_a_with_stack_says_what_to_ask_for() {
    let this = child::of(|case| match case {
        "goroutine" => {
            println!("line {}", line!() + 1);
            let overflows = gort::go(|| {
                println!("id {}", gort::current().id());
                gort::with_stack(1 << 20, deep);
            });
            overflows.join().unwrap();
        }
        "left" => {
            gort::go(|| {
                println!("id {}", gort::current().id());
                gort::with_stack(1 << 20, || ());
                deep();
            })
            .join()
            .unwrap();
        }
        "host" => gort::go(|| gort::host(|| gort::with_stack(1 << 20, deep))).join().unwrap(),
        _ => gort::with_stack(1 << 20, deep),
    });
    let advice = "ask it for more: gort::with_stack(1 << 22, ..)\n";
    let ended = this.run("goroutine");
    let (id, line) = (ended.value("id"), ended.value("line"));
    ended.killed_by(libc::SIGABRT).says_once(advice).says_once(&format!(
        "gort: goroutine {id} overflowed the 1 MiB stack of a gort::with_stack (started at {}:{line})\n",
        file!()
    ));
    let usual = if is_bound() { "512 KiB" } else { "256 KiB" };
    let ended = this.run("left");
    ended.killed_by(libc::SIGABRT).says_once(&format!("overflowed its {usual} stack (")).never_says("with_stack(1");
    for case in ["thread", "host"] {
        let ended = this.run(case);
        ended.killed_by(libc::SIGABRT).says_once(advice);
        ended.says_once("gort: a thread overflowed the 1 MiB stack of a gort::with_stack\n");
    }
}

/// A handler that overflows the stack for signals meets a guard there, too: the process ends.
#[test]
fn an_overflow_of_the_stack_for_signals_ends_the_process() {
    let this = child::of(|_| gort::go(|| deep_in_a_handler(libc::SA_ONSTACK)).join().unwrap());
    this.run("").killed_by(libc::SIGSEGV).never_says("overflowed its");
}

/// An address that is none, used close to the end of a stack, is no overflow of it.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_wild_pointer_near_the_end_of_a_stack_is_no_overflow() {
    #[inline(never)]
    fn down_to(limit: usize) -> u64 {
        let here = std::hint::black_box([0_u8; 64]);
        if here.as_ptr() as usize > limit {
            return down_to(limit) + u64::from(std::hint::black_box(here)[0]);
        }
        // SAFETY: none; this is what the test is about.
        unsafe { std::hint::black_box(std::ptr::without_provenance::<u64>(0xdead << 48)).read_volatile() }
    }
    let this = child::of(|_| {
        let near_the_end = || {
            let mut low = std::ptr::null_mut();
            let mut bytes = 0;
            // SAFETY: the attributes are initialised by the first call.
            unsafe {
                let mut attributes = std::mem::zeroed();
                assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), &mut attributes), 0);
                assert_eq!(libc::pthread_attr_getstack(&attributes, &mut low, &mut bytes), 0);
            }
            down_to(low as usize + 1000);
        };
        gort::go(near_the_end).join().unwrap();
    });
    this.run("").killed_by(libc::SIGSEGV).never_says("overflowed its");
}

/// The main goroutine is no exception.
#[test]
fn an_overflow_of_the_main_goroutine_is_reported() {
    fn main() {
        deep();
    }
    let ended = child::of(|_| child::gort_main(main)).run("");
    ended.killed_by(libc::SIGABRT).says_once("\"main\" overflowed its 8 MiB stack");
}

/// Several at once: one is reported, in one piece, and nobody hangs.
#[test]
fn overflows_on_several_threads_at_once_end_in_one_report() {
    let this = child::of(|_| {
        let all: Vec<_> = (0..8).map(|_| gort::go(deep)).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    for _ in 0..3 {
        this.run("").killed_by(libc::SIGABRT).says_once("overflowed its").says_once("raise it with");
    }
}

/// An ordinary thread's overflow is std's to report, as without gort.
#[test]
fn an_overflow_of_a_plain_thread_is_still_reported_by_std() {
    let this = child::of(|_| {
        gort::go(|| ()).join().unwrap();
        let thread = std::thread::Builder::new().name("plain".into()).spawn(deep);
        thread.unwrap().join().unwrap();
    });
    this.run("").killed_by(libc::SIGABRT).says("thread 'plain'").says("has overflowed its stack").never_says("gort:");
}

/// A wild pointer is a plain SIGSEGV, on a goroutine as anywhere.
#[test]
fn a_null_dereference_is_a_plain_segmentation_fault() {
    let this = child::of(|case| {
        gort::go(|| ()).join().unwrap();
        match case {
            "goroutine" => gort::go(null_dereference).join().unwrap(),
            _ => null_dereference(),
        }
    });
    for case in ["goroutine", "thread"] {
        this.run(case).killed_by(libc::SIGSEGV).never_says("overflow").never_says("gort:");
    }
}

/// C code that takes room for a buffer at once must not step over the guard of a small stack, into the stack below: glibc puts up to a quarter
/// of what it believes the stack has there, between small frames.
#[test]
fn a_large_buffer_of_c_codes_does_not_step_over_the_guard() {
    /// The pattern's directory is copied in one piece.
    fn glob(bytes: usize) -> libc::c_int {
        let pattern = std::ffi::CString::new(format!("/{}/a*", "x".repeat(bytes))).unwrap();
        let mut found = std::mem::MaybeUninit::uninit();
        // SAFETY: a string that ends in a zero, no callback, and a place for the result.
        unsafe { libc::glob(pattern.as_ptr(), 0, None, found.as_mut_ptr()) }
    }
    if needs_migration("thread-locals are shared") {
        return;
    }
    let this = child::of(|case| {
        let bytes = case.parse().unwrap();
        let small = || gort::Builder::new().stack_size(64 << 10);
        // Its neighbours wait, with something to be spoilt in their blocks.
        thread_local!(static LOCAL: std::cell::Cell<[usize; 8]> = const { std::cell::Cell::new([0; 8]) });
        let (go_on, wait) = gort::chan::unbounded::<()>();
        let neighbours: Vec<_> = (0..4)
            .map(|n| {
                let wait = wait.clone();
                let neighbour = move || {
                    LOCAL.set([n; 8]);
                    wait.recv().unwrap_err();
                    assert_eq!(LOCAL.get(), [n; 8]);
                };
                small().spawn(neighbour).unwrap()
            })
            .collect();
        assert_eq!(small().spawn(move || glob(bytes)).unwrap().join().unwrap(), libc::GLOB_NOMATCH);
        let deep = move || gort::with_stack(64 << 10, || glob(bytes));
        assert_eq!(gort::go(deep).join().unwrap(), libc::GLOB_NOMATCH);
        drop(go_on);
        neighbours.into_iter().for_each(|one| one.join().unwrap());
    });
    for bytes in [4000, 20_000, 45_000, 62_000] {
        this.run(&bytes.to_string()).exited(0);
    }
}

/// Takes 72 KiB of stack at once and writes to the lowest word, as glibc does with a buffer in a frame and what it calls: nothing in between is
/// touched.
#[unsafe(naked)]
extern "C" fn take_much() {
    std::arch::naked_asm!("sub rsp, 73728", "mov qword ptr [rsp], 0", "add rsp, 73728", "ret")
}

/// At each depth, till the guard is met: what has been stepped over must not be one.
#[inline(never)]
fn steps(frame: &[u64; 64]) {
    take_much();
    let here = std::ptr::from_ref(frame) as usize;
    for page in 1..18 {
        // SAFETY: the kernel looks for a path there, which it may not find.
        let found = unsafe { libc::access((here - page * 4096) as *const libc::c_char, libc::F_OK) };
        let errno = std::io::Error::last_os_error().raw_os_error();
        if found != 0 && errno == Some(libc::EFAULT) {
            println!("stepped over");
            std::process::exit(3);
        }
    }
    steps(&std::hint::black_box([0; 64]));
    std::hint::black_box(frame);
}

/// Where glibc believes that it is on a thread's own stack, its buffers are larger, and guards are.
#[test]
fn no_guard_is_stepped_over_by_a_buffer_for_a_threads_stack() {
    let this = child::of(|case| {
        let bytes = case.rsplit(' ').next().unwrap().parse().unwrap();
        let begin = || steps(&[0; 64]);
        match case.split(' ').next().unwrap() {
            "thread" => gort::with_stack(bytes, begin),
            "host" => gort::go(move || gort::host(|| gort::with_stack(bytes, begin))).join().unwrap(),
            "lent" => gort::go(move || gort::with_stack(bytes, begin)).join().unwrap(),
            _ => gort::Builder::new().stack_size(bytes).spawn(begin).unwrap().join().unwrap(),
        }
    });
    for (kind, mode) in [("thread", "auto"), ("host", "auto"), ("lent", "bound"), ("goroutine", "bound")] {
        for bytes in [64 << 10, 256 << 10, 1 << 20] {
            let ended = this.case(&format!("{kind} {bytes}")).env("GORT_MODE", mode).run();
            ended.killed_by(libc::SIGABRT).says_once("overflowed ");
        }
    }
}
