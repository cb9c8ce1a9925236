//! `demo`: each situation makes its point, in figures that would be others if gort did not do what it shows.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::*;

/// They are about processors that are taken; side by side they would take each other's.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays a situation on two processors for a short time; its figures.
fn played(name: &str, duration: &str) -> Value {
    let output = finish(gort(&["demo", name, "--duration", duration, "--procs", "2", "--json"]));
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((&value["name"], &value["procs"]), (&Value::from(name), &Value::from(2)));
    assert_eq!((&value["mode"], &value["bound_because"]), (&Value::from("migrating"), &Value::Null), "{value}");
    value
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path} in {value}"))
}

/// Every promised figure is there and in order.
fn check_side(value: &Value, side: &str) {
    check_times(value, side);
    let retakes = |cause: &str| number(value, &format!("/{side}/retakes/{cause}"));
    // Read one after the other, while it goes on.
    assert!(retakes("total") <= retakes("marked") + retakes("in_the_kernel") + retakes("on_the_cpu") + 5.0, "{value}");
}

fn check_times(value: &Value, side: &str) {
    for times in ["ticker_late_us", "echo_us"] {
        let of = |share: &str| number(value, &format!("/{side}/{times}/{share}"));
        assert!(0.0 < of("p50") && of("p50") <= of("p99") && of("p99") <= of("max"), "{side} {times}: {value}");
    }
    assert!(number(value, &format!("/{side}/os_threads_peak")) >= 3.0, "{value}");
}

/// What there is to compare with: plain threads, which have done as much as `works` says, and nobody who blocks.
fn check_baseline(value: &Value, works: &[(&str, f64)]) {
    for side in ["plain_threads", "nobody_blocks"] {
        check_times(value, side);
        assert_eq!((&value[side]["stuck"], &value[side]["status"]), (&Value::from(false), &Value::from(0)), "{value}");
    }
    for (what, least) in works {
        assert!(number(value, &format!("/plain_threads/work/{what}")) >= *least, "{what}: {value}");
    }
    assert_eq!(value["plain_threads"]["retakes"], serde_json::json!({}), "it has no gort: {value}");
    assert_eq!(value["nobody_blocks"]["work"], serde_json::json!({}), "nobody does anything: {value}");
}

/// With retake, from threads that do `what`, everybody else goes on. Without it the program stands still.
fn check_point(value: &Value, what: &str) {
    check_side(value, "with");
    check_side(value, "without");
    assert_eq!(value["with"]["stuck"], false, "{value}");
    assert_eq!(value["without"]["stuck"], true, "{value}");
    assert_eq!(value["with"]["status"], 0, "{value}");
    assert!(number(value, &format!("/with/retakes/{what}")) >= 1.0, "{value}");
    assert_eq!(number(value, "/without/retakes/total"), 0.0, "{value}");
    for what in ["ticks", "echoes"] {
        let (with, without) = (number(value, &format!("/with/{what}")), number(value, &format!("/without/{what}")));
        assert!(with > 4.0 * without, "{what}: {value}");
    }
    let late = |side: &str| number(value, &format!("/{side}/ticker_late_us/p99"));
    assert!(late("with") < late("without") / 2.0, "{value}");
}

/// The watchdog has spoken of it.
fn has_said(value: &Value, what: &str) -> bool {
    let words = value["with"]["words"].as_array().unwrap();
    words.iter().filter_map(Value::as_str).any(|word| word.contains(what))
}

#[test]
fn endless_loops_stop_nobody_but_without_retake_everybody() {
    let _turn = alone();
    let hogs = played("hogs", "700ms");
    check_point(&hogs, "on_the_cpu");
    assert!(has_said(&hogs, "on the CPU"), "{hogs}");
    assert_eq!(number(&hogs, "/with/work/endless_loops"), 2.0);
    check_baseline(&hogs, &[("endless_loops", 2.0)]);
    assert!(hogs["without"]["status"].is_null(), "its loops had to be ended by force: {hogs}");
}

