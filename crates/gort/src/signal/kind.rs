//! Which signal.

use std::fmt;

/// A signal of the system.
///
/// # Examples
/// ```
/// use gort::signal::Signal;
/// assert_eq!(Signal::INT.to_string(), "SIGINT");
/// assert_eq!(Signal::from_raw(Signal::TERM.as_raw()), Signal::TERM);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! signals {
    ($($(#[$doc:meta])* $name:ident $constant:ident;)*) => {
        impl Signal {
            $($(#[$doc])* pub const $name: Self = Self(libc::$constant);)*
        }

        const NAMES: &[(i32, &str)] = &[$((libc::$constant, stringify!($constant))),*];
    };
}

signals! {
    /// The terminal is gone; by custom: read your configuration again.
    HUP SIGHUP;
    /// Ctrl-C.
    INT SIGINT;
    /// Ctrl-\. The runtime answers with a dump of all goroutines, unless somebody [receives](super::notify) it.
    QUIT SIGQUIT;
    /// The program is to end.
    TERM SIGTERM;
    /// For the program's own use.
    USR1 SIGUSR1;
    /// For the program's own use.
    USR2 SIGUSR2;
    /// A child has ended or stopped.
    CHLD SIGCHLD;
    /// The terminal has another size.
    WINCH SIGWINCH;
    /// A pipe or socket that nobody reads was written to. Ignored by Rust's std.
    PIPE SIGPIPE;
    /// A timer of `alarm`.
    ALRM SIGALRM;
    /// Ctrl-Z.
    TSTP SIGTSTP;
    /// It was stopped and goes on.
    CONT SIGCONT;
    /// A background process has read from its terminal.
    TTIN SIGTTIN;
    /// A background process has written to its terminal.
    TTOU SIGTTOU;
    /// Urgent data at a socket.
    URG SIGURG;
    /// A descriptor is ready (`O_ASYNC`).
    IO SIGIO;
    /// Ends a process, whatever it does. Cannot be received.
    KILL SIGKILL;
    /// Stops a process, whatever it does. Cannot be received.
    STOP SIGSTOP;
    /// What a failed assertion of C's sends. Cannot be received.
    ABRT SIGABRT;
}

impl Signal {
    /// The signal of this number, which need not have a name here: real-time signals, say.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Its name, or else `signal 34`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
