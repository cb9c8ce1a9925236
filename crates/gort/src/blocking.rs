//! Marked blocking sections.

mod class;

pub(crate) use class::all as all_classes;
pub use class::{BlockingClass, BlockingClassMetrics, blocking_class};

use crate::context::{Context, Ended, root};
use crate::g::{G, WaitReason};
use crate::host::Call;
use crate::runtime::ShuttingDown;
use crate::sched::{self, section::Section};
use crate::sys::thread;
use std::panic::{Location, resume_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

/// Runs `f`, which may block its thread, and says so: if it lasts, other goroutines go on elsewhere.
///
/// Go's entersyscall and exitsyscall. The section costs a few nanoseconds if `f` returns at once; if it is still running after some 20 µs and
/// work waits, the monitor gives the processor to another thread, and the goroutine queues for one when `f` returns. Where that has happened, the
/// next section of the same call site gives it away at once. Use it for system calls, C libraries and locks that may take long.
///
/// Without the mark the same happens, but later: within a millisecond or, if nothing of the kind has happened for a while, some 10 if the thread
/// waits in the kernel; after 10 ms if it computes. And it happens to each goroutine in turn: of a thousand calls that block for 10 ms, with two processors, the last one ends after some 330 ms;
/// marked, after some 40 ms.
///
/// How many calls of a kind run at a time is for a [`BlockingClass`] to say.
///
/// Sections nest, and `f` may do everything that a goroutine may: park, send, spawn. On a plain thread `f` just runs.
///
/// # Panics
/// If `f` does; the section ends all the same.
///
/// # Examples
/// ```
/// let text = gort::blocking(|| std::fs::read_to_string("Cargo.toml"))?;
/// # drop(text);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn blocking<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    blocking_at(NO_CLASS, Location::caller(), f)
}

/// Instead of an object that has a name.
const NO_CLASS: usize = 0;

#[inline]
fn blocking_at<F, R>(class: usize, site: &'static Location<'static>, f: F) -> R
where
    F: FnOnce() -> R,
{
    let Some(g) = crate::spawn::me() else { return f() };
    let _section = Section::begin(g, class, site);
    f()
}

/// As [`blocking`], for an `f` that may run on another thread: so that it never holds up anybody, in [bound mode](crate::runtime::Mode) either.
///
/// Where goroutines move between threads this is [`blocking`]. In bound mode those that have begun on the same thread could not go on while `f`
/// blocks it, so `f` gets a thread of its own, which costs some 50 µs, and the goroutine parks. There `f` is on a plain thread: what waits inside
/// blocks that thread, and thread-locals are the thread's; the ambient [context](crate::context) goes along. If no thread can be had, `f` runs
/// in place.
///
/// `f` and its result may cross to another thread, hence `Send`; `f` may borrow, since the goroutine waits.
///
/// # Panics
/// If `f` does: the panic goes on in the goroutine.
///
/// # Examples
/// ```
/// let path = String::from("Cargo.toml");
/// let text = gort::blocking_send(|| std::fs::read_to_string(&path))?;
/// # drop(text);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn blocking_send<F, R>(f: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    send_at(NO_CLASS, Location::caller(), f)
}

fn send_at<F, R>(class: usize, site: &'static Location<'static>, f: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    match crate::spawn::me() {
        Some(g) if sched::fixed().is_bound() => {
            let context = crate::context::current();
            elsewhere(g, class, move || context.run(f), site)
        }
        _ => blocking_at(class, site, f),
    }
}

/// Runs `f` on a thread made for it, and nowhere else, while the caller waits; `None` if there is none to be had.
pub(crate) fn on_thread<F, R>(f: F, site: &'static Location<'static>) -> Option<R>
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    let caller = std::thread::current().id();
    let f = || (std::thread::current().id() != caller).then(f);
    match crate::spawn::me() {
        Some(g) => elsewhere(g, NO_CLASS, f, site),
        None => std::thread::scope(|s| {
            let thread = std::thread::Builder::new().name("gort-blocking".into()).spawn_scoped(s, f).ok()?;
            thread.join().unwrap_or_else(|payload| resume_unwind(payload))
        }),
    }
}

