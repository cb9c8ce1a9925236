use super::*;
use crate::stack::slab::Stack;
use crate::sys::identity::tests::identity;
use crate::sys::identity::{set_thread_pointer, thread_pointer};
use crate::sys::stackmem;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const VARIABLE: &str = "GORT_TEST_OVERFLOW";

/// What a child process prints and how it ends. It runs the last test below.
fn run(case: &str) -> (Output, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "--test-threads=1",
            "stack::overflow::tests::a_child_process_runs_the_case_it_is_told",
        ])
        .env(VARIABLE, case)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

fn assert_aborts_with(case: &str, expected: &str) {
    let (output, text) = run(case);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{case}: {:?} {text}", output.status);
    assert!(text.contains(expected), "{case}: {text:?} should contain {expected:?}");
}

fn assert_dies_silently_of(case: &str, signal: i32) {
    let (output, text) = run(case);
    assert_eq!(output.status.signal(), Some(signal), "{case}: {:?} {text}", output.status);
    assert!(!text.contains("gort:"), "{case}: {text:?}");
}

#[test]
fn an_overflow_names_goroutine_size_origin_and_the_way_out() {
    assert_aborts_with(
        "overflow",
        "gort: goroutine 4711 \"deep\" overflowed its 256 KiB stack (started at src/deep.rs:88)\n      raise it with \
         gort::Builder::new().stack_size(1 << 20), or GORT_STACK_SIZE=1048576 for all goroutines\n",
    );
}

#[test]
fn an_overflow_is_found_with_guards_by_access_rights_too() {
    assert_aborts_with("mapped", "goroutine 4711 \"deep\" overflowed its 256 KiB stack");
}

#[test]
fn an_overflow_without_anybody_to_describe_it_is_reported_all_the_same() {
    assert_aborts_with("undescribed", "gort: goroutine (unknown) overflowed its 64 KiB stack\n");
}

#[test]
fn the_largest_stack_is_not_told_to_grow() {
    assert_aborts_with("largest", "overflowed its 1 GiB stack\n      the largest stack there is");
}

#[test]
fn a_fault_while_reporting_ends_in_a_fixed_text() {
    assert_aborts_with("second", "gort: a second memory fault while reporting");
}

#[test]
fn a_program_that_ignores_aborts_still_ends() {
    assert_aborts_with("ignored", "overflowed its 256 KiB stack");
}

#[test]
fn an_ordinary_threads_overflow_is_still_reported_by_std() {
    assert_aborts_with("thread", "has overflowed its stack");
}

#[test]
fn a_wild_pointer_is_not_taken_for_an_overflow() {
    assert_dies_silently_of("wild", libc::SIGSEGV);
    assert_dies_silently_of("wild on goroutine", libc::SIGSEGV);
}

#[test]
fn a_signal_that_somebody_sends_is_not_lost() {
    assert_dies_silently_of("sent", libc::SIGSEGV);
}

#[test]
fn a_handler_that_was_there_before_is_called_for_what_is_not_ours() {
    let (output, text) = run("handler before");
    assert_eq!(output.status.code(), Some(77), "{text}");
}

/// Not a test but what the others run in a process of their own.
#[test]
fn a_child_process_runs_the_case_it_is_told() {
    let Ok(case) = std::env::var(VARIABLE) else { return };
    match case.as_str() {
        "overflow" => overflow(2),
        "mapped" => {
            stackmem::force_mapped_guards();
            overflow(2);
        }
        "undescribed" => {
            prepare();
            let stack = slab::take(0, Some(identity())).unwrap();
            on(stack, deep);
        }
        "largest" => {
            prepare();
            let stack = slab::take(14, Some(identity())).unwrap();
            // Where a recursion would come to after a gigabyte.
            // SAFETY: none; this is what the test is about.
            unsafe { ((stack.limit() - 8) as *mut u64).write_volatile(1) };
        }
        "second" => {
            prepare();
            set_describe(|_, _| {
                std::hint::black_box(fault as fn())();
            });
            go(2, deep);
        }
        "ignored" => {
            // SAFETY: ignores a signal.
            unsafe { libc::signal(libc::SIGABRT, libc::SIG_IGN) };
            overflow(2);
        }
        "thread" => {
            prepare();
            std::thread::spawn(|| deep(0)).join().unwrap();
        }
        "wild" => {
            prepare();
            fault();
        }
        "wild on goroutine" => {
            prepare();
            go(2, |_| {
                fault();
                0
            });
        }
        "sent" => {
            // std's own handler would take it for a fault that comes again.
            // SAFETY: the default action, then a signal to this thread.
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            prepare();
            // SAFETY: as above.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        "handler before" => {
            extern "C" fn handler(_: i32) {
                // SAFETY: ends the process.
                unsafe { libc::_exit(77) };
            }
            // SAFETY: a handler that is async-signal-safe.
            unsafe { libc::signal(libc::SIGSEGV, handler as *const () as usize) };
            prepare();
            fault();
        }
        other => panic!("{other}"),
    }
    unreachable!("{case} should have ended the process");
}

fn prepare() {
    // SAFETY: no core files from tests.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
    install().unwrap();
    std::mem::forget(fault::thread_alt_stack().unwrap());
}

fn overflow(class: u8) {
    prepare();
    set_describe(|goroutine, out| {
        assert_eq!(goroutine as usize, 4711);
        out(b"4711 ");
        out(b"\"deep\"");
    });
    set_origin(|_, out| out(b"src/deep.rs:88"));
    go(class, deep);
}

fn go(class: u8, f: fn(u64) -> u64) {
    let stack = slab::take(class, Some(identity())).unwrap();
    stack.footer().set_goroutine(std::ptr::without_provenance(4711));
    on(stack, f);
}

#[inline(never)]
fn fault() {
    // SAFETY: none; this is what the test is about.
    unsafe { std::hint::black_box(std::ptr::without_provenance_mut::<u64>(8)).write_volatile(1) };
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn deep(depth: u64) -> u64 {
    let page = std::hint::black_box([depth; 100]);
    deep(depth + 1) + page[depth as usize % 100]
}

/// Runs `f` as a goroutine would: on the stack, with its block. For good.
fn on(stack: Stack, f: fn(u64) -> u64) {
    extern "C" fn start(f: *const ()) {
        // SAFETY: passed below.
        let f = unsafe { std::mem::transmute::<*const (), fn(u64) -> u64>(f) };
        std::hint::black_box(f)(0);
    }
    let own = thread_pointer();
    // SAFETY: the stack and its block are this thread's alone; the old stack pointer is kept in a register that the callee preserves.
    unsafe {
        set_thread_pointer(stack.tp());
        core::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {start}",
            "mov rsp, r12",
            top = in(reg) stack.frames_top(),
            start = sym start,
            in("rdi") f as *const (),
            out("r12") _,
            clobber_abi("C"),
        );
        set_thread_pointer(own);
    }
}
