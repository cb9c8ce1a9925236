//! From a closure to a queued record, and from a record to a result.
//!
//! Closure and result live in the record's body if they fit into 64 bytes with an alignment of 8, else in a box there.

use super::Started;
use super::{join, report};
use crate::context::{Context, ambient};
use crate::g::record::{ABORT_ON_PANIC, BODY_BYTES, PANICKED};
use crate::g::{Extra, Finish, G, Status, registry};
use crate::sched::{self, SCHED, enter, global, perturb, stackless, start};
use crate::timer::Dormant;
use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a spawn may ask for besides the closure.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) name: Option<Arc<str>>,
    pub(super) stack_class: Option<u8>,
    pub(super) abort_on_panic: Option<bool>,
    /// Address of the scope that waits, 0 without one.
    pub(super) scope: usize,
    /// The goroutine's ambient context, instead of the spawning one's.
    pub(super) context: Option<Context>,
}

/// Queues a goroutine for `f`.
///
/// # Safety
/// The goroutine must end, and its result be taken or dropped, before anything that `f` or `T` borrows ends.
///
/// # Errors
/// No memory for a stack, or the runtime is being shut down.
#[inline]
pub(super) unsafe fn spawn<F, T>(
    mut attributes: Attributes,
    f: F,
    site: &'static Location<'static>,
) -> io::Result<Started>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    start::admit()?;
    if attributes.context.is_none() {
        attributes.context = ambient::inherited();
    }
    if attributes.stack_class.is_some() {
        // SAFETY: passed on.
        return unsafe { spawn_sized(attributes, f, site) };
    }
    if stackless::is_exhausted() {
        return Err(stackless::refusal());
    }
    let name = attributes.name.clone();
    let me = sched::current().filter(|me| !me.is_thread());
    let Some(me) = me else {
        let g = take_record_outside();
        // SAFETY: passed on.
        unsafe { fill(g, registry::take_ids(1), attributes, f, site) };
        if let Err(why) = global::push_new(g) {
            // SAFETY: `fill` put an `F` there, and nobody else knows the record.
            unsafe { unmake::<F>(g) };
            return Err(why.into());
        }
        sched::wake_for_work();
        return Ok((g, name));
    };
    if perturb::is_on() {
        perturb::maybe_yield(me);
    }
    let inside = enter(me);
    // SAFETY: inside, so the P is ours; we are on a goroutine, so allocating is fine.
    unsafe {
        let g = inside.p.take_record();
        fill(g, inside.p.take_id(), attributes, f, site);
        inside.p.counters.spawned.add(1);
        inside.p.put_next(g);
        // In a burst not every spawn looks whether somebody should be woken: the look is a full fence. Sysmon sees to what falls between.
        let queued = inside.p.queue.ring_len();
        if queued < 4 || queued.is_multiple_of(32) {
            sched::wake_for_work();
        }
        inside.leave();
        Ok((g, name))
    }
}

/// [`spawn`] with a stack of a size of its own, which the goroutine gets at once: see [`stackless`].
///
/// # Safety
/// As [`spawn`].
///
/// # Errors
/// No memory for that stack, or the runtime is being shut down.
#[cold]
unsafe fn spawn_sized<F, T>(attributes: Attributes, f: F, site: &'static Location<'static>) -> io::Result<Started>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let name = attributes.name.clone();
    let g = take_record_outside();
    // SAFETY: passed on.
    unsafe { fill(g, registry::take_ids(1), attributes, f, site) };
    if let Err(error) = stackless::bind_now(g) {
        // SAFETY: `fill` put an `F` there, and nobody else knows the record.
        unsafe { unmake::<F>(g) };
        return Err(error);
    }
    if sched::current().is_some_and(|me| !me.is_thread()) {
        // Relaxed: the caller is counted as long as this matters (`sched::stop`).
        SCHED.spawned_outside.fetch_add(1, Relaxed);
        SCHED.created_outside.fetch_add(1, Relaxed);
        sched::ready(g);
    } else if let Err(why) = global::push_new(g) {
        stackless::unbind(g);
        // SAFETY: as above.
        unsafe { unmake::<F>(g) };
        return Err(why.into());
    }
    sched::wake_for_work();
    Ok((g, name))
}

