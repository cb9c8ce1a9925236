//! Stacks: where they come from, what lies on them, what happens when one is too small.

#[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
mod bounds;
pub(crate) mod control;
pub(crate) mod depth;
mod free_list;
pub(crate) mod host;
pub(crate) mod layout;
pub(crate) mod overflow;
mod refused;
pub(crate) mod scavenge;
pub(crate) mod slab;
pub(crate) mod switch;
