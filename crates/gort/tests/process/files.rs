//! The thread for files, and processes that may not have io_uring.

use crate::child;
use crate::support::{limit, refuse_system_calls, set_limit, threads, wait_until};
use gort::fs::File;
use gort::runtime::{FileBackend, Files, metrics};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// This program, to be read past the page cache. `None`: the file system cannot.
fn page_file() -> Option<File> {
    let path = std::env::current_exe().unwrap();
    File::options().read(true).custom_flags(libc::O_DIRECT).open(path).ok()
}

fn read_page(file: &File) {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let mut page = Page([0; 4096]);
    std::os::unix::fs::FileExt::read_exact_at(file, &mut page.0, 0).unwrap();
    assert!(page.0.starts_with(b"\x7fELF"));
}

/// Reads past the page cache until it is known what does that. `None`: the file system cannot.
pub(crate) fn uses_files() -> Option<FileBackend> {
    let file = page_file()?;
    gort::go(move || {
        loop {
            read_page(&file);
            match metrics().file_backend {
                FileBackend::None => gort::yield_now(),
                known => return Some(known),
            }
        }
    })
    .join()
    .unwrap()
}

fn tasks() -> Vec<PathBuf> {
    let is_ours = |task: &PathBuf| std::fs::read(task.join("comm")).is_ok_and(|name| name == b"gort-fs\n");
    std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path()).filter(is_ours).collect()
}

/// It is there from the first use on, and visible, and gone with the runtime, descriptors included; and so again.
#[test]
fn the_thread_comes_with_the_first_use_and_goes_with_the_runtime() {
    let this = child::of(|_| {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        gort::go(|| ()).join().unwrap();
        let before = descriptors();
        for _ in 0..3 {
            assert_eq!((metrics().file_backend, metrics().file_threads, tasks().len()), (FileBackend::None, 0, 0));
            match uses_files() {
                None => return,
                Some(FileBackend::Uring) => {}
                Some(_) => {
                    assert!(metrics().file_backend_because.is_some(), "{:?}", metrics());
                    return;
                }
            }
            let now = metrics();
            assert!(now.file_threads >= 1 && now.threads > now.file_threads, "{now:?}");
            assert_eq!((tasks().len(), now.file_backend_because), (1, None));
            assert!(gort::runtime::shutdown(Instant::now() + Duration::from_secs(20)).is_empty());
            assert_eq!((tasks().len(), metrics().file_threads), (0, 0));
            gort::runtime::Builder::new().files(Files::Auto).start().unwrap();
            assert_eq!(descriptors(), before);
        }
    });
    this.run("").exited(0).never_says("gort: ");
    // Another thread may ask for its stack's guard; nothing else is refused.
    this.case("").env("GORT_FS", "uring").run().exited(0).never_says("gort: ");
}

/// The monitor starts it, and is patient while nobody computes: it waits for a processor when it wakes. The thread for files, and those of the kernel's
/// behind it, do not take after it.
#[test]
fn the_thread_is_no_more_patient_than_others() {
    let this = child::of(|_| {
        let policies = |name: &str| -> Vec<i32> {
            let ours = threads().into_iter().filter(|(_, thread)| thread.name.starts_with(name));
            // SAFETY: asks the kernel.
            ours.map(|(tid, _)| unsafe { libc::sched_getscheduler(tid as i32) }).collect()
        };
        gort::go(|| ()).join().unwrap();
        // SAFETY: as above.
        if unsafe { libc::sched_getscheduler(0) } != libc::SCHED_OTHER {
            return;
        }
        wait_until(|| policies("gort-sysmon") == [libc::SCHED_BATCH]);
        if uses_files() == Some(FileBackend::Uring) {
            assert_eq!(policies("gort-fs"), [libc::SCHED_OTHER]);
            assert!(policies("iou-").iter().all(|&policy| policy != libc::SCHED_BATCH), "{:?}", policies("iou-"));
        }
    });
    this.run("").exited(0).never_says("gort: ");
}

/// With `GORT_FS=threads`, or few threads in all, there is no such thread.
#[test]
fn threads_are_had_by_asking() {
    let this = child::of(|case| {
        if let Some(backend) = uses_files() {
            assert_eq!((backend, metrics().file_threads, tasks().len()), (FileBackend::Threads, 0, 0));
            assert!(metrics().file_backend_because.unwrap().contains(case), "{:?}", metrics());
        }
    });
    this.case("GORT_FS").env("GORT_FS", "threads").run().exited(0).never_says("gort: ");
    this.case("too few threads").env("GORT_MAX_THREADS", "8").run().exited(0).never_says("gort: ");
}

