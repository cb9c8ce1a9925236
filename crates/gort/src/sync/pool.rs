//! A pool of things that are dear to make: caches under locks of their own, one for each few Ms.
//!
//! A party starts with the cache that belongs to the thread it runs on, which others seldom touch; one that finds it empty looks at the others
//! before it makes a new thing. A cache that is full drops what is put.
//!
//! The choice of a cache is a hint: a goroutine that moves in between uses another one, under its lock. Nothing of the user's runs under it.

use crate::prim::lock::Lock;
use crate::spawn;
use gort_lockfree::cache_line::CacheLine;
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

/// Caches of a pool.
const CACHES: usize = 8;
/// Things in one cache.
const FULL: usize = 64;

/// Things to be used again, as Go's `sync.Pool`: whatever is put may be got by anybody, or be dropped.
///
/// # Examples
/// ```
/// static BUFFERS: gort::sync::Pool<Vec<u8>> = gort::sync::Pool::new(Vec::new);
///
/// let mut buffer = BUFFERS.get();
/// buffer.extend_from_slice(b"hello");
/// buffer.clear();
/// BUFFERS.put(buffer);
/// ```
pub struct Pool<T, F = fn() -> T> {
    caches: [CacheLine<Lock<Vec<T>>>; CACHES],
    make: F,
}

impl<T, F: Fn() -> T> Pool<T, F> {
    /// An empty pool. `make` makes what is got and not there.
    ///
    /// # Examples
    /// See [`Pool`].
    pub const fn new(make: F) -> Self {
        Self { caches: [const { CacheLine(Lock::new(Vec::new())) }; CACHES], make }
    }

    /// Something that was put, or a new one. It belongs to the caller alone. Never waits.
    ///
    /// # Panics
    /// If making one does.
    ///
    /// # Examples
    /// See [`Pool`].
    pub fn get(&self) -> T {
        let first = here();
        let found = (0..CACHES).find_map(|step| self.caches[(first + step) % CACHES].lock().pop());
        found.unwrap_or_else(&self.make)
    }
}

impl<T, F> Pool<T, F> {
    /// Puts something back for others to get. If there are plenty it is dropped.
    ///
    /// # Examples
    /// See [`Pool`].
    pub fn put(&self, value: T) {
        let mut cache = self.caches[here()].lock();
        if cache.len() < FULL {
            return cache.push(value);
        }
        // The value's drop is the user's.
        drop(cache);
        drop(value);
    }

    /// Drops all that is in the pool now.
    ///
    /// # Examples
    /// ```
    /// let pool = gort::sync::Pool::new(|| 1);
    /// pool.put(2);
    /// pool.clear();
    /// assert_eq!(pool.get(), 1);
    /// ```
    pub fn clear(&self) {
        for cache in &self.caches {
            let values = std::mem::take(&mut *cache.lock());
            drop(values);
        }
    }
}

/// The cache of the thread that the caller runs on now.
fn here() -> usize {
    let Some(g) = spawn::me() else { return 0 };
    // Relaxed: the word of the running goroutine itself; a hint.
    let m = g.m.load(Relaxed) as usize;
    // The records of Ms lie apart by a fixed distance: mixed, so that they fall apart here.
    (m.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - CACHES.trailing_zeros())) % CACHES
}

impl<T, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
