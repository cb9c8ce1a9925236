//! Calling a function on a larger stack, without becoming somebody else.

use crate::host::host;
use crate::sched::{self, start};
use crate::spawn::me;
use crate::stack::host::call_on;
use crate::stack::slab::{self, Stack};
use crate::sys::asan;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::thread;

/// Runs `f` on a stack of its own of `bytes`, as part of the same goroutine or thread.
///
/// For the one deep call in a program whose other stacks are small: a recursive parser, a large frame in a library. Thread-locals, the
/// goroutine's identity and everything that waits are as outside, and `f` may use what `!Send` values it likes; only its frames lie elsewhere. The
/// stack comes from the same pool as goroutines' and goes back to it, so a call costs some 100 ns once one of the size is there, and what is not
/// touched costs no memory. A recursion that may become still deeper can call `with_stack` again.
///
/// Starts the runtime, whose stack it is, if it does not run. `bytes` is rounded up to a power of two, 64 KiB at least, the guard included (512 KiB, of
/// which 128 are the guard, on a plain thread and in bound mode, where glibc uses more of a stack at once). An overflow
/// ends the process with a message, as everywhere (on a thread that C code has made, which has no stack for signals, without one). Code that asks the system for the bounds of the stack it runs on gets the new ones.
///
/// # Panics
/// If `f` does, or if there is no such stack: above 1 GiB, or out of memory or address space.
///
/// # Examples
/// ```
/// fn depth(n: u32) -> u32 {
///     let frame = std::hint::black_box([n; 256]);
///     if n == 0 { 0 } else { 1 + depth(frame[0] - 1) }
/// }
/// // Some 10 MiB: more than a goroutine has by itself.
/// let all = gort::go(|| gort::with_stack(64 << 20, || depth(10_000))).join().unwrap();
/// assert_eq!(all, 10_000);
/// ```
#[track_caller]
pub fn with_stack<F, R>(bytes: usize, f: F) -> R
where
    F: FnOnce() -> R,
{
    let lent = Lent::take(bytes);
    let mut call = Call { f: Some(f), outcome: None };
    // SAFETY: the stack is ours until `lent` is dropped, which is after the call has returned; the goroutine takes it along if it parks. `run`
    // catches every panic.
    let on_it = || unsafe { call_on(lent.0.frames_top(), Call::<F, R>::run, (&raw mut call).cast()) };
    asan::calling(|| slab::bounds_around(lent.0.frames_top()), on_it);
    drop(lent);
    match call.outcome {
        Some(Ok(value)) => value,
        Some(Err(payload)) => resume_unwind(payload),
        None => unreachable!("the closure was not run"),
    }
}

struct Call<F, R> {
    f: Option<F>,
    outcome: Option<thread::Result<R>>,
}

impl<F: FnOnce() -> R, R> Call<F, R> {
    /// # Safety
    /// `call` is a `Self` that nobody else uses meanwhile.
    unsafe extern "C" fn run(call: *mut ()) {
        // SAFETY: as above.
        let call = unsafe { &mut *call.cast::<Self>() };
        asan::on_other_stack(|| {
            if let Some(f) = call.f.take() {
                call.outcome = Some(catch_unwind(AssertUnwindSafe(f)));
            }
        });
    }
}

/// A stack for one call.
struct Lent(Stack);

impl Lent {
    #[track_caller]
    fn take(bytes: usize) -> Self {
        // For the handler of overflows and the layout of slots.
        start::ensure();
        let class = if me().is_some() { slab::class_for(bytes) } else { slab::class_for_thread(bytes) };
        let Some(class) = class else {
            panic!("gort::with_stack: {bytes} bytes are more than 1 GiB, the largest stack there is");
        };
        // As the thread: a slot may have to be made.
        let stack = match host(|| slab::take(class, sched::fixed().identity.as_ref())) {
            Ok(stack) => stack,
            Err(error) => panic!("gort::with_stack: {error}"),
        };
        stack.footer().set_goroutine(me().map_or(ptr::null(), |g| ptr::from_ref(g).cast()));
        stack.footer().set_lent(true);
        if asan::is_linked() {
            asan::forget(slab::bounds_around(stack.frames_top()));
        }
        Self(stack)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.footer().set_lent(false);
        // Nobody has used its block.
        slab::give_back(&[self.0]);
    }
}
