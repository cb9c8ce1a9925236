//! What this machine lets two processes have: file descriptors, local ports, threads.
//!
//! A connection costs one descriptor in the server and one in the load generator, which are different processes, so the limit
//! counts once. The soft limit is raised to the hard one at start; above that only root or the administrator helps, and the
//! error says where.

use std::fs;
use std::io;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::DEFAULT_CONNS;
use crate::report::number::{counted, grouped};

/// Descriptors kept for listeners, epoll instances, pipes and whatever the runtime opens for itself.
const RESERVE: u64 = 64;

/// The descriptor limit of this process after raising it as far as it goes.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    /// The limit now in force.
    pub limit: u64,
    /// Those that are no connections: open already, or kept for everything else.
    pub kept: u64,
}

impl Descriptors {
    /// Connections that leave room for everything else.
    fn conns(self) -> u64 {
        self.limit.saturating_sub(self.kept)
    }
}

/// Raises the soft descriptor limit to the hard limit.
pub fn raise() -> Result<Descriptors> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).map_err(io::Error::from).with_context(
            || format!("cannot raise the descriptor limit from {} to its hard limit {}", text(current), text(maximum)),
        )?;
    }
    // No limit at all still ends at fs.nr_open.
    let limit = maximum.or_else(|| read_number("/proc/sys/fs/nr_open")).unwrap_or(1 << 20);
    let open = fs::read_dir("/proc/self/fd").map_or(3, |d| d.count() as u64);
    Ok(Descriptors { limit, kept: open + RESERVE })
}

/// Decides the number of connections, saying what was reduced, or refuses what was asked for.
pub fn conns(asked: Option<u32>, descriptors: Descriptors) -> Result<(u32, Option<String>)> {
    let most = u32::try_from(descriptors.conns()).unwrap_or(u32::MAX);
    let limit = grouped(descriptors.limit);
    if most == 0 {
        bail!(
            "the descriptor limit of {limit} leaves no room for a connection: {} are open already or reserved for listeners, pipes \
             and the runtime\n{}",
            descriptors.kept,
            way_out(u64::from(asked.unwrap_or(DEFAULT_CONNS)))
        );
    }
    match asked {
        Some(n) if n > most => bail!(
            "--conns {n} is more than this process may open: its descriptor limit is {limit} (hard), good for {}, as {} are open \
             already or reserved for listeners, pipes and the runtime\n{}",
            counted(most.into(), "connection"),
            descriptors.kept,
            way_out(n.into())
        ),
        Some(n) => Ok((n, None)),
        None if most < DEFAULT_CONNS => Ok((
            most,
            Some(format!(
                "{} instead of {}: the descriptor limit is {limit}, of which {} are reserved (see it with `ulimit -Hn`)",
                counted(most.into(), "connection"),
                grouped(DEFAULT_CONNS.into()),
                descriptors.kept
            )),
        )),
        None => Ok((DEFAULT_CONNS, None)),
    }
}

fn way_out(conns: u64) -> String {
    let need = conns + RESERVE + 16;
    let mut ways = vec![
        (format!("ulimit -n {need}"), "as root, for this shell"),
        (format!("LimitNOFILE={need}"), "in a systemd unit"),
        (format!("youruser hard nofile {need}"), "in /etc/security/limits.conf, then log in again"),
    ];
    if read_number("/proc/sys/fs/nr_open").is_some_and(|nr_open| nr_open < need) {
        ways.insert(0, (format!("sysctl fs.nr_open={need}"), "first of all: the kernel's own ceiling is lower"));
    }
    let lines: Vec<String> = ways.iter().map(|(how, place)| format!("             {how:<32}({place})")).collect();
    format!("  see it:    ulimit -Hn\n  raise it:  {}", lines.join("\n").trim_start())
}

/// How many local ports the kernel hands out, which is how many connections one pair of addresses can have.
pub fn local_ports() -> u32 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
    match (ends.next(), ends.next()) {
        (Some(low), Some(high)) if low <= high => high - low + 1,
        _ => 28_232,
    }
}

