//! Goroutines that sleep for ever because those who could end their waits do, too: by channels, and by locks, joins and scopes besides.
//!
//! All who may be so are taken to be so at first. Then one after the other is taken out whose wait somebody else might end: whose channel somebody
//! refers to that is not among them, or whose lock is held by such a one. Who remains is asleep for good. A goroutine in a `select!` is not taken to be:
//! for which channels it waits is not known.

use super::search::{self, Owners};
use super::waits::Party;
use crate::g::{NO_CHANNEL, WaitReason};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Goroutines of one group have to do with each other.
pub(super) struct Group {
    pub(super) members: BTreeSet<usize>,
}

/// Who is asleep for ever, at least since `latest_ms`.
pub(super) struct Asleep {
    pub(super) groups: Vec<Group>,
    /// For each member that waits for a channel: those who refer to it.
    owners: HashMap<usize, Owners>,
}

impl Asleep {
    /// Those of a picture; `None`: it cannot be known at this moment.
    pub(super) fn among(all: &[Party], latest_ms: u64) -> Option<Self> {
        let may_be = |party: &Party| {
            let is_known = !party.reason.is_for_channel() || party.object() != search::hidden(NO_CHANNEL);
            party.is_for_ever && party.since_ms <= latest_ms && party.reason.is_for_others() && is_known
        };
        let mut members: BTreeSet<usize> = (0..all.len()).filter(|&at| may_be(&all[at])).collect();
        let mut channels: Vec<usize> = members.iter().map(|&at| &all[at]).filter_map(channel).collect();
        channels.sort_unstable_by_key(|&channel| Reverse(channel));
        channels.dedup();
        if channels.is_empty() {
            return Some(Self { groups: Vec::new(), owners: HashMap::new() });
        }
        let parties = members.iter().map(|&at| (all[at].id, at)).collect();
        let found = search::owners(&channels, &parties)?;
        let of_party = |at: usize| {
            let channel = channel(&all[at])?;
            let place = channels.binary_search_by_key(&Reverse(channel), |&channel| Reverse(channel)).ok()?;
            Some((at, found[place].clone()))
        };
        let owners: HashMap<usize, Owners> = members.iter().filter_map(|&at| of_party(at)).collect();
        members.retain(|&at| all[at].is_still());
        loop {
            let before = members.len();
            let sleeps = |at: usize| match owners.get(&at) {
                // Not to find even its own reference would mean that the search has seen nothing.
                Some(owners) => {
                    owners.contains(&Some(at))
                        && owners.iter().all(|owner| owner.is_some_and(|owner| members.contains(&owner)))
                }
                // One goroutine that does not end is enough for a scope.
                None => all[at].targets.iter().any(|target| members.contains(target)),
            };
            let asleep: BTreeSet<usize> = members.iter().copied().filter(|&at| sleeps(at)).collect();
            members = asleep;
            if members.len() == before {
                break;
            }
        }
        let groups = groups(all, &members, &owners);
        Some(Self { groups, owners })
    }

    /// What a member waits for, in words.
    pub(super) fn waits_for(&self, all: &[Party], at: usize) -> Option<String> {
        let ids: Vec<String> = self.owners.get(&at)?.iter().flatten().map(|&owner| all[owner].id.to_string()).collect();
        let what = if all[at].reason == WaitReason::ChanSend {
            "a receiver, or room, of a channel"
        } else {
            "a value from a channel"
        };
        let plural = if ids.len() == 1 { "" } else { "s" };
        Some(format!("{what} that only goroutine{plural} {} can know of", ids.join(", ")))
    }
}

fn channel(party: &Party) -> Option<usize> {
    party.reason.is_for_channel().then(|| party.object())
}

/// Members that wait for one another, directly or not; only groups with a channel in them, since the others are circles and those who wait for them.
fn groups(all: &[Party], members: &BTreeSet<usize>, owners: &HashMap<usize, Owners>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &at in members {
        let mut joined = BTreeSet::from([at]);
        joined.extend(owners.get(&at).into_iter().flatten().flatten());
        joined.extend(all[at].targets.iter().filter(|target| members.contains(target)));
        let (touched, others) = groups.into_iter().partition::<Vec<_>, _>(|group| !group.members.is_disjoint(&joined));
        groups = others;
        touched.into_iter().for_each(|group| joined.extend(group.members));
        groups.push(Group { members: joined });
    }
    groups.retain(|group| group.members.iter().any(|at| owners.contains_key(at)));
    groups
}
