//! What waits for disks, as a setting and as a value.

use super::Builder;
use crate::config;
use crate::sched::disk;
use crate::uring::{self, State};

/// What waits for disks on behalf of [`fs`](crate::fs): by `GORT_FS`, or [`Builder::files`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Files {
    /// io_uring where it can be had, else threads.
    #[default]
    Auto,
    /// io_uring. Where it cannot be had (a sandbox, a kernel before Linux 5.15) the program ends when the runtime starts, with the reason and status 2.
    Uring,
    /// Threads: marked sections of the class `gort::fs`.
    Threads,
}

/// What waits for disks at the moment, in [`Metrics`](super::Metrics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileBackend {
    /// Nothing had to wait for a disk yet, or io_uring is being set up: the first operations have threads.
    #[default]
    None,
    /// io_uring.
    Uring,
    /// Threads.
    Threads,
}

pub(super) fn backend() -> FileBackend {
    match uring::state() {
        _ if disk::is_unwanted() => FileBackend::Threads,
        State::Up => FileBackend::Uring,
        State::Closing | State::Later | State::Refused => FileBackend::Threads,
        State::Off | State::Wanted | State::Starting => FileBackend::None,
    }
}

pub(super) fn because() -> Option<&'static str> {
    match disk::is_unwanted() {
        true => Some("it was asked for (GORT_FS, or runtime::Builder::files)"),
        false => uring::refused_because(),
    }
}

impl Builder {
    /// What waits for disks; `GORT_FS` wins.
    ///
    /// # Examples
    /// ```
    /// use gort::runtime::{Builder, FileBackend, Files, metrics};
    /// Builder::new().files(Files::Threads).start()?;
    /// assert_eq!(metrics().file_backend, FileBackend::Threads);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn files(mut self, files: Files) -> Self {
        self.wishes.fs = Some(match files {
            Files::Auto => config::Fs::Auto,
            Files::Uring => config::Fs::Uring,
            Files::Threads => config::Fs::Threads,
        });
        self
    }
}
