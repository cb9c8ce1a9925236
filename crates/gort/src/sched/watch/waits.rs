//! Who waits for whom, as far as that is exactly known: for a lock, for whoever holds it; for a goroutine's end; for the end of a scope, for each of
//! its goroutines.
//!
//! A picture is taken while the world goes on, in three steps. First everybody's wait is noted; then whom each is waiting for; and then what was noted
//! is compared with what there is. Who is found in the same wait again has not run meanwhile (waits differ by the millisecond in which they began, and
//! only those of a certain age are looked at). So a goroutine that waits has not unlocked anything or ended, and what was seen in between was
//! so at one moment. What a lock says of its holder may be older than the lock's last change of hands by an instant; not by the age.

use super::search::hidden;
use crate::g::{Choice, G, NO_CHANNEL, Seen, Status, WaitReason, registry};
use crate::spawn::scope;
use std::collections::HashMap;
use std::panic::Location;

/// One that waits.
pub(super) struct Party {
    pub(super) g: &'static G,
    pub(super) id: u64,
    pub(super) reason: WaitReason,
    pub(super) since_ms: u64,
    /// As [`hidden`], so that a search for a channel does not find those who wait for it.
    object: usize,
    /// Nothing but what it waits for ends its wait.
    pub(super) is_for_ever: bool,
    word: u64,
    /// What was seen where it waits for a lock.
    pub(super) seen: Option<Seen>,
    /// The channels from which something would have to come, hidden; `None`: it is not known what may come, or it waits for something else.
    pub(super) channels: Option<Vec<usize>>,
    /// For whom it waits, by their places in the picture.
    pub(super) targets: Vec<usize>,
}

impl Party {
    fn of(g: &'static G) -> Option<Self> {
        // The id first, since a record may be used again.
        let (id, word) = (g.id(), g.wait_word());
        let (reason, since_ms) = g.wait();
        let object = g.wait_object();
        let channels = match reason {
            _ if reason.is_choice() => Choice::at(object),
            _ if reason.is_for_channel() && object != NO_CHANNEL => Some(vec![hidden(object)]),
            _ => None,
        };
        let party = Self {
            g,
            id,
            reason,
            since_ms,
            object: hidden(object),
            is_for_ever: !g.is_thread() && g.waits_for_ever(),
            word,
            seen: None,
            channels,
            targets: Vec::new(),
        };
        party.is_still().then_some(party)
    }

    /// It has not gone on since it was noted.
    pub(super) fn is_still(&self) -> bool {
        self.g.status() == Status::Waiting
            && self.g.id() == self.id
            && self.g.wait_word() == self.word
            && hidden(self.g.wait_object()) == self.object
    }

    /// What it waits for, hidden if it is a channel.
    pub(super) fn object(&self) -> usize {
        if self.reason.is_for_channels() { self.object } else { hidden(self.object) }
    }

    pub(super) fn waits_for_lock(&self) -> bool {
        matches!(self.reason, WaitReason::Mutex | WaitReason::RwLockRead | WaitReason::RwLockWrite)
    }

    /// Where the lock was taken for which it waits.
    pub(super) fn locked_at(&self) -> Option<&'static Location<'static>> {
        let seen = self.seen.filter(|_| self.is_still())?;
        // SAFETY: it has waited from before the look until now.
        unsafe { seen.site() }
    }
}

/// Those who wait for others, and for whom; and those who hold the locks.
pub(super) fn picture() -> Vec<Party> {
    let mut all = Vec::new();
    registry::for_each(|g| {
        if g.status() == Status::Waiting && g.wait().0.is_for_others() {
            all.extend(Party::of(g));
        }
    });
    for at in 0..all.len() {
        if all[at].waits_for_lock() {
            all[at].seen = Seen::at(all[at].object());
            let holder = all[at].seen.and_then(Seen::by);
            // The others are there already.
            all.extend(holder.filter(|g| !g.wait().0.is_for_others()).and_then(Party::of));
        }
    }
    let places: HashMap<u64, usize> = all.iter().enumerate().map(|(at, party)| (party.id, at)).collect();
    let place_of = |g: &'static G| places.get(&g.id()).copied();
    for at in 0..all.len() {
        let party = &mut all[at];
        if party.waits_for_lock() {
            // Of readers only the last is known, and perhaps it has gone.
            let holder = party.seen.filter(|seen| !seen.is_reader()).and_then(Seen::by);
            party.targets.extend(holder.and_then(place_of));
        } else if party.reason == WaitReason::Join {
            party.targets.extend(places.get(&(party.object() as u64)));
        }
        // Under the registry's lock a goroutine that has a scope has not ended, so the scope is there.
        let waits_for_it = registry::with_extra(all[at].g, |extra| {
            let scope = extra.map(|extra| extra.scope).filter(|scope| *scope != 0)?;
            // SAFETY: as just said.
            unsafe { scope::who_waits(scope) }
        });
        if let Some(parent) = waits_for_it.and_then(place_of) {
            all[parent].targets.push(at);
        }
    }
    all
}

/// Circles of parties that wait for one another and for nothing else, since `latest_ms` at least; none is in two of them.
pub(super) fn circles(all: &[Party], latest_ms: u64) -> Vec<Vec<usize>> {
    const NEW: u8 = 0;
    const ON_PATH: u8 = 1;
    const DONE: u8 = 2;
    let mut marks = vec![NEW; all.len()];
    let mut circles = Vec::new();
    for start in 0..all.len() {
        // Places on the way, each with the number of its next target.
        let mut path = vec![(start, 0)];
        if marks[start] != NEW {
            continue;
        }
        while let Some((at, next)) = path.last_mut() {
            marks[*at] = ON_PATH;
            let party = &all[*at];
            let target = party.targets.get(*next).filter(|_| party.is_for_ever && party.since_ms <= latest_ms).copied();
            *next += 1;
            match target {
                None => {
                    marks[*at] = DONE;
                    path.pop();
                }
                Some(target) if marks[target] == ON_PATH => {
                    let from = path.iter().position(|&(at, _)| at == target).expect("it is on the path");
                    let circle: Vec<usize> = path[from..].iter().map(|&(at, _)| at).collect();
                    // No other circle goes through one of these.
                    path.drain(from..).for_each(|(at, _)| marks[at] = DONE);
                    if circle.iter().all(|&at| all[at].is_still()) {
                        circles.push(circle);
                    }
                }
                Some(target) if marks[target] == NEW => path.push((target, 0)),
                Some(_) => {}
            }
        }
    }
    circles
}
