//! In which order the arms of a `select!` have their chance.

use crate::g::G;
use crate::prim::rng::Rng;
use crate::sched;
use std::cell::Cell;

/// An order. Up to [`FEW`] it allocates nothing.
pub(super) struct Order {
    few: [u16; FEW],
    many: Vec<u16>,
    len: usize,
}

const FEW: usize = 16;

impl Order {
    pub(super) fn new(len: usize, biased: bool, me: &'static G) -> Self {
        assert!(len <= usize::from(u16::MAX), "select: more than {} operations", u16::MAX);
        let mut this = Self { few: [0; FEW], many: Vec::new(), len };
        if len > FEW {
            this.many = vec![0; len];
        }
        let slice = if len > FEW { &mut this.many[..] } else { &mut this.few[..len] };
        for (at, place) in slice.iter_mut().enumerate() {
            *place = at as u16;
        }
        if !biased && len > 1 {
            shuffle(slice, me);
        }
        this
    }

    pub(super) fn as_slice(&self) -> &[u16] {
        if self.len > FEW { &self.many } else { &self.few[..self.len] }
    }
}

/// Fisher and Yates: every order is as likely.
fn shuffle(slice: &mut [u16], me: &'static G) {
    thread_local! {
        static RNG: Cell<Option<Rng>> = const { Cell::new(None) };
    }
    let mut rng = RNG.take().unwrap_or_else(|| Rng::stream(sched::seed(), me.id()));
    for at in (1..slice.len()).rev() {
        slice.swap(at, rng.below(at as u32 + 1) as usize);
    }
    RNG.set(Some(rng));
}
