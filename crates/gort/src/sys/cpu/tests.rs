//! DX-01. Go: runtime/cgroup_linux_test, TestCgroupGOMAXPROCSRound, TestCgroupGOMAXPROCSHigherThanNumCPU, TestCgroupGOMAXPROCSNoLimit;
//! internal/runtime/cgroup. Fixture trees stand for `/`.

use super::*;
use std::{
    io::ErrorKind,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A directory that stands for `/` and goes with the test.
struct Root(PathBuf);

impl Root {
    fn new(files: &[(&str, &str)]) -> Root {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: only uniqueness counts.
        let unique = format!("gort-cgroup-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let root = Root(std::env::temp_dir().join(unique));
        for (path, contents) in files {
            let path = root.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        root
    }

    fn quota(&self) -> Option<f64> {
        quota_under(&self.0).unwrap()
    }

    fn error(&self) -> String {
        let error = quota_under(&self.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        error.to_string()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const V1_MOUNT: &str = "\
22 1 0:20 / /proc rw - proc proc rw
30 22 0:26 / /sys/fs/cgroup/cpuset rw,nosuid shared:9 - cgroup cgroup rw,cpuset
31 22 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 master:2 - cgroup cgroup rw,cpu,cpuacct
";
const V2_MOUNT: &str = "29 22 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

fn v1(quota_us: &str, period_us: &str) -> Root {
    Root::new(&[
        ("proc/self/cgroup", "5:cpuset:/\n4:cpu,cpuacct:/job\n1:name=systemd:/init\n"),
        ("proc/self/mountinfo", V1_MOUNT),
        ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", quota_us),
        ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", period_us),
    ])
}

fn v2(cpu_max: &str) -> Root {
    Root::new(&[
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/job/cpu.max", cpu_max),
    ])
}

/// DX-01.
#[test]
fn a_quota_is_rounded_up_to_at_least_two_and_at_most_the_cpus() {
    for (quota_us, procs_of_eight) in [
        (200_001, 3),
        (250_000, 3),
        (200_000, 2),
        (50_000, 2),
        (100_000, 2),
        (150_000, 2),
        (1, 2),
        (300_000, 3),
        (800_000, 8),
        (10_000_000, 8),
        (i64::MAX, 8),
    ] {
        let quotas = [v1(&format!("{quota_us}\n"), "100000\n").quota(), v2(&format!("{quota_us} 100000\n")).quota()];
        for quota in quotas {
            assert!(quota.is_some());
            assert_eq!(procs_for(8, quota), procs_of_eight, "quota of {quota_us} us in 100 ms");
        }
    }
    assert_eq!(procs_for(8, Some(2.00001)), 3);
    assert_eq!(procs_for(1, Some(0.5)), 1, "two at least, but not more than there are processors");
}

/// DX-01.
#[test]
fn no_limit_gives_the_cpu_count() {
    for root in [v1("-1\n", "100000\n"), v2("max 100000\n")] {
        assert_eq!(root.quota(), None);
    }
    assert_eq!(procs_for(8, None), 8);
    assert_eq!(procs_for(0, None), 1);
    assert_eq!(procs_for(1_000_000, None), MAX_PROCS);
}

/// DX-01.
#[test]
fn the_tightest_group_on_the_way_up_counts() {
    let files = |inner, middle, outer| {
        Root::new(&[
            ("proc/self/cgroup", "0::/pod/box/job\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/pod/box/job/cpu.max", inner),
            ("sys/fs/cgroup/pod/box/cpu.max", middle),
            ("sys/fs/cgroup/pod/cpu.max", outer),
        ])
    };
    assert_eq!(files("max 100000", "300000 100000", "max 100000").quota(), Some(3.0));
    assert_eq!(files("max 100000", "300000 100000", "50000 20000").quota(), Some(2.5));
    assert_eq!(files("150000 100000", "300000 100000", "50000 20000").quota(), Some(1.5));
    assert_eq!(files("max 100000", "max 100000", "max 100000").quota(), None);
}

/// DX-01.
#[test]
fn only_the_group_itself_and_those_above_it_count() {
    let root = Root::new(&[
        ("proc/self/cgroup", "0::/pod/job\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/pod/job/cpu.max", "400000 100000"),
        ("sys/fs/cgroup/pod/job/child/cpu.max", "100000 100000"),
        ("sys/fs/cgroup/pod/other/cpu.max", "100000 100000"),
        ("sys/fs/cpu.max", "100000 100000"),
    ]);
    assert_eq!(root.quota(), Some(4.0));
}

/// DX-01.
#[test]
fn a_container_sees_its_own_part_of_the_hierarchy_as_the_mount() {
    let mount = "31 22 0:27 /docker/4711 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
    for (group, expected) in [
        ("/docker/4711", Some(3.0)),
        ("/docker/4711/job", Some(1.5)),
        ("/docker/4712", None),
        ("/docker/4711x", None),
        ("/", None),
    ] {
        let root = Root::new(&[
            ("proc/self/cgroup", &format!("4:cpu:{group}\n")),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
            ("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "150000"),
            ("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000"),
        ]);
        assert_eq!(root.quota(), expected, "{group}");
    }
}

/// DX-01.
#[test]
fn a_group_outside_of_the_namespace_is_not_looked_for() {
    let root = Root::new(&[
        ("proc/self/cgroup", "0::/../other\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/cpu.max", "100000 100000"),
        ("sys/fs/other/cpu.max", "100000 100000"),
    ]);
    assert_eq!(root.quota(), None);
}

/// DX-01.
#[test]
fn in_a_hybrid_system_the_hierarchy_that_has_the_controller_counts() {
    let mounts = format!("{V1_MOUNT}40 22 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    let v1_holds_it = Root::new(&[
        ("proc/self/cgroup", "4:cpu,cpuacct:/job\n0::/session\n"),
        ("proc/self/mountinfo", &mounts),
        ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "300000"),
        ("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000"),
        ("sys/fs/cgroup/unified/session/cgroup.procs", "1"),
    ]);
    assert_eq!(v1_holds_it.quota(), Some(3.0));
    let v2_holds_it = Root::new(&[
        ("proc/self/cgroup", "5:cpuset:/job\n0::/session\n"),
        ("proc/self/mountinfo", &mounts),
        ("sys/fs/cgroup/unified/session/cpu.max", "500000 100000"),
    ]);
    assert_eq!(v2_holds_it.quota(), Some(5.0));
}

/// DX-01.
#[test]
fn a_mount_point_with_a_space_is_found() {
    let root = Root::new(&[
        ("proc/self/cgroup", "0::/job\n"),
        ("proc/self/mountinfo", "29 22 0:25 / /mnt/c\\040group\\134x rw - cgroup2 none rw\n"),
        ("mnt/c group\\x/job/cpu.max", "250000 100000"),
    ]);
    assert_eq!(root.quota(), Some(2.5));
}

/// DX-01.
#[test]
fn garbage_is_an_error_that_names_file_and_contents() {
    for cpu_max in ["", "\n", "many 100000", "100000", "100000 0", "-5 100000", "0 100000", "1 2 3", "max 1 2"] {
        let message = v2(cpu_max).error();
        assert!(message.contains("job/cpu.max holds"), "{message}");
    }
    for (quota_us, period_us, named) in [
        ("", "100000", "cpu.cfs_quota_us"),
        ("lots", "100000", "cpu.cfs_quota_us holds \"lots\""),
        ("0", "100000", "cpu.cfs_quota_us"),
        ("99999999999999999999", "100000", "cpu.cfs_quota_us"),
        ("100000", "0", "cpu.cfs_period_us"),
        ("100000", "-1", "cpu.cfs_period_us"),
        ("100000", "\u{fffd}", "cpu.cfs_period_us"),
    ] {
        let message = v1(quota_us, period_us).error();
        assert!(message.contains(named), "{message}");
    }
}

/// DX-01.
#[test]
fn missing_files_mean_no_quota() {
    assert_eq!(Root::new(&[]).quota(), None);
    assert_eq!(quota_under(Path::new("/nonexistent")).unwrap(), None);
    assert_eq!(Root::new(&[("proc/self/cgroup", "0::/job\n")]).quota(), None);
    assert_eq!(Root::new(&[("proc/self/mountinfo", V2_MOUNT)]).quota(), None);
    let no_controller = [("proc/self/cgroup", "0::/job\n"), ("proc/self/mountinfo", V2_MOUNT)];
    assert_eq!(Root::new(&no_controller).quota(), None);
    let no_period = [
        ("proc/self/cgroup", "4:cpu:/\n"),
        ("proc/self/mountinfo", V1_MOUNT),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "5"),
    ];
    assert_eq!(Root::new(&no_period).quota(), None);
}

/// DX-01.
#[test]
fn malformed_lines_are_passed_over() {
    let root = Root::new(&[
        ("proc/self/cgroup", "\n:\n::\n0:\nx\n0::/job\n"),
        ("proc/self/mountinfo", &format!("\n - \nx y z\n1 2 3 4 5 - cgroup2\n1 2 3 / /m rw cgroup2 x y\n{V2_MOUNT}")),
        ("sys/fs/cgroup/job/cpu.max", "350000 100000\n"),
    ]);
    assert_eq!(root.quota(), Some(3.5));
}

/// DX-01.
#[test]
fn the_default_here_lies_between_one_and_the_cpu_count() {
    let procs = default_procs();
    assert!((1..=allowed_cpus().min(MAX_PROCS)).contains(&procs));
    // std takes the quota into account too, so it may say less, never more.
    assert!(allowed_cpus() >= std::thread::available_parallelism().unwrap().get());
}

/// DX-02, its first half: the affinity mask. Two processors, or as many as there are.
#[test]
fn the_affinity_mask_limits_the_default() {
    for wanted in [1, 2] {
        // On a thread of its own, since the mask belongs to the thread.
        let (granted, cpus) = std::thread::spawn(move || {
            let mut mask = [0_u64; 128];
            let bytes = size_of_val(&mask);
            // SAFETY: the kernel writes at most `bytes` bytes.
            let _written =
                unsafe { raw::syscall3(libc::SYS_sched_getaffinity, 0, bytes, mask.as_mut_ptr() as usize) }.unwrap();
            let mut granted = 0;
            for bit in 0..bytes * 8 {
                if mask[bit / 64] & 1 << (bit % 64) != 0 {
                    granted += 1;
                    if granted > wanted {
                        mask[bit / 64] &= !(1 << (bit % 64));
                    }
                }
            }
            // SAFETY: the kernel reads `bytes` bytes.
            unsafe { raw::syscall3(libc::SYS_sched_setaffinity, 0, bytes, mask.as_ptr() as usize) }.unwrap();
            (granted.min(wanted), (allowed_cpus(), default_procs()))
        })
        .join()
        .unwrap();
        assert_eq!(cpus, (granted, granted));
    }
}
