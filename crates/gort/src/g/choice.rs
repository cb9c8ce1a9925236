//! Of what a `select!` waits for, what somebody else would want to know: from which channels something could come.
//!
//! Written into the frame of the one that waits, with addresses that it has at hand, and read only when it has waited for long, as a
//! [`Holder`](super::Holder) is. The addresses stand there as their complements, so that a search for who refers to a channel does not find them.

use crate::sys::peek;
use std::mem::MaybeUninit;

/// A `select!` with more arms than this says nothing.
const MOST: usize = 8;
/// The count of one that says nothing.
const UNKNOWN: usize = usize::MAX;

/// Who may end the wait of one arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whoever has an end of the channel at this address.
    Channel(usize),
    /// Nobody.
    Nobody,
    /// The clock, a context, a goroutine that ends: this is not looked into.
    Other,
}

/// See the module.
#[repr(C)]
pub(crate) struct Choice {
    count: usize,
    channels: [MaybeUninit<usize>; MOST],
}

impl Choice {
    /// Of no arms.
    pub(crate) const fn new() -> Self {
        Self { count: 0, channels: [MaybeUninit::uninit(); MOST] }
    }

    /// Adds what one more arm waits for.
    #[inline]
    pub(crate) fn add(&mut self, source: Source) {
        match source {
            Source::Nobody => {}
            Source::Channel(address) if self.count < MOST => {
                self.channels[self.count].write(!address);
                self.count += 1;
            }
            Source::Channel(_) | Source::Other => self.count = UNKNOWN,
        }
    }

    /// As a number for the one that waits. What is at the address is written before it parks, and stays until its wait is over.
    pub(crate) fn address(&self) -> usize {
        (&raw const *self).expose_provenance()
    }

    /// The channels, as complements of their addresses, of the one that was there. Worth something if that party has waited all the time. `None`: they are
    /// not known.
    pub(crate) fn at(address: usize) -> Option<Vec<usize>> {
        let mut words = [0; 1 + MOST];
        peek::read(address, &mut words)?;
        words[1..].get(..words[0]).map(<[usize]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_as_they_were_added() {
        let mut choice = Choice::new();
        assert_eq!(Choice::at(choice.address()), Some(vec![]));
        for address in 1..=MOST {
            choice.add(Source::Channel(address << 4));
            choice.add(Source::Nobody);
        }
        assert_eq!(Choice::at(choice.address()), Some((1..=MOST).map(|address| !(address << 4)).collect()));
        choice.add(Source::Channel(4711));
        assert_eq!(Choice::at(choice.address()), None, "one too many");
    }

    #[test]
    fn what_else_may_come_makes_it_unknown_for_good() {
        let mut choice = Choice::new();
        choice.add(Source::Channel(16));
        choice.add(Source::Other);
        choice.add(Source::Channel(32));
        assert_eq!(Choice::at(choice.address()), None);
        assert_eq!(Choice::at(8), None, "nothing is there");
    }
}
