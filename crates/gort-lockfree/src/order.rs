//! The order in which a thief asks its victims: random, yet every one exactly once.
//!
//! A walk `pos, pos + stride, pos + 2 * stride, ...` modulo `count` visits everything exactly once if and only if
//! `stride` has no common divisor with `count`. Go keeps a list of all such strides for the present count. Here the
//! strides are primes above [`MAX_COUNT`]: such a prime divides no count in range, so it fits them all, and there is
//! nothing to rebuild when the number of Ps changes.
//!
//! Rejected: shuffling an array of victims (writes, and an array per thief); the next stride found by trial and gcd
//! (ten divisions on each search).
//! Source: Go `proc.go`, `randomOrder`.

#[cfg(all(test, not(gort_loom)))]
mod tests;

/// The largest count a [`RandomOrder`] is made for.
pub const MAX_COUNT: u32 = 1024;

/// Primes above [`MAX_COUNT`]. Modulo a small count they fall into every class that has no common divisor with it, so no
/// order is left out there.
const STRIDES: [u32; 32] = [
    1031, 1033, 1039, 1049, 1051, 1061, 1063, 1069, 1087, 1091, 1093, 1097, 1103, 1109, 1117, 1123, 1129, 1151, 1153,
    1163, 1171, 1181, 1187, 1193, 1201, 1213, 1217, 1223, 1229, 1231, 1237, 1249,
];

/// Random but complete orders of `0..count`.
#[derive(Clone, Copy, Debug)]
pub struct RandomOrder {
    count: u32,
}

impl RandomOrder {
    /// Orders of `0..count`.
    ///
    /// # Panics
    /// If `count` is above [`MAX_COUNT`].
    #[inline]
    pub const fn new(count: u32) -> Self {
        assert!(count <= MAX_COUNT, "RandomOrder::new: count is above 1024");
        Self { count }
    }

    /// How many indices an order visits.
    #[inline]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The order that `seed` picks.
    #[inline]
    pub const fn start(self, seed: u32) -> OrderIter {
        if self.count == 0 {
            return OrderIter { left: 0, pos: 0, stride: 0, count: 0 };
        }
        // The place comes from the low end of the seed and the stride from the rest, so that the two are independent.
        let stride = STRIDES[(seed / self.count) as usize % STRIDES.len()];
        OrderIter { left: self.count, pos: seed % self.count, stride: stride % self.count, count: self.count }
    }
}

/// One walk over all indices, from [`RandomOrder::start`].
#[derive(Clone, Debug)]
pub struct OrderIter {
    left: u32,
    pos: u32,
    /// Below `count`.
    stride: u32,
    count: u32,
}

impl Iterator for OrderIter {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let at = self.pos;
        let next = at + self.stride;
        self.pos = if next >= self.count { next - self.count } else { next };
        Some(at)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for OrderIter {}
