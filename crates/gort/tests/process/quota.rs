//! The number of processors follows what the system grants. A directory stands for the machine: eight processors and a control group.

use crate::child;
use crate::support::{ms, scaled, wait_for_parent, wait_until};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A machine of eight processors with a quota of six, on which the runtime of this process starts.
struct Machine(PathBuf);

impl Machine {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("gort-quota-{}", std::process::id()));
        let group = root.join("sys/fs/cgroup/job");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::create_dir_all(root.join("proc/self")).unwrap();
        std::fs::write(root.join("proc/self/cgroup"), "0::/job\n").unwrap();
        let mount = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        std::fs::write(root.join("proc/self/mountinfo"), mount).unwrap();
        let machine = Self(root);
        machine.grant("550000 100000\n");
        gort::__private::pretend_machine(&machine.0, 8);
        machine
    }

    fn quota_file(&self) -> PathBuf {
        self.0.join("sys/fs/cgroup/job/cpu.max")
    }

    /// In one step: half a number would be no number.
    fn grant(&self, quota: &str) {
        let new = self.0.join("new");
        std::fs::write(&new, quota).unwrap();
        std::fs::rename(new, self.quota_file()).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sees when a file is opened.
struct Opens(i32);

impl Opens {
    fn of(file: &Path) -> Self {
        let path = std::ffi::CString::new(file.to_str().unwrap()).unwrap();
        // SAFETY: `path` is a live string that ends in 0.
        let fd = unsafe {
            let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            assert!(fd >= 0 && libc::inotify_add_watch(fd, path.as_ptr(), libc::IN_OPEN) >= 0);
            fd
        };
        Self(fd)
    }

    /// Whether it has been, since the last time.
    fn any(&self) -> bool {
        let mut events = [0_u8; 4096];
        // SAFETY: the kernel writes into `events` what fits.
        unsafe { libc::read(self.0, events.as_mut_ptr().cast(), events.len()) > 0 }
    }
}

fn keep_busy() {
    gort::go(|| {
        loop {
            gort::sleep(Duration::from_micros(500));
        }
    });
}

/// DX-02. Without a setting a changed quota is followed within 30 s while something runs; one that cannot be read changes nothing. The files are
/// not opened in every round of the monitor, a thousand times a second and more, but once in some seconds.
#[test]
fn a_changed_quota_is_followed() {
    let this = child::of(|case| {
        let machine = Machine::new();
        assert_eq!(gort::runtime::max_procs(), 6);
        keep_busy();
        let start = Instant::now();
        if case == "garbled" {
            machine.grant("no quota at all\n");
            let opens = Opens::of(&machine.quota_file());
            wait_until(|| opens.any());
            assert!(start.elapsed() > ms(500), "looked again after {:?}", start.elapsed());
            gort::sleep(ms(20));
            assert_eq!(gort::runtime::max_procs(), 6, "an unreadable quota is none");
        } else {
            machine.grant("300000 100000\n");
            wait_until(|| gort::runtime::max_procs() == 3);
            assert!(start.elapsed() < scaled(Duration::from_secs(30)), "{:?}", start.elapsed());
            assert_eq!(gort::go(|| 7).join().unwrap(), 7);
        }
        drop(machine);
    });
    std::thread::scope(|s| {
        for case in ["changed", "garbled"] {
            s.spawn(move || {
                this.run(case).exited(0).never_says("gort: ");
            });
        }
    });
}

/// DX-02. A number that somebody has said wins, and updates are off: from the environment, a builder, or `set_max_procs`.
#[test]
fn a_number_that_was_said_wins_over_the_quota() {
    let this = child::of(|case| {
        let machine = Machine::new();
        match case {
            "builder" => gort::runtime::Builder::new().max_procs(5).start().unwrap(),
            "later" => assert_eq!(gort::runtime::set_max_procs(5), 6),
            _ => {}
        }
        assert_eq!(gort::runtime::max_procs(), 5);
        keep_busy();
        machine.grant("300000 100000\n");
        // Longer than it takes the other test to see a change.
        gort::sleep(ms(2500));
        assert_eq!(gort::runtime::max_procs(), 5);
        drop(machine);
    });
    std::thread::scope(|s| {
        s.spawn(|| {
            this.case("environment").env("GORT_MAXPROCS", "5").run().exited(0).never_says("gort: ");
        });
        s.spawn(|| {
            this.run("builder").exited(0).never_says("gort: ");
        });
        s.spawn(|| {
            this.run("later").exited(0).never_says("gort: ");
        });
    });
}

/// A control group of the system's own, gone when dropped: its tasks must have ended.
struct Group(PathBuf);

impl Group {
    /// `None`: there is no hierarchy with the controller, or it may not be used (no privileges, read-only, version 2 in use without it).
    fn new() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let tops = mounts.lines().filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let top = PathBuf::from(mount.split(' ').nth(4)?);
            let has_cpu = |list: &str| list.split([',', ' ', '\n']).any(|word| word == "cpu");
            let is_it = match kind.split(' ').next()? {
                "cgroup" => has_cpu(kind),
                "cgroup2" => has_cpu(&std::fs::read_to_string(top.join("cgroup.subtree_control")).ok()?),
                _ => false,
            };
            is_it.then_some(top)
        });
        let name = format!("gort-quota-{}", std::process::id());
        tops.map(|top| Self(top.join(&name))).find(|group| {
            std::fs::create_dir(&group.0).is_ok()
                && (group.0.join("cpu.max").exists() || group.0.join("cpu.cfs_quota_us").exists())
        })
    }

    /// So many thousandths of a processor.
    fn grant(&self, thousandths: u32) {
        let quota = thousandths * 100;
        let (file, text) = match self.0.join("cpu.max") {
            file if file.exists() => (file, format!("{quota} 100000")),
            _ => (self.0.join("cpu.cfs_quota_us"), quota.to_string()),
        };
        std::fs::write(file, text).unwrap();
    }

    /// How often its tasks had to wait for the next period.
    fn throttled(&self) -> u64 {
        let stat = std::fs::read_to_string(self.0.join("cpu.stat")).unwrap();
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok()).unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// DX-02, with a quota of the kernel's, for a machine of which only the number of processors is invented: it is followed while the process is busy. And
/// while it may run in a tenth of the time only, nobody is reported for having kept a thread for long: a thread that must not run is no hog.
#[test]
fn a_real_quota_is_followed_and_its_throttling_is_nobodys_fault() {
    let this = child::of(|case| {
        std::fs::write(Path::new(case).join("cgroup.procs"), std::process::id().to_string()).unwrap();
        gort::__private::pretend_machine(Path::new("/"), 8);
        assert_eq!(gort::runtime::max_procs(), 6);
        println!("started");
        for _ in 0..2 {
            gort::go(|| {
                loop {
                    // Some milliseconds.
                    (0..200_000).for_each(|n| _ = std::hint::black_box(n));
                    gort::yield_now();
                }
            });
        }
        wait_until(|| gort::runtime::max_procs() == 3);
        println!("three processors");
        wait_for_parent();
    });
    let Some(group) = Group::new() else {
        println!("skipped: no control group with a quota of processors can be made here");
        return;
    };
    group.grant(5500);
    let mut running = this.case(group.0.to_str().unwrap()).env("GORT_WATCHDOG_AFTER", "200ms").start();
    running.wait_for("started");
    group.grant(2500);
    running.wait_for("three processors");
    // A tenth of one: each period of 100 ms has 90 in which nobody may run.
    group.grant(100);
    let before = group.throttled();
    running.wait_until("throttling", |_| group.throttled() >= before + 8);
    group.grant(5500);
    running.end().exited(0).never_says("gort: ");
}