#[test]
fn calls_that_block_stop_nobody_but_without_retake_everybody() {
    let _turn = alone();
    let blocking = played("blocking", "700ms");
    check_point(&blocking, "in_the_kernel");
    assert!(has_said(&blocking, "in the kernel"), "{blocking}");
    check_baseline(&blocking, &[("long_sleeps", 2.0), ("reads", 2.0), ("naps_of_10ms", 2.0)]);
    for what in ["long_sleeps", "reads", "naps_of_10ms"] {
        assert!(number(&blocking, &format!("/with/work/{what}")) >= 2.0, "{what}: {blocking}");
    }
}

#[test]
fn a_std_mutex_held_across_a_read_stops_nobody_but_without_retake_everybody() {
    let _turn = alone();
    let locks = played("locks", "700ms");
    check_point(&locks, "in_the_kernel");
    assert!(number(&locks, "/with/work/reads_under_the_lock") >= 2.0, "{locks}");
    assert!(number(&locks, "/with/work/turns_of_the_fifty") >= 50.0, "{locks}");
    check_baseline(&locks, &[("reads_under_the_lock", 2.0), ("turns_of_the_fifty", 50.0)]);
}

#[test]
fn calls_into_c_go_on_side_by_side_with_retake_only() {
    let _turn = alone();
    let ffi = played("ffi", "700ms");
    check_side(&ffi, "with");
    check_side(&ffi, "without");
    let calls = |side: &str| -> f64 {
        ["bare", "marked", "limited"].iter().map(|way| number(&ffi, &format!("/{side}/work/calls_{way}"))).sum()
    };
    // Two at a time, at most, for 20 ms each.
    assert!(calls("without") <= 2.0 * 700.0 / 20.0 + 2.0, "{ffi}");
    assert!(calls("with") > 1.5 * calls("without"), "{ffi}");
    assert!(number(&ffi, "/with/retakes/total") >= 1.0, "{ffi}");
    check_baseline(&ffi, &[("calls_bare", 4.0), ("calls_marked", 4.0), ("calls_limited", 2.0)]);
}

#[test]
fn a_limit_keeps_threads_few() {
    let _turn = alone();
    let threads = played("threads", "1500ms");
    let of = |what: &str| number(&threads, &format!("/with/work/{what}"));
    assert!(of("unlimited_ms") > 0.0, "both rounds fit into the time: {threads}");
    assert!(of("limited_threads") <= 32.0 + 10.0, "{threads}");
    assert!(of("unlimited_threads") > of("limited_threads"), "{threads}");
    assert!(number(&threads, "/with/os_threads_peak") >= of("unlimited_threads"), "{threads}");
    // Without retake two calls run at a time, and all of them take 4 s.
    assert_eq!(number(&threads, "/without/work/unlimited_ms"), 0.0, "{threads}");
}

