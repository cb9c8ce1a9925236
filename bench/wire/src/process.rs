//! This process as the kernel sees it: its time, its threads, its processors.

use std::fs;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::thread::{CpuSet, NanosleepRelativeResult, Timespec, nanosleep, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of all its threads up to now, ended ones included.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many threads it has now.
///
/// # Errors
/// If `/proc` is not there.
pub fn threads() -> io::Result<u64> {
    // A directory for each thread, and each links to this one as its parent; so do `.` and the name itself. One call, whatever their number.
    Ok(fs::metadata("/proc/self/task")?.nlink() - 2)
}

/// How often the kernel has let a thread of this process run, up to now and all together, the calling one not counted.
///
/// # Errors
/// If `/proc` is not there.
pub fn switches_of_others() -> io::Result<u64> {
    let me = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut switches = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name().to_str() == Some(&*me) {
            continue;
        }
        // One that has ended meanwhile is none.
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
        switches += counts.sum::<u64>();
    }
    Ok(switches)
}

/// Lets this thread, and those it starts, run on `count` processors of those it may run on, the first ones: the counterpart of a runtime with so
/// many. If there are fewer, on all of them.
///
/// # Errors
/// If the system does not allow it.
pub fn stay_on(count: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut ours = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).take(count).for_each(|cpu| ours.set(cpu));
    Ok(sched_setaffinity(None, &ours)?)
}

/// Blocks the thread in the kernel, with nothing between this and the system call that a runtime could notice.
pub fn nap(time: Duration) {
    let mut left = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    loop {
        match nanosleep(&left) {
            NanosleepRelativeResult::Interrupted(rest) => left = rest,
            // The length is a valid one, so there is no other error.
            NanosleepRelativeResult::Ok | NanosleepRelativeResult::Err(_) => return,
        }
    }
}

/// Computes until it is over, without a call of anything a runtime could notice. How many rounds it made.
pub fn hog(over: &AtomicBool) -> u64 {
    let mut rounds = 0;
    // Relaxed: it need not end at once, and nothing is ordered by it.
    while !over.load(Relaxed) {
        rounds = black_box(rounds) + 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn cpu_time_grows_with_work_and_a_nap_is_none() {
        let before = cpu_time();
        while cpu_time() < before + Duration::from_millis(2) {}
        let began = Instant::now();
        nap(Duration::from_millis(3));
        assert!(began.elapsed() >= Duration::from_millis(3));
    }

    #[test]
    fn a_thread_more_is_counted() {
        let (send, receive) = std::sync::mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || receive.recv().is_err());
        // This one and the one that runs the tests, too.
        assert!(threads().unwrap() >= 3);
        drop(send);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn one_processor_is_one_of_those_allowed() {
        let before = sched_getaffinity(None).unwrap();
        // On a thread of its own: the other tests keep theirs.
        let after =
            std::thread::spawn(|| stay_on(1).and_then(|()| Ok(sched_getaffinity(None)?))).join().unwrap().unwrap();
        assert_eq!(after.count(), 1);
        assert!((0..CpuSet::MAX_CPU).all(|cpu| !after.is_set(cpu) || before.is_set(cpu)));
    }
}
