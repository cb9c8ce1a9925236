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
mod copies;
mod credentials;
mod crowd;
mod deadlock;
mod ends;
mod exceptions;
mod files;
mod fork;
mod fork_threads;
mod hogs;
mod host;
mod idle;
mod kernel_words;
mod late;
mod leaks;
mod libraries;
#[cfg(target_env = "gnu")]
mod locale;
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
mod signal_stacks;
mod signals;
mod spare;
mod spoilt;
mod standard;
mod start;
mod streams;
mod support;
mod thread_exits;
mod threads;
mod unwatched;
mod waits;
mod watchdog;
