//! One party that waits for the first of several things, in several queues.
//!
//! # The walk
//! 1. It stands in one queue after the other, each time under that queue's lock, and looks there first: what can be had at once need not
//!    be waited for. If something can, it gives its claim up, leaves, and tries all of them again.
//! 2. It sleeps until its claim is finished, or it is late.
//! 3. It leaves all the queues in which it stood.
//!
//! # The argument
//! **One thing happens, and no other.** All its nodes have one claim (`claim`), and whoever serves one of them takes it first.
//!
//! **Nothing is missed.** What comes before it stands in a queue is seen by its look there, under the queue's lock; what comes after finds
//! its node. So of two such parties that could serve each other the one that comes second to the queue they share sees the first, and
//! does not sleep.
//!
//! **Nothing is lost.** Either the claim is given up, and nobody has handed anything over, or somebody has been faster; then what it got
//! counts, also if it had just seen that something else could be had.
//!
//! **No trace is left.** No lock is held over two queues, so a node may still be linked when the wait is over. It says nothing by then: its
//! claim is taken, so it is passed over; and it is out when the walk returns.
//!
//! Rejected: locking all queues at once (Go): two locks for each case and a sort.
//! Models: `select/model.rs`. Source: crossbeam-channel `select.rs`, `run_select`.

use crate::claim::{Claim, End, Party};
use crate::mutate::mutated;

#[cfg(test)]
mod model;

/// Waits once, in `count` queues: which case has ended the wait; `None` if the party should try all again, or is late.
///
/// `enlist` stands in a queue, the one at that place of the order, and returns true if what is waited for there can be had at once after
/// all; then it need not stand there. `delist` leaves it. `party` is asked for once all stand. None of them may unwind.
#[inline]
pub fn wait<P: Party>(
    claim: &Claim,
    count: usize,
    mut enlist: impl FnMut(usize) -> bool,
    party: impl FnOnce() -> P,
    mut delist: impl FnMut(usize),
) -> Option<End> {
    let mut enlisted = 0;
    let mut can_go_on = false;
    while enlisted < count && !can_go_on && !claim.is_taken() {
        can_go_on = enlist(enlisted) && !mutated!("select_sleeps_beside_it");
        enlisted += 1;
    }
    let end = if can_go_on && (claim.give_up() || mutated!("select_drops_what_it_got")) {
        None
    } else {
        claim.wait(&party())
    };
    for place in 0..enlisted {
        if mutated!("select_leaves_a_node") && end.is_some_and(|end| end.case != place as u32) {
            continue;
        }
        delist(place);
    }
    end
}