#[test]
fn procs_are_compared_for_work_of_both_kinds() {
    let _turn = alone();
    let procs = played("procs", "1s");
    check_side(&procs, "with");
    let runs = procs["runs"].as_array().unwrap();
    assert_eq!(runs.iter().map(|run| run["procs"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 4]);
    for run in runs {
        assert!(number(run, "/work/cpu_bound") >= 1.0 && number(run, "/work/io_bound") >= 1.0, "{run}");
    }
}

#[test]
fn files_take_few_threads_where_plain_ones_take_one_each() {
    let _turn = alone();
    let files = played("files", "700ms");
    for side in ["with", "without", "without_files"] {
        check_side(&files, side);
        assert_eq!((&files[side]["status"], &files[side]["stuck"]), (&Value::from(0), &Value::from(false)), "{files}");
        assert!(number(&files, &format!("/{side}/work/answers_to_sockets")) >= 1.0, "{files}");
    }
    let count = number(&files, "/with/work/files");
    assert!(number(&files, "/with/work/sockets") >= 2.0 && count >= 1.0, "{files}");
    for side in ["with", "without"] {
        assert!(number(&files, &format!("/{side}/reads_per_s")) >= 1.0, "{files}");
    }
    assert_eq!(number(&files, "/without_files/reads_per_s"), 0.0, "{files}");
    // Without io_uring 64 wait for a disk at most.
    assert!(number(&files, "/with/os_threads_peak") <= 2.0 + 64.0 + 8.0, "{files}");
    assert!(number(&files, "/without/os_threads_peak") >= count, "{files}");
}

#[test]
fn a_deadlock_ends_with_its_report_and_status_2() {
    let _turn = alone();
    let output = finish(gort(&["demo", "deadlock", "--duration", "300ms", "--json"]));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["with"]["status"], 2);
    assert_eq!((&value["without"]["status"], &value["without"]["stuck"]), (&Value::Null, &Value::from(true)));
    let words: Vec<&str> = value["with"]["words"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for expected in ["all goroutines are asleep - deadlock", "\"one\" [chan receive", "\"the other\" [chan receive"] {
        assert!(words.iter().any(|word| word.contains(expected)), "no {expected:?} in {words:?}");
        assert!(text(&output.stderr).contains(expected), "it was to be said as it came");
    }
}

#[test]
fn the_report_for_people_sets_both_ways_side_by_side() {
    let _turn = alone();
    let report = success(gort(&["demo", "hogs", "--duration", "300ms", "--procs", "2"]));
    for word in [
        "without retake the program stands still",
        "in migrating mode",
        "late p99",
        "GORT_RETAKE=off",
        "plain threads",
        "nobody blocks",
        "OS threads",
        "hung, killed",
    ] {
        assert!(report.contains(word), "no {word:?} in {report}");
    }
    assert!(!report.contains('\x1b') && report.lines().all(|line| line.chars().count() <= 90), "{report}");
}

#[test]
fn bound_mode_and_what_is_not_followed_are_told_and_what_did_not_finish_is_no_zero() {
    let _turn = alone();
    let mut command = gort(&["demo", "threads", "--duration", "100ms", "--procs", "2"]);
    command.env("GORT_MODE", "bound").env("GORT_WATCHDOG", "abort");
    let output = finish(command);
    let (report, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {report}{said}", output.status);
    for word in ["in bound mode, because GORT_MODE=bound says so", "with: bound mode: whoever has begun"] {
        assert!(report.contains(word), "no {word:?} in {report}");
    }
    // Those without a limit begin after 125 ms at best.
    let unlimited = report.lines().find(|line| line.contains("unlimited ms")).unwrap();
    assert_eq!(unlimited.split_whitespace().collect::<Vec<_>>(), ["unlimited", "ms", "-", "-"], "{report}");
    assert!(said.contains("GORT_WATCHDOG=abort is not followed here"), "{said}");
}

#[test]
fn an_unknown_situation_is_refused_with_the_list() {
    let said = failure(gort(&["demo", "dance"]));
    for name in ["dance", "hogs", "blocking", "ffi", "locks", "deadlock", "threads", "procs", "files"] {
        assert!(said.contains(name), "no {name:?} in {said}");
    }
    assert!(failure(gort(&["demo"])).contains("<SITUATION>"));
    let help = success(gort(&["demo", "--help"]));
    assert!(
        help.contains("GORT_RETAKE=off") && help.contains("GORT_WATCHDOG_AFTER") && !help.contains("--play"),
        "{help}"
    );
}

/// The process that plays, once it does.
fn player_of(parent: &Child) -> u32 {
    eventually("the process that plays starts", || {
        let pid = *children(parent.id()).first()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command.contains("--play").then_some(pid)
    })
}

#[test]
fn an_interrupt_ends_the_process_that_plays() {
    let _turn = alone();
    let parent = gort(&["demo", "hogs", "--duration", "60s"]).spawn().unwrap();
    let player = player_of(&parent);
    signal(parent.id(), "INT");
    let output = wait(parent);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(!alive(player));
}

#[test]
fn a_parent_that_is_killed_takes_the_process_that_plays_along() {
    let _turn = alone();
    let mut parent = gort(&["demo", "hogs", "--duration", "60s"]).spawn().unwrap();
    let player = player_of(&parent);
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(9));
    eventually("the process that plays ends", || (!alive(player)).then_some(()));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let _turn = alone();
    let mut child = gort(&["demo", "deadlock", "--duration", "100ms"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = wait(child);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("gort: cannot"), "{}", text(&output.stderr));
}
