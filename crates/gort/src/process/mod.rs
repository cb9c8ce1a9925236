//! Child processes: std's types and methods, with pipes and waits that park.
//!
//! Ten thousand goroutines that wait for children take no more threads than one. In most programs `use std::process` becomes `use gort::process` and
//! that is all; what std has besides (`Stdio`, `Output`, `ExitStatus`, `exit`, …) is here under its name. The methods of
//! [`CommandExt`](std::os::unix::process::CommandExt) are the command's own, since that trait cannot be implemented elsewhere.
//!
//! **Contexts.** The end of the ambient [context](crate::context) ends a wait and a read as everywhere in gort, and leaves the child alone. One that is to
//! end with its context is started with [`kill_on_cancel`](Command::kill_on_cancel). [`Command::status`] and [`Command::output`], which give nobody a
//! [`Child`], kill theirs.
//!
//! # Examples
//! ```
//! use gort::process::{Command, Stdio};
//! use std::io::{BufRead, BufReader, Write};
//!
//! let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//! let mut stdin = child.stdin.take().unwrap();
//! gort::go(move || stdin.write_all(b"one\ntwo\n"));
//! let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().collect::<Result<_, _>>()?;
//! assert_eq!(lines, ["one", "two"]);
//! assert!(child.wait()?.success());
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
mod life;
mod pipes;

pub use child::Child;
pub use command::Command;
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id};
