//! Blocking classes: sections for one kind of external call, so many at a time.
//!
//! A class is permits in a queue (`sync::gate`), and figures. A call waits for its permit outside of the section, parked, and gives it back when
//! the section has ended, also by a panic. There is one record for each name, made on first use and never freed; a [`BlockingClass`] is a name
//! and a limit, and finds the record once.

use super::{blocking_at, detached, send_at};
use crate::context::{self, Bound, Context, Ended};
use crate::g::WaitReason;
use crate::sched::{self, names};
use crate::sync::Mutex;
use crate::sync::gate::Gate;
use crate::sys::clock;
use crate::wait::Caller;
use gort_lockfree::permits::{Permits, Want};
use std::fmt;
use std::io;
use std::panic::Location;
use std::ptr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64};
use std::time::{Duration, Instant};

/// What there is once for each name.
struct Class {
    name: &'static str,
    limit: usize,
    /// Where that was said first.
    site: &'static Location<'static>,
    gate: Gate,
    // Figures: relaxed, all of them.
    entered: AtomicU64,
    waiting: AtomicU64,
    refused: AtomicU64,
    waited_ns: AtomicU64,
    longest_wait_ns: AtomicU64,
}

/// Every class, in the order in which they were made.
static CLASSES: Mutex<Vec<&'static Class>> = Mutex::new(Vec::new());

const ONE: Want = Want::Some(1);

/// External calls of one kind, of which so many run at a time: calls of a database, of a C library, of a program.
///
/// A call in a class is a [`blocking`](crate::blocking) section that waits for one of the class's permits first, parked, strictly in order of
/// arrival. So a slow database holds as many threads as it has connections, and not one for each request.
///
/// Best kept in a static; a name means the same class wherever it is written. [`blocking_class`](crate::blocking_class) is for classes whose limit is
/// known later. Classes are never freed, so their names belong to the program's text, not to its data.
///
/// What can end, by a time or a context, is the wait for a permit; `f` is then dropped and never called. A call that has begun lasts as long as it
/// lasts, and keeps its permit, since it keeps whatever the permit stands for: nobody can end a call that is in the kernel or in a C library. Who
/// must not wait for it uses [`run_detached`](Self::run_detached).
///
/// A call of a class within a call of the same class takes a second permit, and with none left waits for ever.
///
/// On a plain thread `f` just runs, once there is a permit. In [bound mode](crate::runtime::Mode) it blocks its thread, as in
/// [`blocking`](crate::blocking).
///
/// # Examples
/// ```
/// use gort::BlockingClass;
///
/// static FILES: BlockingClass = BlockingClass::new("files", 4);
///
/// gort::scope(|s| {
///     for _ in 0..10 {
///         s.spawn(|| FILES.run(|| std::fs::read_to_string("Cargo.toml")).unwrap());
///     }
/// });
/// assert_eq!(FILES.metrics().entered, 10);
/// ```
pub struct BlockingClass {
    name: &'static str,
    limit: usize,
    site: &'static Location<'static>,
    /// Null until the first use.
    class: AtomicPtr<Class>,
}

/// What a [`BlockingClass`] does and has done, as [`BlockingClass::metrics`] and [`runtime::blocking_classes`](crate::runtime::blocking_classes)
/// say it. Each number is true for the moment at which it was read; they are not read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockingClassMetrics {
    /// The class.
    pub name: &'static str,
    /// How many of its calls may run at a time.
    pub limit: usize,
    /// How many do, or are about to.
    pub running: usize,
    /// How many wait for a permit.
    pub waiting: usize,
    /// How many have got one, ever.
    pub entered: u64,
    /// How many have gone without: there was none at once, or it did not come in time.
    pub refused: u64,
    /// How long all have waited, together. Waits that are not over are not in it.
    pub waited: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

/// The class `name`, of which `limit` calls run at a time. Made on first use; later calls with this name find it.
///
/// # Panics
/// As [`BlockingClass::new`]; and if there is a class of this name with another limit: one of the two would not be kept.
///
/// # Examples
/// ```
/// let limit = std::thread::available_parallelism()?.get();
/// let resize = gort::blocking_class("resize", limit);
/// assert_eq!(resize.run(|| 6 * 7), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn blocking_class(name: &'static str, limit: usize) -> BlockingClass {
    let class = BlockingClass::new(name, limit);
    class.get();
    class
}

