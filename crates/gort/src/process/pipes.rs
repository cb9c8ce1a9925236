//! Our ends of a child's standard streams.

use crate::handle::{Handle, surface};
use crate::sys::pipe as sys;
use std::fmt;
use std::process::Stdio;

/// Our end of a child's standard input, as [`std::process::ChildStdin`]: a pipe, with the limits of [`gort::io`](crate::io)'s.
///
/// Dropping it tells the child that nothing more comes. A write gives `BrokenPipe` once the child, and everybody it has given its input to, is gone.
pub struct ChildStdin {
    handle: Handle,
}

/// Our end of a child's standard output, as [`std::process::ChildStdout`]: a pipe, with the limits of [`gort::io`](crate::io)'s.
///
/// A read gives `Ok(0)` when the child, and everybody it has given its output to, is gone.
pub struct ChildStdout {
    handle: Handle,
}

/// Our end of a child's standard error, as [`std::process::ChildStderr`]. See [`ChildStdout`].
pub struct ChildStderr {
    handle: Handle,
}

surface::writable!(ChildStdin, sys::write, sys::write_vectored);
surface::write_limits!(
    ChildStdin,
    "stdin",
    "# use gort::process::{Command, Stdio};
# use std::io::Write;
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
# let stdin = child.stdin.take().unwrap();",
    "(&stdin).write(b\"late\")"
);
surface::ends!(
    ChildStdin,
    "stdin",
    "# use gort::process::{Command, Stdio};
# use std::io::Write;
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
# let stdin = child.stdin.take().unwrap();
# let everything = vec![0; 1 << 20];",
    "(&stdin).write_all(&everything)"
);
surface::converts!(
    ChildStdin,
    std::process::ChildStdin,
    "stdin",
    "# use gort::process::{Command, Stdio};
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
# let stdin = child.stdin.take().unwrap();",
    "gort::process::ChildStdin"
);

surface::readable!(ChildStdout, sys::read, sys::read_vectored);
surface::read_limits!(
    ChildStdout,
    "stdout",
    "# use gort::process::{Command, Stdio};
# use std::io::Read;
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
# let stdout = child.stdout.take().unwrap();",
    "(&stdout).read(&mut [0; 8])"
);
surface::ends!(
    ChildStdout,
    "stdout",
    "# use gort::process::{Command, Stdio};
# use std::io::Read;
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
# let stdout = child.stdout.take().unwrap();",
    "(&stdout).read(&mut [0; 8])"
);
surface::converts!(
    ChildStdout,
    std::process::ChildStdout,
    "stdout",
    "# use gort::process::{Command, Stdio};
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
# let stdout = child.stdout.take().unwrap();",
    "gort::process::ChildStdout"
);

surface::readable!(ChildStderr, sys::read, sys::read_vectored);
surface::read_limits!(
    ChildStderr,
    "stderr",
    "# use gort::process::{Command, Stdio};
# use std::io::Read;
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
# let stderr = child.stderr.take().unwrap();",
    "(&stderr).read(&mut [0; 8])"
);
surface::ends!(
    ChildStderr,
    "stderr",
    "# use gort::process::{Command, Stdio};
# use std::io::Read;
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
# let stderr = child.stderr.take().unwrap();",
    "(&stderr).read(&mut [0; 8])"
);
surface::converts!(
    ChildStderr,
    std::process::ChildStderr,
    "stderr",
    "# use gort::process::{Command, Stdio};
# let mut child = Command::new(\"cat\").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
# let stderr = child.stderr.take().unwrap();",
    "gort::process::ChildStderr"
);

macro_rules! streams {
    ($($type:ident),*) => {$(
        impl From<$type> for Stdio {
            /// For another child, which gets it in blocking mode.
            ///
            /// # Panics
            /// If it was closed.
            fn from(stream: $type) -> Self {
                std::os::fd::OwnedFd::from(stream).into()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).field("fd", &self.handle).finish()
            }
        }
    )*};
}

streams!(ChildStdin, ChildStdout, ChildStderr);
