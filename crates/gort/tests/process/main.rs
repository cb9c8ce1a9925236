//! What ends a process, or endangers it, tried on processes of their own: each test runs this binary once more and looks at how that one ends
//! and what it says. The names in capitals (LF-01, SC-09, …) are acceptance cases.

mod bad_days;
mod bound;
mod causes;
mod certify;
mod chan;
mod child;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod containers;
mod credentials;
mod crowd;
mod deadlock;
mod ends;
mod fork;
mod hogs;
mod host;
mod idle;
mod leaks;
mod libraries;
mod many;
mod meanwhile;
mod memory;
mod modes;
mod namespaces;
mod noticed;
mod notify;
mod overflow;
mod panics;
mod pi_mutexes;
mod quit;
mod quota;
mod retakes;
mod shutdown;
mod signals;
mod spare;
mod spoilt;
mod standard;
mod start;
mod streams;
mod support;
mod thread_exits;
mod threads;
mod waits;
mod watchdog;
