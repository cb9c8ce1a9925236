//! Files, by area. The names in capitals (FS-06, HF-05) are acceptance cases.

mod bad_days;
mod child;
#[path = "../common/mod.rs"]
mod common;
mod contexts;
mod crowd;
mod oracle;
mod past_cache;
mod std_surface;
mod support;
mod uring;