/// Number of loopback addresses the server listens on so that the ports last: half the range each, because the kernel's search
/// for a free port gets slow when most are taken.
pub fn listen_addresses(conns: u32) -> u32 {
    conns.div_ceil((local_ports() / 2).max(1)).clamp(1, 250)
}

/// Refuses a load that cannot have enough local ports.
pub fn check_ports(conns: u32, addresses: usize) -> Result<()> {
    let ports = local_ports();
    if u64::from(conns) > u64::from(ports) * addresses as u64 {
        bail!(
            "--conns {conns} to {addresses} address(es) needs more local ports than there are: net.ipv4.ip_local_port_range has {ports} for each\n\
             \x20 way out:   give --addr several times (127.0.0.1, 127.0.0.2, ..), or widen the range: \
             sysctl net.ipv4.ip_local_port_range=\"1024 65535\""
        );
    }
    Ok(())
}

/// The error for `what`, a thread or process that could not be started.
pub fn no_thread(what: &str, e: &io::Error) -> Error {
    if e.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        // The pipes to a process.
        return anyhow!("cannot start {what}: {e}\n{}", way_out(0));
    }
    anyhow!("cannot start {what}: {e}\n{}\n  way out:   raise the one that is short", of_threads())
}

/// Everything that may keep a thread from being started, as a line of an error.
pub fn of_threads() -> String {
    let [threads, pids, maps] = ["kernel/threads-max", "kernel/pid_max", "vm/max_map_count"]
        .map(|name| read_number(&format!("/proc/sys/{name}")).map_or("?".into(), |n| n.to_string()));
    format!(
        "  limits:    ulimit -u, ulimit -v, pids.max of the cgroup, kernel.threads-max = {threads}, \
         kernel.pid_max = {pids}, vm.max_map_count = {maps}"
    )
}

/// A figure of the kernel.
pub fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn text(limit: Option<u64>) -> String {
    limit.map_or("unlimited".into(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIGHT: Descriptors = Descriptors { limit: 1024, kept: 74 };
    const WIDE: Descriptors = Descriptors { limit: 1 << 20, kept: 74 };

    #[test]
    fn the_default_shrinks_and_says_so() {
        let (n, said) = conns(None, TIGHT).unwrap();
        assert_eq!(n, 950);
        assert!(said.unwrap().contains("1,024"));
        assert_eq!(conns(None, WIDE).unwrap(), (DEFAULT_CONNS, None));
    }

    #[test]
    fn too_many_on_demand_are_refused_with_the_limit_and_the_ways_out() {
        let error = conns(Some(2000), TIGHT).unwrap_err().to_string();
        for word in ["--conns 2000", "1,024", "950", "74", "ulimit -Hn", "LimitNOFILE", "limits.conf"] {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert_eq!(conns(Some(950), TIGHT).unwrap(), (950, None));
        let error = conns(Some(1), Descriptors { limit: 64, kept: 74 }).unwrap_err().to_string();
        assert!(error.contains("limit of 64") && error.contains("74 are open already or reserved"), "{error}");
    }

    #[test]
    fn what_cannot_be_started_for_want_of_descriptors_names_that_limit_alone() {
        let error = no_thread("it", &rustix::io::Errno::MFILE.into()).to_string();
        assert!(error.contains("ulimit -n 80") && !error.contains("pids.max"), "{error}");
        let error = no_thread("it", &rustix::io::Errno::AGAIN.into()).to_string();
        assert!(error.contains("pids.max") && !error.contains("ulimit -n "), "{error}");
    }

    #[test]
    fn addresses_grow_with_the_connections() {
        assert_eq!(listen_addresses(1), 1);
        assert!(listen_addresses(100_000) > 1);
        assert!(check_ports(1_000_000, 1).is_err());
    }
}