/// Undoes a [`fill`]: the goroutine is not started after all.
///
/// # Safety
/// The body holds an `F`, and nobody else knows the record.
#[cold]
unsafe fn unmake<F>(g: &'static G) {
    // SAFETY: the caller says so.
    let f = unsafe { take::<F>(g.body()) };
    let context = take_context(g);
    if g.extra().is_some() {
        registry::drop_extra(g);
    }
    recycle(g);
    // User code, so after everything else.
    drop((f, context));
}

/// A goroutine for `f` that somebody will ready later, or never. It counts as spawned from its first run on; nobody can join it.
#[inline]
pub(crate) fn dormant<F>(f: F, site: &'static Location<'static>) -> Dormant
where
    F: FnOnce() + Send + 'static,
{
    unsafe fn discard<F>(g: &'static G) {
        // SAFETY: the record is the caller's and has not run, so the body holds the closure.
        let f = unsafe { take::<F>(g.body()) };
        recycle(g);
        // User code, so after everything else.
        drop(f);
    }
    fn prepare<F>(g: &'static G, id: u64, f: F, site: &'static Location<'static>) -> Dormant
    where
        F: FnOnce() + Send + 'static,
    {
        // SAFETY: closure and result are 'static.
        unsafe { fill(g, id, Attributes::default(), f, site) };
        g.set_status(Status::Dormant);
        join::let_go(g);
        Dormant::new(g, discard::<F>)
    }
    start::ensure();
    let counted = move || {
        // Relaxed: statistics.
        SCHED.spawned_outside.fetch_add(1, Relaxed);
        SCHED.created_outside.fetch_add(1, Relaxed);
        f();
    };
    let Some(me) = sched::current().filter(|me| !me.is_thread()) else {
        return prepare(take_record_outside(), registry::take_ids(1), counted, site);
    };
    let inside = enter(me);
    // SAFETY: inside, so the P is ours.
    let (g, id) = unsafe { (inside.p.take_record(), inside.p.take_id()) };
    inside.leave();
    prepare(g, id, counted, site)
}

fn take_record_outside() -> &'static G {
    let mut list = Vec::with_capacity(1);
    registry::take_free(&mut list, 1, global::reserve);
    list.pop().expect("take_free gives one at least")
}

/// # Safety
/// As [`spawn`]; `g` is a free record that is the caller's.
#[inline]
unsafe fn fill<F, T>(g: &'static G, id: u64, attributes: Attributes, f: F, site: &'static Location<'static>)
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: the body is the caller's.
    unsafe { put(g.body(), f) };
    let abort = attributes.abort_on_panic.unwrap_or_else(|| SCHED.abort_on_panic.load(Relaxed));
    let flags = if abort { ABORT_ON_PANIC } else { 0 };
    let class = attributes.stack_class;
    if attributes.name.is_some() || attributes.scope != 0 || attributes.context.is_some() {
        // A pointer in a number: records lie below contexts.
        let context = attributes.context.map_or(0, |context| Box::into_raw(Box::new(context)) as usize);
        g.set_extra(Box::new(Extra { name: attributes.name, scope: attributes.scope, context: Cell::new(context) }));
    }
    g.start(id, site, flags, class, run::<F, T>);
}

/// The context that the goroutine was given. The caller is the goroutine, or the only one to know the record.
fn take_context(g: &'static G) -> Option<Box<Context>> {
    let context = g.extra()?.context.take();
    // SAFETY: `fill` has put the box there, and it is taken out once.
    (context != 0).then(|| unsafe { Box::from_raw(context as *mut Context) })
}

