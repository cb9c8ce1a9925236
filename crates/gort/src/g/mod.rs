//! G: the goroutine record, its states, lists of records and the registry of all of them.

pub(crate) mod choice;
pub(crate) mod holder;
pub(crate) mod list;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod wait_reason;

pub(crate) use choice::{Choice, Source};
pub(crate) use gort_lockfree::wait_list::Want;
pub(crate) use holder::{Holder, Seen};
pub(crate) use list::GList;
pub(crate) use record::{Alarm, Extra, Finish, G, Status};
pub(crate) use wait_reason::{NO_CHANNEL, WaitReason};

/// Goroutines and threads that wait, by their records; see [`gort_lockfree::wait_list`].
pub(crate) type WaitList = gort_lockfree::wait_list::WaitList<&'static G>;
/// One that stands in a [`WaitList`], or is about to.
pub(crate) type Waiter = gort_lockfree::wait_list::Waiter<&'static G>;
/// One whose wait will be ended by whoever has this.
pub(crate) type Taken = gort_lockfree::wait_list::Taken<&'static G>;
