//! This executable as a worker: the peers that need nothing but the system, and the one load generator for all echo servers.

mod epoll_server;
mod load;
mod thread_server;
mod threads;
mod uring;

use std::net::TcpListener;

use anyhow::{Context as _, Error, Result, bail};
use gort_bench_wire::Call;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Does what it is called for.
pub fn run(args: Vec<String>) -> Result<()> {
    let call = Call::parse(args).map_err(Error::msg)?;
    raise_descriptor_limit()?;
    let outcome = match (call.peer.as_str(), call.task.as_str()) {
        ("threads", "spawn_join") => threads::spawn_join(&call)?,
        ("threads", "park_unpark") => threads::park_unpark(&call)?,
        ("threads", "yield") => threads::yields(&call)?,
        ("threads", "malloc") => threads::malloc(&call)?,
        ("threads", "parked") => threads::parked(&call)?,
        ("threads", "pingpong") => threads::pingpong(&call)?,
        ("threads", "mutex") => threads::mutex(&call)?,
        ("threads", "timers") => threads::timers(&call)?,
        ("threads", "hog_relay") => threads::hog_relay(&call)?,
        ("threads", "blocking_syscall") => threads::blocking_syscall(&call)?,
        ("threads", "file_read") => threads::file_read(&call)?,
        ("threads", "file_read_cold") => threads::file_read_cold(&call)?,
        ("threads", "write_dirty") => threads::write_dirty(&call)?,
        ("threads", "copy_file_socket") => threads::copy_file_socket(&call)?,
        ("threads", "proxy_splice") => threads::proxy_splice(&call)?,
        ("threads", "udp_batch") => threads::udp_batch(&call)?,
        ("uring", "file_read_cold") => uring::file_read_cold(&call)?,
        ("threads", "echo_server") => return thread_server::serve(&listener()?),
        ("epoll", "echo_server") => return epoll_server::serve(&listener()?, number(&call, "procs")?),
        (_, "echo") => load::run(&call)?,
        (peer, task) => bail!("{peer} has no task {task}"),
    };
    outcome.print().context("cannot print the result")
}

fn listener() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").context("cannot listen")
}

fn number(call: &Call, key: &str) -> Result<usize> {
    call.number(key).map_err(Error::msg)
}

/// To the hard limit. Servers inherit it from the load generator that starts them.
fn raise_descriptor_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of descriptors")
}
