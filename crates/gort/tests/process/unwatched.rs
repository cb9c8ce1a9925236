//! Children for which there is no descriptor to watch: an old kernel, a filter.

use crate::child;
use crate::support::{ms, refuse_system_calls, thread_ids};
use gort::process::Command;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;

/// A wait for such a child that is given up leaves no thread behind, and the child is waited for all the same later.
#[test]
fn a_wait_without_a_descriptor_leaves_no_thread_behind() {
    let this = child::of(|_| {
        refuse_system_calls(&[libc::SYS_pidfd_open], libc::ENOSYS);
        let waiting = || {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            for _ in 0..40 {
                assert_eq!(child.wait_timeout(ms(2)).unwrap_err().kind(), ErrorKind::TimedOut);
            }
            // The runtime has a handful of its own.
            assert!(thread_ids().len() < 20, "{} threads", thread_ids().len());
            let (ctx, _) = gort::context::background().with_timeout(ms(2));
            assert_eq!(ctx.run(|| child.wait()).unwrap_err().kind(), ErrorKind::TimedOut);
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
            assert!(Command::new("true").status().unwrap().success());
        };
        gort::go(waiting).join().unwrap();
    });
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0);
    }
}
