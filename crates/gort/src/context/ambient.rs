//! The ambient context: the one that a goroutine, or thread, is in without being told by its caller.
//!
//! A thread-local of ours points at a [`Context`] that lies in the frame of the [`Context::run`], or of the goroutine's first function, further
//! up on the same stack. A goroutine has thread-locals of its own, or takes this one along (`sched::words`), so nobody else sees it, and the frame
//! outlives every look at it. A look that finds none costs one load; who has none is in the root.
//!
//! Goroutines inherit it when they are spawned (`spawn::task`): the record's extra data carries a copy to their first function. Those that start
//! by themselves later (`after_func`) do not: they often clean up after the very context that has ended.

use super::{Context, background};
use crate::g::G;
use crate::sched;
use crate::timer::{NEVER, Target};
use std::cell::Cell;
use std::io;
use std::ptr;

thread_local! {
    static HERE: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

impl Context {
    /// Runs `f` with this context as the ambient one: calls of gort inside that may park and return an [`io::Result`] end when the context does,
    /// at once if it has. Goroutines started inside inherit it, unless their [`Builder`](crate::Builder::context) says otherwise.
    ///
    /// Calls that end so have done nothing, or what their result says: a stream can be used further. Their error is of kind
    /// [`TimedOut`](io::ErrorKind::TimedOut) with a [`DeadlineExceeded`](super::DeadlineExceeded) inside for a deadline, else of kind
    /// [`Other`](io::ErrorKind::Other) with [`Cancelled`](super::Cancelled) inside, whose source is the cause. [`Ended::find`](super::Ended::find)
    /// tells whether an error comes from the end of a context.
    ///
    /// An inner `run` replaces the ambient context as long as it lasts; to bound it by both, derive the inner context from
    /// [`current`]. What returns no [`io::Result`] is not ended: channels, locks and joins take contexts as arguments.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let server = gort::go(move || ctx.run(|| listener.accept().map(drop)));
    /// cancel.cancel();
    /// assert_eq!(server.join().unwrap().unwrap_err().kind(), ErrorKind::Other);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _here = enter(self);
        f()
    }
}

/// The ambient context; [`background`] where there is none.
///
/// # Examples
/// ```
/// use gort::context::{Key, background, current};
/// static REQUEST: Key<u64> = Key::new("request");
/// background().with_value(&REQUEST, 7).run(|| {
///     let goroutine = gort::go(|| current().value(&REQUEST).copied());
///     assert_eq!(goroutine.join().unwrap(), Some(7));
/// });
/// assert!(current().value(&REQUEST).is_none());
/// ```
#[must_use]
pub fn current() -> Context {
    with(|context| context.cloned()).unwrap_or_else(background)
}

/// Puts the context of before back when dropped.
pub(crate) struct Here<'a> {
    before: *const Context,
    context: std::marker::PhantomData<&'a Context>,
}

/// Makes `context` the ambient one.
pub(crate) fn enter(context: &Context) -> Here<'_> {
    let here = if context.is_plain_background() { ptr::null() } else { ptr::from_ref(context) };
    Here { before: HERE.replace(here), context: std::marker::PhantomData }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        HERE.set(self.before);
    }
}

/// Makes `context` the ambient one, for a goroutine that comes or goes: see `sched::words`.
#[inline]
pub(crate) fn replace(context: *const Context) -> *const Context {
    HERE.replace(context)
}

/// Lets `f` look at the ambient context.
#[inline]
fn with<R>(f: impl FnOnce(Option<&Context>) -> R) -> R {
    // SAFETY: null, or a context borrowed by a `Here` further up on this stack, which is neither moved nor sent and puts the one before back
    // when its borrow ends; what `f` returns cannot borrow from it.
    f(unsafe { HERE.get().as_ref() })
}

/// A copy for a goroutine that is about to be spawned.
#[inline]
pub(crate) fn inherited() -> Option<Context> {
    with(|context| context.cloned())
}

/// A copy for a wait that the end of the root does not end; none if nothing else ends the ambient context.
#[inline]
pub(crate) fn but_root() -> Option<Context> {
    with(|context| context.filter(|context| context.ending().is_some_and(|ending| !ending.is_root())).cloned())
}

/// An error if the ambient context has ended, else its deadline.
#[inline]
pub(crate) fn check() -> io::Result<u64> {
    Root::look()?;
    check_but_root()
}

/// The same for a call that may not have to wait, and looks at the [`Root`] before it does.
#[inline]
pub(crate) fn check_but_root() -> io::Result<u64> {
    with(|context| match context {
        None => Ok(NEVER),
        Some(context) => check_slow(context),
    })
}

#[cold]
fn check_slow(context: &Context) -> io::Result<u64> {
    // The root, with a value or without, ends waits: that is `Root`'s.
    let Some(ending) = context.ending().filter(|ending| !ending.is_root()) else { return Ok(NEVER) };
    match ending.why() {
        Some(why) => Err(why.into()),
        None => Ok(ending.deadline_ns()),
    }
}

/// The root as it was before a wait, for those who are in no context that ends earlier: it may have ended, and be another one, when they look again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    shutdowns: u32,
}

impl Root {
    /// An error if it has ended, and nothing but it ends the ambient context.
    #[inline]
    pub(crate) fn look() -> io::Result<Self> {
        let root = Self { shutdowns: sched::stop::shutdowns() };
        if sched::stop::has_root_ended() {
            end_by_root()?;
        }
        Ok(root)
    }

    /// An error if it has ended since, and nothing but it ends the ambient context.
    #[inline]
    pub(crate) fn check(self) -> io::Result<()> {
        if self.shutdowns == sched::stop::shutdowns() { Ok(()) } else { end_by_root() }
    }
}

#[cold]
fn end_by_root() -> io::Result<()> {
    let is_root = |context: &Context| context.ending().is_some_and(|ending| ending.is_root());
    if with(|context| context.is_none_or(is_root)) { Err(super::root::why().into()) } else { Ok(()) }
}

/// Runs `wait`, which parks `me`, so that a cancellation of the ambient context kicks `target`; not at all if there has been one. Its deadline
/// is the caller's to mind, as [`check`] has said it.
#[inline]
pub(crate) fn while_watched(me: &'static G, target: Target, wait: impl FnOnce()) {
    with(|context| match context {
        None => super::root::ending().while_watched(me, target, wait),
        Some(context) => match context.ending() {
            None => wait(),
            Some(ending) => ending.while_watched(me, target, wait),
        },
    });
}

/// The same for a target that whoever ends the root kicks by itself (`sched::stop`), since a look at a lock for each wait would cost too much. The
/// root has been looked at before.
#[inline]
pub(crate) fn while_watched_but_by_root(me: &'static G, target: Target, wait: impl FnOnce()) {
    with(|context| match context.and_then(Context::ending).filter(|ending| !ending.is_root()) {
        None => wait(),
        Some(ending) => ending.while_watched(me, target, wait),
    });
}
