//! TCP, by area. The names in capitals (NT-04, HF-06) are acceptance cases; here for TCP.

mod bad_days;
mod child;
mod close;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod deadline;
mod readiness;
mod std_surface;
mod support;
mod timeouts;
