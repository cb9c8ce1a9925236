//! What several areas need, in parent and child.

pub(crate) use crate::common::{scaled, words_of};

use std::time::Duration;

/// See `common`. Without starting a runtime: a child may want to be asked before that.
#[track_caller]
pub(crate) fn needs_migration(reason: &str) -> bool {
    crate::common::needs_migration_if(is_bound(), reason)
}

/// Whether the children run in bound mode.
pub(crate) fn is_bound() -> bool {
    std::env::var("GORT_MODE").is_ok_and(|mode| mode == "bound")
}

/// True where goroutines cannot move, so that nobody can ask for it: on musl, under a sanitizer. `cargo xtask` says so.
pub(crate) fn is_only_bound() -> bool {
    std::env::var_os("ONLY_BOUND").is_some()
}

/// True in a run that is perturbed: what it does is right, but may be slow.
pub(crate) fn is_perturbed() -> bool {
    std::env::var_os("GORT_PERTURB").is_some()
}

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Waits until `condition` holds, on a goroutine or a thread; the child's time limit ends it if it never does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        gort::sleep(Duration::from_micros(200));
    }
}

/// What a dump says of goroutine `id`.
pub(crate) fn entry_of(dump: &str, id: &str) -> Option<String> {
    let start = format!("goroutine {id} ");
    dump.split("\n\n").map(str::trim_start).find(|entry| entry.starts_with(&start)).map(str::to_owned)
}

/// Waits until goroutine `id` is in a state that a dump shows in brackets, beginning with `words`.
pub(crate) fn wait_for_state(id: gort::GoroutineId, words: &str) {
    let id = id.to_string();
    wait_until(|| entry_of(&gort::runtime::dump(), &id).is_some_and(|entry| entry.contains(&format!("[{words}"))));
}

/// Blocks until the parent closes standard input (or has sent a line).
pub(crate) fn wait_for_parent() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("standard input can be read");
    line.trim_end().to_owned()
}

/// One of the process's threads, as the kernel sees it.
pub(crate) struct Thread {
    pub(crate) name: String,
    /// Voluntary and other context switches so far.
    pub(crate) switches: (u64, u64),
}

/// Every thread of this process, by its id.
pub(crate) fn threads() -> std::collections::BTreeMap<u32, Thread> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process").flatten();
    tasks.filter_map(|task| Some((task.file_name().to_str()?.parse().ok()?, thread_at(&task.path())?))).collect()
}

/// `None` if it has ended meanwhile.
fn thread_at(path: &std::path::Path) -> Option<Thread> {
    let status = std::fs::read_to_string(path.join("status")).ok()?;
    let field = |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned());
    let number = |name: &str| field(name)?.parse().ok();
    Some(Thread {
        name: field("Name:")?,
        switches: (number("voluntary_ctxt_switches:")?, number("nonvoluntary_ctxt_switches:")?),
    })
}

/// The threads that run goroutines.
pub(crate) fn count_of_ms() -> usize {
    threads().values().filter(|thread| thread.name.starts_with("gort-m")).count()
}

/// C libraries do not agree.
#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

pub(crate) fn set_limit(resource: Resource, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, ..limits(resource) };
    // SAFETY: the kernel reads a live `rlimit`.
    unsafe { assert_eq!(libc::setrlimit(resource, &raw const limit), 0) };
}

pub(crate) fn limit(resource: Resource) -> u64 {
    limits(resource).rlim_cur
}

fn limits(resource: Resource) -> libc::rlimit {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes a live `rlimit`.
    unsafe { assert_eq!(libc::getrlimit(resource, &raw mut limits), 0) };
    limits
}

/// Both ends of a pipe, blocking, as raw descriptors that stay open.
pub(crate) fn pipe() -> (i32, i32) {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    (ends[0], ends[1])
}

/// Reads one byte, blocking the thread, without telling the runtime.
pub(crate) fn read_byte(fd: i32) {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes one byte into a live one.
    assert_eq!(unsafe { libc::read(fd, (&raw mut byte).cast(), 1) }, 1);
}

pub(crate) fn write_byte(fd: i32) {
    // SAFETY: the kernel reads one byte of a live text.
    assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, 1);
}

/// A system call that a filter refuses with this errno.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    Always(libc::c_long, i32),
    /// If the first argument has one of these bits.
    WithFlags(libc::c_long, u32, i32),
}

/// From now on the kernel answers these system calls of every thread of this process with `errno`.
pub(crate) fn refuse_system_calls(calls: &[libc::c_long], errno: i32) {
    let refusals: Vec<_> = calls.iter().map(|&call| Refusal::Always(call, errno)).collect();
    install(&refusals);
}

/// From now on every thread of this process, and its children, live with this filter.
pub(crate) fn install(refusals: &[Refusal]) {
    const FIRST_ARGUMENT: u32 = 16;
    let statement = |code: u32, yes: u8, no: u8, k: u32| libc::sock_filter { code: code as u16, jt: yes, jf: no, k };
    let load = |at: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let end = |what: u32| statement(libc::BPF_RET | libc::BPF_K, 0, 0, what);
    let unless = |code: u32, k: u32, skip: u8| statement(libc::BPF_JMP | code | libc::BPF_K, 0, skip, k);
    // The number of the call is the first word of what the filter sees.
    let mut program = vec![load(0)];
    for &refusal in refusals {
        match refusal {
            Refusal::Always(call, errno) => {
                program.push(unless(libc::BPF_JEQ, call as u32, 1));
                program.push(end(libc::SECCOMP_RET_ERRNO | errno as u32));
            }
            Refusal::WithFlags(call, flags, errno) => {
                program.push(unless(libc::BPF_JEQ, call as u32, 4));
                program.push(load(FIRST_ARGUMENT));
                program.push(unless(libc::BPF_JSET, flags, 1));
                program.push(end(libc::SECCOMP_RET_ERRNO | errno as u32));
                program.push(end(libc::SECCOMP_RET_ALLOW));
            }
        }
    }
    program.push(end(libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let every_thread = libc::SECCOMP_FILTER_FLAG_TSYNC as libc::c_uint;
    // SAFETY: the kernel reads a live program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, every_thread, &program), 0);
    }
}

/// The kernel's id of the calling thread.
pub(crate) fn own_thread_id() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() as u32 }
}

/// The ids of this process's threads.
pub(crate) fn thread_ids() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process").flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}
