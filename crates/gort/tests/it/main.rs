//! Behaviour of the runtime, by area. The names in capitals (SC-02, LF-01, …) are acceptance cases.

mod blocking_class;
mod chan;
#[path = "../common/mod.rs"]
mod common;
mod context;
mod goroutine_local;
mod handoff;
mod host;
mod identity;
mod lifecycle;
mod park;
mod retaken;
mod sched;
mod scope;
mod stack_bounds;
mod support;
mod sync;
mod time;
mod timer;
#[cfg(target_env = "gnu")]
mod unwinding;
mod with_stack;
