//! Running a closure as the thread beneath the goroutine.

use crate::g::G;
use crate::sched::{self, M};
use crate::spawn::{me, report};
use crate::stack::host::{call_as, call_on};
use crate::sys::asan;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// Runs `f` as the OS thread that the goroutine is on at the moment: with that thread's thread-locals and on that thread's own stack.
///
/// A goroutine is a thread of its own to everything in user space, and there may be a hundred thousand of them. `host` is for code that does
/// not go well with that:
///
/// - libraries that keep something large for each thread, or only so many (`tracing-subscriber` counts up to 4096): inside `host` they meet
///   the few threads that run goroutines;
/// - code that asks the system where its stack ends, such as conservative garbage collectors and some interpreters;
/// - code that needs more stack than the goroutine has: an M's stack has 1 MiB, of which the scheduler uses a few KiB.
///
/// Inside, gort behaves as on a plain thread: whatever waits blocks the thread, [`lock_os_thread`](crate::lock_os_thread) has nothing to do,
/// and [`current`](crate::current) stands for the thread. Other goroutines go on meanwhile: as with any code that is in no hurry to come back,
/// the processor is taken from the thread after 10 ms, or after 20 µs within [`blocking`](crate::blocking). The goroutine does not move
/// while `f` runs. On a plain thread, and inside another `host`, `f` just runs.
///
/// `f` and its result cross from one thread to another, hence `Send`; `f` may borrow, since the goroutine waits. Thread-locals that `f` uses
/// for the first time belong to the thread, which goes on when the goroutine ends: their destructors do not run then. The next `host` of the
/// same goroutine may find another thread, unless the goroutine holds [`lock_os_thread`](crate::lock_os_thread). The rounding mode and other control
/// words of the floating-point units are the goroutine's, inside as well, and what `f` changes about them stays with the goroutine.
///
/// A call costs some 30 ns more than that of a closure.
///
/// # Panics
/// If `f` does: the panic is caught there and goes on in the goroutine.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
///
/// gort::go(|| {
///     let words = ["a", "text"];
///     let length = gort::host(|| {
///         CALLS.set(CALLS.get() + 1); // the thread's
///         words.iter().map(|word| word.len()).sum::<usize>()
///     });
///     assert_eq!(length, 5);
///     assert_eq!(CALLS.get(), 0); // the goroutine's
/// })
/// .join()
/// .unwrap();
/// ```
#[inline]
pub fn host<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let Some(g) = me() else { return f() };
    // Others may want the processor; and in the child of a fork there is no thread beneath.
    sched::checkpoint(g);
    // SAFETY: `g` is the goroutine that runs this.
    let m = unsafe { M::of(g) };
    let mut call = Call::new(g, f);
    let argument = (&raw mut call).cast();
    let (here, below) = (g.tp.get(), m.thread_pointer());
    // SAFETY: `m` runs the calling goroutine. So its block is this thread's and unused, and its stack is free below the context that it saved
    // when it switched to us; nobody uses that context before this goroutine leaves, which takes a call of gort from its own block and
    // stack: `run` makes none, and calls inside `f` meet the thread's block, which is no goroutine's. `run` catches every panic. The C
    // allocator's words go along: it may change them on either side.
    unsafe {
        match &sched::fixed().identity {
            Some(identity) => {
                identity.return_malloc(here, below);
                let exit = identity.forbid_exit(below);
                call_as(m.free_stack(), below, Call::<F, T>::run, argument);
                identity.allow_exit(below, exit);
                identity.lend_malloc(below, here);
            }
            None => m.as_itself(|| {
                asan::calling(asan::home, || call_on(m.free_stack(), Call::<F, T>::run_at_home, argument));
            }),
        }
    }
    call.finish()
}

/// A closure that a thread runs for a goroutine: what goes over, and what comes back.
pub(crate) struct Call<F, T> {
    g: &'static G,
    f: Option<F>,
    outcome: Option<thread::Result<T>>,
    /// What the thread's panic hook has reported, in the goroutine's name.
    spoken: Option<report::Mark>,
}

impl<F: FnOnce() -> T, T> Call<F, T> {
    pub(crate) fn new(g: &'static G, f: F) -> Self {
        Self { g, f: Some(f), outcome: None, spoken: None }
    }

    /// What the closure has returned, or its panic. Run on the goroutine.
    pub(crate) fn finish(self) -> T {
        match self.outcome {
            Some(Ok(value)) => value,
            Some(Err(payload)) => {
                report::set_spoken(self.spoken);
                resume_unwind(payload)
            }
            None => unreachable!("the closure was not run"),
        }
    }

    /// The closure, if nobody has run it.
    pub(crate) fn take_back(self) -> Option<F> {
        self.f
    }

    /// [`Call::run`] by a goroutine of the thread's, which has come to the thread's stack for it.
    ///
    /// # Safety
    /// As for that.
    unsafe extern "C" fn run_at_home(call: *mut ()) {
        // SAFETY: as above.
        asan::on_other_stack(|| unsafe { Self::run(call) });
    }

    /// Runs as the thread. A function of its own, reached only through a pointer: no address of a thread-local that the compiler knows on
    /// one side is used on the other.
    ///
    /// # Safety
    /// `call` is a `Self` that nobody else uses meanwhile.
    pub(crate) unsafe extern "C" fn run(call: *mut ()) {
        // SAFETY: as above.
        let call = unsafe { &mut *call.cast::<Self>() };
        let Some(f) = call.f.take() else { return };
        report::set_guest(Some(call.g));
        let outcome = catch_unwind(AssertUnwindSafe(f));
        report::set_guest(None);
        if outcome.is_err() {
            call.spoken = report::take_spoken();
        }
        call.outcome = Some(outcome);
    }
}