/// Runs `f` on a thread made for it, while `g`, which calls this, is parked.
fn elsewhere<F, R>(g: &'static G, class: usize, f: F, site: &'static Location<'static>) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    struct Errand<F, R> {
        call: Call<F, R>,
        g: &'static G,
        is_done: AtomicBool,
    }
    /// As a pointer to an errand, for another thread.
    struct Sent(*mut ());
    // SAFETY: what lies behind it is `Send`, by the bounds of `elsewhere`, and the goroutine looks at `is_done` only until that is set.
    unsafe impl Send for Sent {}
    impl Sent {
        /// # Safety
        /// It points to an `Errand<F, R>` that stays until it is done.
        unsafe fn run<F: FnOnce() -> R, R>(self) {
            let errand = self.0.cast::<Errand<F, R>>();
            // SAFETY: as the caller says; nobody else uses the call meanwhile, and the store below is the last look at the errand.
            let g = unsafe {
                Call::<F, R>::run((&raw mut (*errand).call).cast());
                let g = (*errand).g;
                // Release: pairs with the Acquire below, the goroutine sees the outcome.
                (*errand).is_done.store(true, Release);
                g
            };
            // Records are never freed. One that has gone on by itself looks once for nothing.
            if g.park.kick() {
                sched::ready(g);
            }
        }
    }
    let mut errand = Errand { call: Call::new(g, f), g, is_done: AtomicBool::new(false) };
    let address = &raw mut errand;
    let (sent, run) = (Sent(address.cast()), Sent::run::<F, R> as unsafe fn(Sent));
    // SAFETY: the errand lies in this frame, which is not left before it is done.
    if thread::spawn("gort-blocking", move || unsafe { run(sent) }).is_err() {
        let f = errand.call.take_back().expect("nobody has run it");
        return blocking_at(class, site, f);
    }
    // SAFETY: the errand lives; until it is done only this word of it is looked at, through the pointer that the thread has, too.
    // Acquire: see above.
    while !unsafe { (*address).is_done.load(Acquire) } {
        sched::park(g, WaitReason::Blocking, class, site, |g| g.park.commit_sleep());
    }
    errand.call.finish()
}

/// As [`blocking`], for a caller that waits until `ctx` ends at most.
///
/// A call that is in the kernel, or in a C library, cannot be ended. So `f` runs on a goroutine of its own, and what ends is the wait for it:
/// `f` then goes on to its own end, keeps its thread busy as long as that takes, and its result is dropped there. Whatever it needs moves in,
/// and what it changes it may change after this call has returned an error. If the context ends before `f` has begun, `f` is dropped and never
/// called. Costs a goroutine, also without a context that can end; `f` has thread-locals of its own.
///
/// # Errors
/// The context has ended first, or the runtime is shut down. A result that is there wins over a context that has ended.
///
/// # Panics
/// If `f` does, with its payload; if it does so after this call has returned, that is reported as any goroutine's panic. And if there is no memory
/// for a goroutine.
///
/// # Examples
/// ```
/// let (ctx, cancel) = gort::context::background().with_cancel();
/// assert_eq!(gort::blocking_ctx(&ctx, || 7).unwrap(), 7);
/// gort::go(move || cancel.cancel());
/// let (_go_on, signal) = std::sync::mpsc::channel::<()>();
/// let slow = move || signal.recv();
/// assert!(gort::blocking_ctx(&ctx, slow).unwrap_err().is_cancelled());
/// ```
#[track_caller]
pub fn blocking_ctx<F, R>(ctx: &Context, f: F) -> Result<R, Ended>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if let Some(why) = ctx.err() {
        return Err(why);
    }
    let site = Location::caller();
    detached(ctx, move || send_at(NO_CLASS, site, f))
}

/// Runs `f` on a goroutine of its own, if `ctx` has not ended by then, and waits for it until `ctx` ends at most.
#[track_caller]
fn detached<F, R>(ctx: &Context, f: F) -> Result<R, Ended>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let theirs = ctx.clone();
    let mut section = match crate::Builder::new().spawn(move || theirs.err().is_none().then(f)) {
        Ok(section) => section,
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<ShuttingDown>()) => return Err(root::why()),
        Err(error) => panic!("gort::go: {error}"),
    };
    section.wait_ctx(ctx)?;
    match section.join() {
        Ok(result) => result.ok_or_else(|| ctx.ended()),
        Err(payload) => resume_unwind(payload),
    }
}
