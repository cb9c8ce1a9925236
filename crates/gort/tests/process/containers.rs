//! Under the filters of system calls that containers run with. The common default of Docker and Podman, for a container without capabilities of its
//! own, refuses of what is of interest here: namespaces (`unshare`, `setns`, `clone` with their flags, `mount`), `clone3` (as unknown, since its flags
//! cannot be seen), `io_uring` (since 2023), `userfaultfd`, `perf_event_open`, `bpf`, `kcmp`, `pidfd_getfd`, `process_madvise`, memory policies, keys,
//! sockets of virtual machines. It permits `membarrier`, `rseq`, `arch_prctl`, `get_robust_list`, `process_vm_readv`, `sched_setattr`, `seccomp`.
//! What is not in its list at all gets EPERM.

use crate::child;
use crate::meanwhile::Echo;
use crate::modes::stuck_threads_lose_their_procs;
use crate::support::{Refusal, install, needs_migration, words_of};
use gort::chan::bounded;
use std::io::{self, Read, Write};
use std::process::Command;
use std::time::Duration;

/// Flags of `clone` that ask for namespaces.
const NAMESPACES: u32 = 0x7E02_0000;

/// What the default refuses on this processor, a container having no capability that would lift it.
const REFUSED: [libc::c_long; 55] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_get_mempolicy,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_set_mempolicy,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_sysfs,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_uselib,
    libc::SYS_userfaultfd,
    libc::SYS_ustat,
    libc::SYS_vhangup,
];

/// And what older ones, or stricter ones, have not in their list.
const REFUSED_BY_OLDER: [libc::c_long; 8] = [
    libc::SYS_close_range,
    libc::SYS_epoll_pwait2,
    libc::SYS_faccessat2,
    libc::SYS_membarrier,
    libc::SYS_openat2,
    libc::SYS_pidfd_open,
    libc::SYS_process_vm_readv,
    libc::SYS_sched_setattr,
];

fn enter(is_older: bool) {
    let refused = |call: &libc::c_long| Refusal::Always(*call, libc::EPERM);
    let mut refusals: Vec<_> = REFUSED.iter().map(refused).collect();
    if is_older {
        refusals.extend(REFUSED_BY_OLDER.iter().map(refused));
    }
    refusals.push(Refusal::Always(libc::SYS_clone3, libc::ENOSYS));
    refusals.push(Refusal::WithFlags(libc::SYS_clone, NAMESPACES, libc::EPERM));
    install(&refusals);
}

/// The filter is there.
fn is_refused(call: libc::c_long) -> bool {
    // SAFETY: refused, or at most an invalid call: no descriptor, address, flag or length is a good one.
    let outcome =
        unsafe { libc::syscall(call, usize::MAX, usize::MAX, usize::MAX, usize::MAX, usize::MAX, usize::MAX) };
    (outcome, io::Error::last_os_error().raw_os_error()) == (-1, Some(libc::EPERM))
}

/// Goroutines in every kind of wait, as other threads, in C, in other processes.
fn a_bit_of_everything() {
    let (to, from) = bounded(3);
    let all: Vec<_> = (0..300_u64)
        .map(|n| {
            let to = to.clone();
            gort::go(move || {
                gort::yield_now();
                gort::sleep(Duration::from_micros(n));
                to.send(n).unwrap();
                if n % 50 == 0 {
                    assert_eq!(gort::host(move || n + 1), n + 1);
                    assert_eq!(gort::with_stack(1 << 20, move || n + 2), n + 2);
                    assert_eq!(gort::blocking(move || n + 3), n + 3);
                    assert_eq!(std::thread::spawn(move || n + 4).join().unwrap(), n + 4);
                }
                std::io::Error::from_raw_os_error(n as i32).to_string().len()
            })
        })
        .collect();
    assert_eq!((0..300).map(|_| from.recv().unwrap()).sum::<u64>(), 299 * 150);
    assert!(all.into_iter().all(|one| one.join().unwrap() > 0));

    let mut echo = Echo::start();
    (0..20).for_each(|_| assert!(echo.once() > Duration::ZERO));
    let (mut near, mut far) = gort::net::UnixStream::pair().unwrap();
    let writing = gort::go(move || near.write_all(&[7; 100_000]).unwrap());
    let mut all = Vec::new();
    far.read_to_end(&mut all).unwrap();
    writing.join().unwrap();
    assert_eq!(all, [7; 100_000]);

    let path = std::env::temp_dir().join(format!("gort-container-{}", std::process::id()));
    gort::fs::write(&path, "hello").unwrap();
    assert_eq!(gort::fs::read_to_string(&path).unwrap(), "hello");
    gort::fs::remove_file(&path).unwrap();

    let output = gort::go(|| Command::new("echo").arg("hello").output().unwrap()).join().unwrap();
    assert_eq!(output.stdout, b"hello\n");
    // SAFETY: sets what is so.
    gort::go(|| assert_eq!(unsafe { libc::setgid(libc::getgid()) }, 0)).join().unwrap();
    assert!(gort::runtime::dump().contains("goroutine "));
    assert!(gort::runtime::deadlocks(Duration::from_secs(60)).is_empty());
}

/// A program in such a container does not notice.
#[test]
fn goroutines_run_as_ever_under_a_containers_filter() {
    let this = child::of(|case| {
        enter(case == "older");
        assert!(is_refused(libc::SYS_io_uring_setup) && is_refused(libc::SYS_unshare));
        assert_eq!(is_refused(libc::SYS_membarrier), case == "older");
        child::gort_main(|| {
            println!("mode {}", gort::runtime::mode());
            gort::go(a_bit_of_everything).join().unwrap();
            if gort::runtime::mode() == gort::runtime::Mode::Migrating {
                stuck_threads_lose_their_procs();
            }
        });
    });
    for case in ["today's", "older"] {
        let ended = this.case(case).env("GORT_MAXPROCS", "2").run();
        ended.exited(0).never_says("gort: ");
        if !needs_migration("goroutines stay on their threads, with or without a filter") {
            assert_eq!(ended.value("mode"), "migrating");
        }
    }
}

/// A filter from before `clone3`, which answers EPERM: libc makes no threads then, nobody's. The message says whose fault that is.
#[test]
fn a_filter_that_refuses_threads_is_named() {
    let this = child::of(|_| {
        install(&[Refusal::Always(libc::SYS_clone3, libc::EPERM), Refusal::Always(libc::SYS_clone, libc::EPERM)]);
        gort::go(|| println!("it ran")).join().unwrap();
    });
    if cfg!(target_env = "musl") {
        println!("skipped: musl tells of a thread that cannot be had as if it were a limit");
        return;
    }
    let ended = this.run("");
    ended.exited(2).says_once("cannot start the thread ").says(&words_of(libc::EPERM)).says("seccomp");
    assert!(!ended.out.contains("it ran") && !ended.err.contains("ulimit"), "{ended}");
}
