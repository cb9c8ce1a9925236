//! How an echo server is led: it says where it listens, answers questions, and ends with its stdin.
//!
//! ```text
//! server:  {"listening":"127.0.0.1:41234"}
//! asked:   count
//! server:  {"syscalls":123456}          or null if it does not count its system calls
//! ```
//!
//! When stdin ends the process exits with status 0, so no server outlives the one who started it.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The first line of a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listening {
    /// Where to connect.
    pub listening: SocketAddr,
}

/// The question for [`Count`].
pub const COUNT: &str = "count";

/// What a server has done up to now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Count {
    /// System calls for connections and polling.
    pub syscalls: Option<u64>,
}

/// Says where the server listens and obeys from then on, on a thread of its own.
///
/// # Errors
/// If stdout is gone or the thread cannot be started.
pub fn obey(listening: SocketAddr, syscalls: impl Fn() -> Option<u64> + Send + 'static) -> io::Result<()> {
    say(&Listening { listening })?;
    std::thread::Builder::new().name("control".into()).spawn(move || {
        for line in io::stdin().lock().lines() {
            let answered = match line.as_deref() {
                Ok(COUNT) => say(&Count { syscalls: syscalls() }),
                Ok(_) => continue,
                Err(_) => break,
            };
            if answered.is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    Ok(())
}

fn say(what: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    out.flush()
}