impl BlockingClass {
    /// The class `name`, of which `limit` calls run at a time. Made on first use. The same name with another limit is a panic of whoever uses the
    /// second one first.
    ///
    /// # Panics
    /// If `limit` is 0, when nothing could ever run, or more than [`Semaphore::MAX_PERMITS`](crate::sync::Semaphore::MAX_PERMITS). In a static that is
    /// an error of the compiler's.
    ///
    /// # Examples
    /// ```
    /// static POSTGRES: gort::BlockingClass = gort::BlockingClass::new("postgres", 32);
    /// assert_eq!(POSTGRES.limit(), 32);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str, limit: usize) -> Self {
        assert!(limit > 0, "BlockingClass::new: with a limit of 0 nothing could ever run");
        assert!(limit <= Permits::MAX as usize, "BlockingClass::new: the limit is too high");
        Self { name, limit, site: Location::caller(), class: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many calls run at a time.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What it does and has done.
    ///
    /// # Panics
    /// If the class exists with another limit.
    ///
    /// # Examples
    /// ```
    /// let class = gort::blocking_class("metrics", 2);
    /// assert_eq!(class.run(|| class.metrics().running), 1);
    /// ```
    #[must_use]
    pub fn metrics(&self) -> BlockingClassMetrics {
        self.get().metrics()
    }

    /// Runs `f` in the class, waiting as long as it takes.
    ///
    /// # Panics
    /// If `f` does: the permit is given back. If the class exists with another limit.
    ///
    /// # Examples
    /// See [`BlockingClass`].
    #[track_caller]
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let permit = self.permit(Bound::NONE).expect("nothing ends the wait");
        permit.run(Location::caller(), f)
    }

    /// Runs `f` in the class if there is a permit at once and nobody waits for one. Never waits for one.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// let class = gort::blocking_class("one", 1);
    /// assert_eq!(class.try_run(|| class.try_run(|| ())), Some(None));
    /// ```
    #[track_caller]
    pub fn try_run<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let class = self.get();
        match class.gate.take(ONE) {
            true => Some(class.entered().run(Location::caller(), f)),
            false => {
                class.refused.fetch_add(1, Relaxed);
                // Who tries again and again gives way in the end.
                if let Some(g) = crate::spawn::me() {
                    sched::begin_call(g);
                }
                None
            }
        }
    }

    /// Runs `f` in the class if a permit comes within `timeout`. `None`: it did not, and `f` was not called.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let class = gort::blocking_class("some", 1);
    /// let inner = class.run(|| class.run_timeout(Duration::from_millis(1), || ()));
    /// assert_eq!(inner, None);
    /// ```
    #[track_caller]
    pub fn run_timeout<R>(&self, timeout: Duration, f: impl FnOnce() -> R) -> Option<R> {
        Some(self.permit(Bound::timeout(timeout))?.run(Location::caller(), f))
    }

    /// Runs `f` in the class if a permit comes before `deadline`. As [`run_timeout`](Self::run_timeout).
    ///
    /// # Panics
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// let class = gort::blocking_class("soon", 1);
    /// assert_eq!(class.run_deadline(std::time::Instant::now(), || 7), Some(7)); // there is one at once
    /// ```
    #[track_caller]
    pub fn run_deadline<R>(&self, deadline: Instant, f: impl FnOnce() -> R) -> Option<R> {
        Some(self.permit(Bound::deadline(deadline))?.run(Location::caller(), f))
    }

    /// Runs `f` in the class if a permit comes before `ctx` ends. Once `f` has begun it is waited for, whatever the context; see
    /// [`run_detached`](Self::run_detached).
    ///
    /// # Errors
    /// The context has ended first; `f` was not called.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// let class = gort::blocking_class("with context", 1);
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// assert_eq!(class.run_ctx(&ctx, || 7).unwrap(), 7);
    /// cancel.cancel();
    /// assert!(class.run_ctx(&ctx, || 7).unwrap_err().is_cancelled());
    /// ```
    #[track_caller]
    pub fn run_ctx<R>(&self, ctx: &Context, f: impl FnOnce() -> R) -> Result<R, Ended> {
        Ok(self.permit_ctx(ctx)?.run(Location::caller(), f))
    }

    /// As [`run_ctx`](Self::run_ctx) with the ambient [context](crate::context), for an `f` that does input or output.
    ///
    /// # Errors
    /// Those of `f`; and if the ambient context has ended before there was a permit, its [error](Context::run).
    ///
    /// # Panics
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// static FILES: gort::BlockingClass = gort::BlockingClass::new("small files", 4);
    ///
    /// let (ctx, _) = gort::context::background().with_timeout(Duration::from_secs(5));
    /// let text = ctx.run(|| FILES.run_io(|| std::fs::read_to_string("Cargo.toml")))?;
    /// # drop(text);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run_io<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.permit_ctx(&context::current())?.run(Location::caller(), f)
    }

    /// Runs `f` in the class on a goroutine of its own, and waits for it until `ctx` ends at most. As [`blocking_ctx`](crate::blocking_ctx): an `f` that
    /// has begun goes on to its own end, with its permit, and what it returns is dropped there.
    ///
    /// # Errors
    /// The context has ended first. A result that is there wins over a context that has ended.
    ///
    /// # Panics
    /// As [`run`](Self::run), and as [`blocking_ctx`](crate::blocking_ctx).
    ///
    /// # Examples
    /// ```
    /// static LEGACY: gort::BlockingClass = gort::BlockingClass::new("legacy", 2);
    ///
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let (go_on, signal) = std::sync::mpsc::channel::<()>();
    /// let slow = move || {
    ///     cancel.cancel();
    ///     signal.recv()
    /// };
    /// assert!(LEGACY.run_detached(&ctx, slow).unwrap_err().is_cancelled());
    /// assert_eq!(LEGACY.metrics().running, 1); // it still is
    /// drop(go_on);
    /// ```
    #[track_caller]
    pub fn run_detached<F, R>(&self, ctx: &Context, f: F) -> Result<R, Ended>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let permit = self.permit_ctx(ctx)?;
        let site = Location::caller();
        detached(ctx, move || permit.run_send(site, f))
    }

    #[track_caller]
    fn permit(&self, bound: Bound<'_>) -> Option<Permit> {
        let class = self.get();
        (class.gate.take(ONE) || class.wait(bound, Caller::begin())).then(|| class.entered())
    }

    #[track_caller]
    fn permit_ctx(&self, ctx: &Context) -> Result<Permit, Ended> {
        if let Some(why) = ctx.err() {
            self.get().refused.fetch_add(1, Relaxed);
            return Err(why);
        }
        self.permit(Bound::ctx(ctx)).ok_or_else(|| ctx.ended())
    }

    #[inline]
    fn get(&self) -> &'static Class {
        // Acquire: pairs with the Release in `find`.
        // SAFETY: null, or a class, and classes are never freed.
        match unsafe { self.class.load(Acquire).as_ref() } {
            Some(class) => class,
            None => self.find(),
        }
    }

    #[cold]
    fn find(&self) -> &'static Class {
        let class = Class::of(self);
        if class.limit != self.limit {
            panic!(
                "the blocking class {:?} has a limit of {} ({}) and cannot have one of {} as well ({})",
                class.name, class.limit, class.site, self.limit, self.site
            );
        }
        // Release: publishes the class to `get`.
        self.class.store(ptr::from_ref(class).cast_mut(), Release);
        class
    }
}

