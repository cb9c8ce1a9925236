//! What remains after a shutdown, as a value.

use crate::dump;
use crate::g::record::{BOUND, LOCKED};
use crate::g::{G, Status, registry};
use crate::spawn::GoroutineId;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What [`shutdown`](crate::runtime::shutdown) has left: goroutines that had not ended at the deadline, and the threads that they keep.
///
/// A picture of that moment, which can be kept. `Display` prints it as a dump.
///
/// # Examples
/// ```
/// use std::time::Instant;
/// let parked = gort::Builder::new().name("waiter".into()).spawn(gort::park)?;
/// let left = gort::runtime::shutdown(Instant::now());
/// assert_eq!(left.goroutines()[0].name(), Some("waiter"));
/// assert!(left.to_string().starts_with("left: 1 goroutine, 0 threads"));
/// # drop(parked);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "what is left may be worth a line in a log"]
pub struct Left {
    goroutines: Arc<[LeftGoroutine]>,
    threads: usize,
}

impl Left {
    /// Every goroutine that has not ended, but those in `exempt`.
    pub(super) fn take(exempt: &[(&'static G, u64)]) -> Self {
        let mut goroutines = Vec::new();
        let mut threads = Vec::new();
        let now_ms = dump::now_ms();
        registry::for_each(|g| {
            if !is_other(g, exempt) {
                return;
            }
            // Read twice: it may end between the two looks, and then it is none of those left.
            let Some(left) = LeftGoroutine::of(g, now_ms) else { return };
            let is_on_thread = matches!(g.status(), Status::Running | Status::Blocking | Status::Ending);
            if is_on_thread || g.has(LOCKED | BOUND) {
                // Relaxed: a picture.
                threads.push(g.m.load(Relaxed));
            }
            goroutines.push(left);
        });
        threads.sort_unstable();
        // Bound goroutines share theirs.
        threads.dedup();
        Self { goroutines: goroutines.into(), threads: threads.len() }
    }

    /// The same with more threads.
    pub(super) fn and_threads(mut self, more: usize) -> Self {
        self.threads += more;
        self
    }

    /// True if everything has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.goroutines.is_empty() && self.threads == 0
    }

    /// The goroutines that had not ended, in no order.
    #[must_use]
    pub fn goroutines(&self) -> &[LeftGoroutine] {
        &self.goroutines
    }

    /// How many threads of the runtime could not be ended: their goroutines were in a call, in a loop, or have
    /// locked them; in bound mode, had begun on them. Nobody waits for them.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }
}

/// True if `g` is a goroutine that has not ended and is none of `exempt`.
pub(super) fn is_other(g: &'static G, exempt: &[(&'static G, u64)]) -> bool {
    !g.is_thread()
        && !matches!(g.status(), Status::Free | Status::Dormant | Status::Done)
        && !exempt.iter().any(|&(other, id)| std::ptr::eq(g, other) && g.id() == id)
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("left: nothing");
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (goroutines, threads) = (self.goroutines.len(), self.threads);
        write!(f, "left: {goroutines} goroutine{}, {threads} thread{}", plural(goroutines), plural(threads))?;
        for goroutine in self.goroutines() {
            write!(f, "\n\n{goroutine}")?;
        }
        Ok(())
    }
}

/// A goroutine that had not ended; see [`Left`].
#[derive(Clone, Debug)]
pub struct LeftGoroutine {
    id: GoroutineId,
    name: Option<Arc<str>>,
    state: String,
    wait_site: Option<&'static Location<'static>>,
    spawn_site: Option<&'static Location<'static>>,
}

impl LeftGoroutine {
    pub(super) fn of(g: &'static G, now_ms: u64) -> Option<Self> {
        let state = dump::state_of(g, now_ms)?;
        let name = registry::with_extra(g, |extra| extra.and_then(|extra| extra.name.clone()));
        let wait_site = if g.status() == Status::Waiting { g.call_site() } else { None };
        Some(Self { id: GoroutineId::new(g.id()), name, state, wait_site, spawn_site: g.spawn_site() })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> GoroutineId {
        self.id
    }

    /// The name given to its [`Builder`](crate::Builder::name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it did, in the words of a dump: `runnable`, `running`, `syscall` (in [`blocking`](crate::blocking)), or what it waited for and for how
    /// long, as in `chan receive, 120 ms`.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Where it waited, if it did.
    #[must_use]
    pub fn wait_site(&self) -> Option<&'static Location<'static>> {
        self.wait_site
    }

    /// Where it was started.
    #[must_use]
    pub fn spawn_site(&self) -> Option<&'static Location<'static>> {
        self.spawn_site
    }
}

/// Its entry in a dump.
impl fmt::Display for LeftGoroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dump::write_entry(f, "goroutine", self.id.as_u64(), self.name(), &self.state, self.wait_site, self.spawn_site)
    }
}
