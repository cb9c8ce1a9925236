//! The lock-free protocols of gort, one file each, free of system calls, so that loom and miri can run them whole.
//!
//! | module | what it settles |
//! |---|---|
//! | [`runq`] | the run queue of a P: one owner, many thieves |
//! | [`order`] | in which order a thief asks its victims |
//! | [`spinning`] | idle Ps and spinning Ms: who wakes whom |
//! | [`owner`] | who owns a P: biased towards the M that runs on it |
//! | [`inbox`] | what one M alone may run: who wakes it |
//! | [`claim`] | one waiter, several things that may end its wait: which one does |
//! | [`wait_list`] | a queue of waiters that may leave |
//! | [`select`] | one waiter in several queues |
//! | [`crowd`] | those who wait to be told something: one by one, or all at once |
//! | [`permits`], [`gate`] | the word of a mutex, a read-write lock, a semaphore; and those who wait for permits |
//! | [`count`] | the word of a wait group |
//! | [`once_word`] | whether something that is to be done once is done |
//! | [`attendance`] | whether anybody waits for a condition variable |
//! | [`wake_word`] | one waiting party, woken by a token or sent to look at the clock |
//! | [`timer_word`] | one deadline and its one heap item |
//! | [`side_word`] | one direction of a socket under an edge-triggered poller |
//! | [`fd_mutex`] | one reader, one writer, and a close that waits for the last user |
//!
//! Every file starts with its argument. `docs/PROTOCOLS.md` lists the models and the mutations that make them fail.
//! Under `--cfg gort_loom` the atomics are loom's (see `atomics.rs`) and a ring holds four; two more places differ and say
//! why (`Stay::enter`, `WakeWord::reset`).
#![no_std]

#[cfg(any(test, gort_loom))]
extern crate std;

mod atomics;
pub mod attendance;
pub mod cache_line;
pub mod claim;
pub mod count;
pub mod crowd;
pub mod fd_mutex;
pub mod gate;
pub mod inbox;
#[cfg(test)]
mod model;
mod mutate;
#[cfg(any(gort_loom, all(test, not(miri))))]
mod mutations;
pub mod once_word;
pub mod order;
pub mod owner;
pub mod permits;
pub mod runq;
pub mod select;
pub mod side_word;
pub mod spinning;
pub mod timer_word;
pub mod wait_list;
pub mod wake_word;
