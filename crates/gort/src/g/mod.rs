//! G: the goroutine record, its states, lists of records and the registry of all of them.

pub(crate) mod list;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod wait_reason;
pub(crate) mod waiters;

pub(crate) use list::GList;
pub(crate) use record::{Extra, Finish, G, Status};
pub(crate) use wait_reason::WaitReason;
pub(crate) use waiters::{Taken, WaitList, Waiter, Want};