impl Class {
    /// The class that `wanted` names; made if there is none.
    fn of(wanted: &BlockingClass) -> &'static Self {
        let mut classes = CLASSES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(class) = classes.iter().find(|class| class.name == wanted.name) {
            return class;
        }
        let class: &'static Self = Box::leak(Box::new(Self {
            name: wanted.name,
            limit: wanted.limit,
            site: wanted.site,
            gate: Gate::new(wanted.limit as u32),
            entered: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            longest_wait_ns: AtomicU64::new(0),
        }));
        names::give(class.object(), class.name);
        classes.push(class);
        class
    }

    /// What a goroutine notes that waits for a permit, or has one.
    fn object(&self) -> usize {
        self.gate.holder.address()
    }

    /// The caller has taken a permit.
    fn entered(&'static self) -> Permit {
        self.entered.fetch_add(1, Relaxed);
        Permit(self)
    }

    /// Waits for a permit; false: it did not come in time.
    #[cold]
    fn wait(&self, bound: Bound<'_>, caller: Caller) -> bool {
        self.waiting.fetch_add(1, Relaxed);
        let begun_ns = clock::now_ns();
        let is_taken = self.gate.wait(ONE, bound, WaitReason::BlockingClass, caller);
        let waited_ns = clock::now_ns() - begun_ns;
        self.waiting.fetch_sub(1, Relaxed);
        self.waited_ns.fetch_add(waited_ns, Relaxed);
        self.longest_wait_ns.fetch_max(waited_ns, Relaxed);
        if !is_taken {
            self.refused.fetch_add(1, Relaxed);
        }
        is_taken
    }

    fn metrics(&self) -> BlockingClassMetrics {
        BlockingClassMetrics {
            name: self.name,
            limit: self.limit,
            running: self.limit.saturating_sub(self.gate.free() as usize),
            waiting: self.waiting.load(Relaxed) as usize,
            entered: self.entered.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(Relaxed)),
            longest_wait: Duration::from_nanos(self.longest_wait_ns.load(Relaxed)),
        }
    }
}

/// Every class there is, in the order in which they were used first.
pub(crate) fn all() -> Vec<BlockingClassMetrics> {
    let classes = CLASSES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    classes.iter().map(|class| class.metrics()).collect()
}

/// One call's place in a class; given back when dropped.
struct Permit(&'static Class);

impl Permit {
    fn run<R>(self, site: &'static Location<'static>, f: impl FnOnce() -> R) -> R {
        // The section ends before the permit does.
        blocking_at(self.0.object(), site, f)
    }

    fn run_send<F, R>(self, site: &'static Location<'static>, f: F) -> R
    where
        F: FnOnce() -> R + Send,
        R: Send,
    {
        send_at(self.0.object(), site, f)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.gate.give(1);
    }
}

impl fmt::Debug for BlockingClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingClass").field("name", &self.name).field("limit", &self.limit).finish_non_exhaustive()
    }
}