/// A sandbox that refuses io_uring, as that of most containers does: files work, the reason is told, and who insists is told the way out.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_sandbox_without_io_uring() {
    let this = child::of(|_| {
        if let Some(backend) = uses_files() {
            let because = metrics().file_backend_because;
            assert_eq!(backend, FileBackend::Threads, "{because:?}");
            assert!(because.unwrap().starts_with("io_uring_setup: "), "{because:?}");
        }
    });
    for (errno, text) in
        [(libc::EPERM, "Operation not permitted"), (libc::ENOSYS, "not implemented"), (libc::ENOMEM, "memory")]
    {
        // SAFETY: it makes system calls only.
        let refused = unsafe { this.case("").before_exec(move || refuse_io_uring(errno)) };
        refused.run().exited(0).never_says("gort: ");
        // SAFETY: as above.
        let insists = unsafe { this.case("").env("GORT_FS", "uring").before_exec(move || refuse_io_uring(errno)) };
        insists
            .run()
            .exited(2)
            .says("gort: GORT_FS=uring")
            .says("io_uring_setup: ")
            .says(text)
            .says("GORT_FS=auto or threads");
    }
}

/// Without a free descriptor there is no io_uring, and again there is one when there are descriptors.
#[test]
fn a_lack_of_descriptors_keeps_io_uring_away_for_a_while_only() {
    let this = child::of(|_| {
        let Some(file) = page_file() else { return };
        let read_until = |unwanted: FileBackend| {
            gort::scope(|s| {
                let read = || {
                    while metrics().file_backend == unwanted {
                        read_page(&file);
                        gort::sleep(Duration::from_millis(1));
                    }
                };
                s.spawn(read).join().unwrap();
            });
            metrics()
        };
        // With all that the runtime opens at its start.
        gort::go(|| ()).join().unwrap();
        let limit = limit(libc::RLIMIT_NOFILE);
        // Those that are open stay so.
        set_limit(libc::RLIMIT_NOFILE, 3);
        let lacks = read_until(FileBackend::None);
        assert_eq!(lacks.file_backend, FileBackend::Threads, "{lacks:?}");
        if !lacks.file_backend_because.unwrap().contains("Too many open files") {
            return;
        }
        set_limit(libc::RLIMIT_NOFILE, limit);
        // Wanted again, it is on its way for a moment.
        while read_until(FileBackend::Threads).file_backend != FileBackend::Uring {}
        assert_eq!(metrics().file_backend_because, None);
    });
    this.run("").exited(0).never_says("gort: ");
}

/// A sandbox that begins while files are read, and refuses io_uring: every read has its bytes, threads do it from then on, and the reason is told.
#[test]
fn a_sandbox_that_begins_later() {
    let this = child::of(|case| {
        let errno = case.parse().unwrap();
        if uses_files() != Some(FileBackend::Uring) {
            return;
        }
        let file = page_file().unwrap();
        gort::scope(|s| {
            for _ in 0..16 {
                s.spawn(|| {
                    let mut after = 0;
                    while after < 5 {
                        read_page(&file);
                        after += usize::from(metrics().file_backend == FileBackend::Threads);
                    }
                });
            }
            refuse_system_calls(&[libc::SYS_io_uring_enter], errno);
        });
        let because = metrics().file_backend_because.unwrap();
        assert!(because.starts_with("io_uring_enter: "), "{because}");
        // The kernel ends its own when the ring has gone, which may be after the last read.
        wait_until(|| tasks().is_empty());
    });
    for errno in [libc::EPERM, libc::ENOSYS] {
        this.run(&errno.to_string()).exited(0).never_says("gort: ").never_says("panicked");
    }
}

/// From here on io_uring's calls fail with this error. Async-signal-safe.
#[cfg(target_arch = "x86_64")]
fn refuse_io_uring(errno: i32) -> std::io::Result<()> {
    let op =
        |code: u32, jump_true, jump_false, k| libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k };
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut program = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the call's number
        op(is, 1, 0, libc::SYS_io_uring_setup as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers, and a filter that lives as long as the call.
    let outcome = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0)
    };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
