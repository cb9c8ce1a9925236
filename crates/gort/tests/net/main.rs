//! TCP by area, what holds for all kinds of streams (`kinds`), what other kinds have of their own, and child processes. The names in capitals (NT-04, HF-06) are
//! acceptance cases.

mod bad_days;
mod child;
mod children;
mod close;
#[path = "../common/mod.rs"]
mod common;
mod copies;
mod data;
mod deadline;
mod dial;
mod io;
mod kinds;
mod pipes;
mod readiness;
mod std_surface;
mod support;
mod timeouts;
mod udp;
mod unix;
