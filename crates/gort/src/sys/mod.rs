//! The only layer that knows the operating system: system calls, inline assembly, `cfg(target_os)`.
//!
//! It decides nothing. Everything above is written against the small interfaces of these modules, so that another system is an addition here
//! and nowhere else.

pub(crate) mod aloud;
pub(crate) mod asan;
pub(crate) mod call;
pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod copy;
pub(crate) mod cpu;
pub(crate) mod eventfd;
pub(crate) mod fault;
pub(crate) mod fence;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod notice;
pub(crate) mod peek;
pub(crate) mod pipe;
pub(crate) mod poller;
pub(crate) mod priority;
pub(crate) mod raw;
pub(crate) mod rseq;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stackmem;
pub(crate) mod standard;
pub(crate) mod thread;
pub(crate) mod tools;
pub(crate) mod uring;
