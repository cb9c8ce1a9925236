//! Goroutines that sleep for ever because those who could end their waits do, too: by channels, and by locks, joins and scopes besides.
//!
//! All who may be so are taken to be so at first. Then one after the other is taken out whose wait somebody else might end: whose channel somebody
//! refers to that is not among them, or whose lock is held by such a one. Who remains is asleep for good. A goroutine in a `select!` is asleep if this holds
//! for the channels of all its arms; not if one of them waits for anything else.

use super::search::{self, Owners};
use super::waits::Party;
use crate::g::WaitReason;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Goroutines of one group have to do with each other.
pub(super) struct Group {
    pub(super) members: BTreeSet<usize>,
}

/// Who is asleep for ever, at least since `latest_ms`.
pub(super) struct Asleep {
    pub(super) groups: Vec<Group>,
    /// For each member that waits for channels: those who refer to them, channel by channel.
    owners: HashMap<usize, Vec<Owners>>,
}

impl Asleep {
    /// Those of a picture; `None`: it cannot be known at this moment.
    pub(super) fn among(all: &[Party], latest_ms: u64) -> Option<Self> {
        let may_be = |party: &Party| {
            let is_known = !party.reason.is_for_channels() || party.channels.is_some();
            party.is_for_ever && party.since_ms <= latest_ms && party.reason.is_for_others() && is_known
        };
        let mut members: BTreeSet<usize> = (0..all.len()).filter(|&at| may_be(&all[at])).collect();
        let mut channels: Vec<usize> =
            members.iter().filter_map(|&at| all[at].channels.as_ref()).flatten().copied().collect();
        channels.sort_unstable_by_key(|&channel| Reverse(channel));
        channels.dedup();
        if channels.is_empty() {
            return Some(Self { groups: Vec::new(), owners: HashMap::new() });
        }
        let parties = members.iter().map(|&at| (all[at].id, at)).collect();
        let found = search::owners(&channels, &parties)?;
        let of_channel = |&channel: &usize| {
            let place = channels.binary_search_by_key(&Reverse(channel), |&channel| Reverse(channel)).ok()?;
            Some(found[place].clone())
        };
        let of_party = |at: usize| Some((at, all[at].channels.as_ref()?.iter().filter_map(of_channel).collect()));
        let owners: HashMap<usize, Vec<Owners>> = members.iter().filter_map(|&at| of_party(at)).collect();
        members.retain(|&at| all[at].is_still());
        loop {
            let before = members.len();
            let sleeps = |at: usize| match owners.get(&at) {
                // Not to find even its own reference would mean that the search has seen nothing.
                Some(channels) => channels.iter().all(|owners| {
                    owners.contains(&Some(at))
                        && owners.iter().all(|owner| owner.is_some_and(|owner| members.contains(&owner)))
                }),
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
        let channels = self.owners.get(&at)?;
        let owners: BTreeSet<usize> = channels.iter().flatten().copied().flatten().collect();
        let ids: Vec<String> = owners.iter().map(|&owner| all[owner].id.to_string()).collect();
        let what = match all[at].reason {
            _ if channels.is_empty() => return Some("nothing".into()),
            WaitReason::ChanSend => "a receiver, or room, of a channel".into(),
            WaitReason::ChanRecv => "a value from a channel".into(),
            _ => format!("one of {} operations on channels", channels.len()),
        };
        let plural = if ids.len() == 1 { "" } else { "s" };
        Some(format!("{what} that only goroutine{plural} {} can know of", ids.join(", ")))
    }
}

/// Members that wait for one another, directly or not; only groups with a channel in them, since the others are circles and those who wait for them, or mean to sleep for ever.
fn groups(all: &[Party], members: &BTreeSet<usize>, owners: &HashMap<usize, Vec<Owners>>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for &at in members {
        let mut joined = BTreeSet::from([at]);
        joined.extend(owners.get(&at).into_iter().flatten().flatten().flatten());
        joined.extend(all[at].targets.iter().filter(|target| members.contains(target)));
        let (touched, others) = groups.into_iter().partition::<Vec<_>, _>(|group| !group.members.is_disjoint(&joined));
        groups = others;
        touched.into_iter().for_each(|group| joined.extend(group.members));
        groups.push(Group { members: joined });
    }
    groups.retain(|group| group.members.iter().any(|at| owners.get(at).is_some_and(|channels| !channels.is_empty())));
    groups
}
