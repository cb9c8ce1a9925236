//! How deep stacks are used, for whoever chooses their size.

use crate::g::{Status, record::MEASURED, registry};
use crate::sched::start;
use crate::stack::depth;
use crate::stack::slab::Stack;
use std::fmt;
use std::panic::Location;

/// What the goroutines that are started at one place have used of their stacks, as far as measured; see [`stack_use`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackUse {
    /// Where they are started.
    pub site: &'static Location<'static>,
    /// The most bytes that one has used, in whole pages (of the page of its thread-locals, the part that is the stack's).
    pub used: usize,
    /// Address space of its stack, guard and thread-locals included. The largest, if they differ.
    pub size: usize,
    /// Goroutines that were measured.
    pub measured: u64,
}

impl fmt::Display for StackUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, used, size, measured } = self;
        write!(f, "{site}: {} of {} KiB ({measured} measured)", used.div_ceil(1024), size >> 10)
    }
}

impl From<depth::Use> for StackUse {
    fn from(depth::Use { site, measured, most, size }: depth::Use) -> Self {
        Self { site, used: most, size, measured }
    }
}

/// The deepest of those that have ended, without allocating.
pub(super) fn deepest<const N: usize>() -> [Option<StackUse>; N] {
    let mut deepest = [None; N];
    for one in depth::uses().map(StackUse::from) {
        let used = |place: &Option<StackUse>| place.map_or(0, |there| there.used);
        if let Some(at) = deepest.iter().position(|place| used(place) < one.used) {
            deepest[at..].rotate_right(1);
            deepest[at] = Some(one);
        }
    }
    deepest
}

/// How much of their stacks goroutines use, one entry for each place that starts some; the deepest first.
///
/// For choosing [`stack_size`](crate::Builder::stack_size). The first goroutine of each place is measured, and one in a thousand of all others, by the
/// pages that it has touched when it ends; those that still run are measured now. What runs in [`with_stack`](crate::with_stack) does not count.
/// Some 1000 places are remembered. Does not wait; some microseconds for each that still runs.
///
/// # Examples
/// ```
/// gort::go(|| {
///     let frame = [1_u8; 20_000];
///     std::hint::black_box(&frame);
/// })
/// .join()
/// .unwrap();
/// let deepest = gort::runtime::stack_use()[0];
/// assert!(deepest.used > 20_000, "{deepest}");
/// ```
#[must_use]
pub fn stack_use() -> Vec<StackUse> {
    start::ensure();
    let mut uses: Vec<_> = depth::uses().map(StackUse::from).collect();
    registry::for_each(|g| {
        let (site, tp, class) = (g.spawn_site(), g.tp.get(), g.stack_class());
        if !g.has(MEASURED) || tp == 0 || matches!(g.status(), Status::Ending | Status::Done) {
            return;
        }
        let (Some(site), Some(class)) = (site, class) else { return };
        let id = g.id();
        // SAFETY: a slot, whoever uses it now, is never released; only its page tables are asked.
        let stack = unsafe { Stack::from_parts(tp, class) };
        let used = depth::touched(stack);
        if g.tp.get() != tp || g.id() != id {
            // It has ended meanwhile, and has been counted.
            return;
        }
        match uses.iter_mut().find(|one| std::ptr::eq(one.site, site)) {
            Some(one) => {
                one.used = one.used.max(used);
                one.size = one.size.max(stack.size());
                one.measured += 1;
            }
            None => uses.push(StackUse { site, used, size: stack.size(), measured: 1 }),
        }
    });
    uses.sort_by_key(|one| std::cmp::Reverse(one.used));
    uses
}
