use super::*;

fn shell(script: &str, limit: Duration) -> Ended {
    let args = vec!["-c".to_owned(), script.to_owned()];
    measure(&Attempt { exe: "/bin/sh".into(), args, procs: 3, mode: "auto", limit, memory_bytes: 0 }, || false)
}

const LONG: Duration = Duration::from_secs(30);

fn why(ended: Ended) -> Failure {
    match ended {
        Ended::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_is_read_and_the_number_of_processors_passed_on() {
    let ended = shell(r#"echo "{\"metrics\":{\"ns\":$GORT_MAXPROCS$GOMAXPROCS.5}}""#, LONG);
    let Ended::Measured(outcome) = ended else { panic!("{ended:?}") };
    assert_eq!(outcome, Outcome::new().with("ns", 33.5));
}

#[test]
fn a_failure_says_the_status_and_the_last_line() {
    let failure = why(shell("echo first >&2; echo last >&2; echo >&2; exit 3", LONG));
    assert!(failure.why.contains('3') && failure.why.ends_with(": last"), "{}", failure.why);
    assert!(failure.stderr.starts_with("first\n") && !failure.hung);
    assert_eq!(why(shell("kill -SEGV $$", LONG)).why, "ended by signal 11");
    assert!(why(shell("echo no figures", LONG)).why.contains("result"));
}

/// The group gets SIGQUIT first, so that a runtime can say where it hangs, and a grandchild that outlives the worker is ended too.
#[test]
fn a_worker_that_hangs_is_heard_and_ended_with_all_it_started() {
    let began = Instant::now();
    let failure =
        why(shell("trap 'echo here >&2' QUIT; sleep 1000 & while :; do wait; done", Duration::from_millis(300)));
    assert!(failure.hung && failure.why.contains("hung"), "{failure:?}");
    assert!(failure.stderr.contains("here"), "{failure:?}");
    assert!(began.elapsed() < LONG);
}

/// Otherwise reading its output would never end.
#[test]
fn what_a_worker_leaves_behind_is_ended() {
    let began = Instant::now();
    let ended = shell("sleep 1000 & echo '{\"metrics\":{}}'", LONG);
    assert!(matches!(ended, Ended::Measured(_)), "{ended:?}");
    assert!(began.elapsed() < LONG);
}

#[test]
fn a_stop_ends_the_worker() {
    let args = vec!["-c".to_owned(), "sleep 1000".to_owned()];
    let attempt = Attempt { exe: "/bin/sh".into(), args, procs: 1, mode: "auto", limit: LONG, memory_bytes: 0 };
    assert!(matches!(measure(&attempt, || true), Ended::Stopped));
}

#[test]
fn too_little_memory_is_said_before_anything_starts() {
    let attempt = Attempt { exe: "/".into(), args: vec![], procs: 1, mode: "auto", limit: LONG, memory_bytes: 1 << 60 };
    assert!(why(measure(&attempt, || false)).why.contains("memory"));
    let attempt = Attempt { memory_bytes: 0, ..attempt };
    assert!(why(measure(&attempt, || false)).why.contains("cannot start"));
}
