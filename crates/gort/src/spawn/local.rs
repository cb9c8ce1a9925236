//! Variables of a goroutine, in either mode.
//!
//! A thread-local word leads to the values that the current party has made so far. In migrating mode the word is the goroutine's like any other; in
//! bound mode it is among those that a goroutine takes along when it leaves its thread (`sched::words`). [`end`] drops the values at a goroutine's
//! end, and a destructor at a thread's. The values are in boxes in the order of their making; few parties have more than a handful, so that a look
//! is a short search by address.
//!
//! **Why handing out `&T` is sound.** A value is dropped by its own party only, after all calls of `with` of that party have ended: at its end.
//! A call of `with` that begins during that finds the value gone and makes a new one. An initialiser may do anything, park and use its own key
//! included: the value that is there first stays, and the later one is dropped before anybody has seen it.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::ptr;

/// The values of one party, and the addresses of their keys.
#[derive(Default)]
pub(crate) struct Values(Vec<(usize, Box<dyn Any>)>);

/// Drops the values when its thread ends.
struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        end();
    }
}

thread_local! {
    /// Without a destructor, so that it is there as long as the thread, and free for who has no values.
    static HERE: Cell<*mut Values> = const { Cell::new(ptr::null_mut()) };
    static AT_END: AtEnd = const { AtEnd };
}

/// A variable that each goroutine, and each thread, has for itself, as declared by [`goroutine_local!`](crate::goroutine_local).
pub struct GoroutineLocal<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> GoroutineLocal<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Lets `f` look at the caller's value, which is made first if there is none. `f` may park.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// gort::goroutine_local! {
    ///     static DEPTH: Cell<u32> = Cell::new(1);
    /// }
    /// DEPTH.with(|depth| depth.set(5));
    /// let other = gort::go(|| DEPTH.with(|depth| depth.get()));
    /// assert_eq!(other.join().unwrap(), 1);
    /// assert_eq!(DEPTH.with(|depth| depth.get()), 5);
    /// ```
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let value = self.find().unwrap_or_else(|| self.make());
        // SAFETY: the box lives until the party's end, whose own call this is (see the module).
        f(unsafe { &*value })
    }

    fn find(&'static self) -> Option<*const T> {
        let key = ptr::from_ref(self) as usize;
        // SAFETY: null or a box of this party's; nothing else looks at it during the search, which calls nobody.
        let values = unsafe { HERE.get().as_ref() }?;
        let (_, value) = values.0.iter().find(|(other, _)| *other == key)?;
        value.downcast_ref::<T>().map(ptr::from_ref)
    }

    #[cold]
    fn make(&'static self) -> *const T {
        let value = Box::new((self.init)());
        if let Some(first) = self.find() {
            return first;
        }
        let address = ptr::from_ref(&*value);
        if HERE.get().is_null() {
            HERE.set(Box::into_raw(Box::default()));
            // A thread that is so far in its end that this is over keeps the value for good.
            let _ = AT_END.try_with(|_| ());
        }
        // SAFETY: a box of this party's, at which nobody else looks meanwhile.
        unsafe { (*HERE.get()).0.push((ptr::from_ref(self) as usize, value)) };
        address
    }
}

impl<T: 'static> fmt::Debug for GoroutineLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoroutineLocal").finish_non_exhaustive()
    }
}

/// Exchanges the values of the party that leaves for those of the one that comes: see `sched::words`. Allocates and drops nothing.
#[inline]
pub(crate) fn replace(values: *mut Values) -> *mut Values {
    HERE.replace(values)
}

/// So often what destructors have made anew is dropped in turn.
const ROUNDS: usize = 4;

/// The calling party ends: drops its values, newest first, those included that are made meanwhile; but not for ever, if destructors use each other's
/// keys: what is there after some rounds is forgotten, as by threads.
pub(crate) fn end() {
    for _ in 0..ROUNDS {
        let Some(values) = ptr::NonNull::new(HERE.get()) else { return };
        // SAFETY: a box of this party's; nobody else looks at it meanwhile.
        let count = unsafe { values.as_ref() }.0.len();
        for _ in 0..count {
            // SAFETY: as above, and it stays: only this function ends it. The value is dropped after it has left the box, so that its destructor may look
            // for others.
            drop(unsafe { (*values.as_ptr()).0.pop() });
        }
        // SAFETY: as above.
        if unsafe { values.as_ref() }.0.is_empty() {
            break;
        }
    }
    let values = HERE.replace(ptr::null_mut());
    if !values.is_null() {
        // SAFETY: `make` has leaked it, and the word that led there is null now.
        unsafe { Box::from_raw(values) }.0.into_iter().for_each(|(_, value)| std::mem::forget(value));
    }
}

/// Declares variables of which each goroutine has its own, as [`std::thread_local!`] does for threads.
///
/// Where goroutines move between threads the two are the same but for syntax. In [bound mode](crate::runtime::Mode) goroutines that have begun on
/// one thread share its thread-locals, and these variables are what follows a goroutine there, too. On a plain thread, inside
/// [`host`](crate::host), and inside [`blocking_send`](crate::blocking_send) in bound mode they are the thread's.
///
/// The initial value is made when it is first asked for, and may park. Values are dropped when their goroutine ends, before anybody who joins it
/// goes on; the newest first. What their destructors make anew is dropped in turn, in four rounds at most; then it is forgotten. Those of [`go`](crate::go)'s children are their own, not inherited; a [context](crate::context) is.
///
/// # Examples
/// ```
/// use std::cell::RefCell;
/// gort::goroutine_local! {
///     /// What this goroutine has done.
///     static LOG: RefCell<Vec<&'static str>> = RefCell::new(Vec::new());
/// }
/// LOG.with(|log| log.borrow_mut().push("begun"));
/// gort::yield_now();
/// assert_eq!(LOG.with(|log| log.borrow().len()), 1);
/// ```
#[macro_export]
macro_rules! goroutine_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr);+ $(;)?) => {$(
        $(#[$attribute])*
        $visibility static $name: $crate::GoroutineLocal<$type> = $crate::GoroutineLocal::new(|| $init);
    )+};
}