/// True if a `V` lives in the body itself.
const fn fits<V>() -> bool {
    size_of::<V>() <= BODY_BYTES && align_of::<V>() <= 8
}

/// # Safety
/// `body` is the body of a record that is the caller's and holds nothing.
unsafe fn put<V>(body: *mut u8, value: V) {
    if fits::<V>() {
        // SAFETY: it fits, and the body is aligned to 64.
        unsafe { body.cast::<V>().write(value) }
    } else {
        // SAFETY: a box fits.
        unsafe { body.cast::<Box<V>>().write(Box::new(value)) }
    }
}

/// # Safety
/// `body` holds a `V` put there by [`put`], which is now the caller's.
pub(super) unsafe fn take<V>(body: *mut u8) -> V {
    if fits::<V>() {
        // SAFETY: the caller says so.
        unsafe { body.cast::<V>().read() }
    } else {
        // SAFETY: the caller says so.
        *unsafe { body.cast::<Box<V>>().read() }
    }
}

/// The entry of a goroutine for `F`: see [`crate::g::record::Entry`].
///
/// # Safety
/// The body holds an `F`, and this runs on `g`.
unsafe fn run<F, T>(g: &'static G) -> Finish
where
    F: FnOnce() -> T,
{
    // SAFETY: `fill` put it there.
    let f = unsafe { take::<F>(g.body()) };
    let f = || {
        let context = take_context(g);
        let _here = context.as_deref().map(ambient::enter);
        f()
    };
    match catch_unwind(AssertUnwindSafe(f)) {
        // SAFETY: the closure has left the body.
        Ok(value) => unsafe { put(g.body(), value) },
        Err(payload) => {
            g.put(PANICKED, true);
            report::unwound(g, &*payload);
            // SAFETY: as above.
            unsafe { put::<Box<dyn Any + Send>>(g.body(), payload) };
        }
    }
    finish::<T>
}

/// Before the thread-local destructors, as at the end of a std thread: whose the result is. A handle that goes from here on drops it itself.
///
/// # Safety
/// The body holds the outcome of `run`, and this runs on `g`.
unsafe fn finish<T>(g: &'static G) {
    if join::begin_end(g) {
        let scope = g.extra().map_or(0, |extra| extra.scope);
        if scope != 0 && g.has(PANICKED) {
            // SAFETY: the scope lives until this goroutine has ended.
            unsafe { super::scope::note_panic(scope) };
        }
        // Nobody will ask for the result.
        // SAFETY: it is ours, since the handle is gone.
        unsafe { drop_outcome::<T>(g) };
    }
}

/// # Safety
/// The body holds the outcome of `run::<_, T>`, which is now the caller's.
pub(super) unsafe fn take_outcome<T>(g: &'static G) -> std::thread::Result<T> {
    if g.has(PANICKED) {
        // SAFETY: the flag says what is there.
        Err(unsafe { take::<Box<dyn Any + Send>>(g.body()) })
    } else {
        // SAFETY: as above.
        Ok(unsafe { take::<T>(g.body()) })
    }
}

/// Drops an outcome. A panic in its destructor ends the process, as with std's threads.
///
/// # Safety
/// As [`take_outcome`].
pub(super) unsafe fn drop_outcome<T>(g: &'static G) {
    let outcome = AssertUnwindSafe(|| {
        // SAFETY: passed on.
        drop(unsafe { take_outcome::<T>(g) });
    });
    if catch_unwind(outcome).is_err() {
        report::result_panicked(g);
    }
}

/// Gives the record of a goroutine that has ended, and whose result is gone, to the next one.
pub(super) fn recycle(g: &'static G) {
    g.set_status(Status::Free);
    match sched::current().filter(|me| !me.is_thread()) {
        Some(me) => {
            let inside = enter(me);
            // SAFETY: inside, so the P is ours.
            unsafe { inside.p.give_record(g) };
            inside.leave();
        }
        None => {
            registry::give_free(&[g]);
        }
    }
}
