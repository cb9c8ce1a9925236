//! `fanout` from end to end, at a small scale.

use serde_json::Value;

use super::*;

/// Exactly one object, and no more than that.
fn object(stdout: &str) -> Value {
    let value: Value = serde_json::from_str(stdout).unwrap_or_else(|e| panic!("{e} in {stdout:?}"));
    assert!(value.is_object());
    value
}

/// The promised keys with sensible values.
fn check_run(run: &Value, style: &str, conns: u64) {
    let number = |key: &str| run[key].as_f64().unwrap_or_else(|| panic!("{key} is {} in {run}", run[key]));
    assert_eq!(run["style"], style);
    assert_eq!(number("conns"), conns as f64);
    assert_eq!(number("errors"), 0.0, "{run}");
    assert!(number("procs") >= 1.0 && number("duration_s") > 0.0);
    assert!(number("requests") >= 1.0);
    assert!((number("rps") * number("duration_s") / number("requests") - 1.0).abs() < 0.01, "{run}");
    let latency = ["p50", "p90", "p99", "p999", "max"]
        .map(|key| run["latency_us"][key].as_f64().unwrap_or_else(|| panic!("{key} in {run}")));
    assert!(latency.is_sorted() && latency[0] > 0.0, "{latency:?}");
    assert!(number("os_threads_peak") >= 2.0);
    assert!(number("rss_bytes_per_conn") >= 0.0);
    assert!(number("server_cpu_us_per_req") > 0.0);
    let keys = run.as_object().unwrap();
    for key in ["mode", "goroutines_peak", "syscalls_per_req"] {
        assert!(keys.contains_key(key), "no {key} in {run}");
    }
    match style {
        "gort" => {
            assert!(run["mode"].is_string());
            assert!(number("goroutines_peak") >= conns as f64);
            assert!(number("os_threads_peak") <= number("procs") + 6.0, "{run}");
        }
        "threads" => assert!(number("os_threads_peak") >= conns as f64),
        _ => assert!(number("os_threads_peak") <= number("procs") + 2.0),
    }
    if style != "gort" {
        assert!(run["goroutines_peak"].is_null() && run["mode"].is_null());
        // A read and a write at least; less only by what happens while both ends are asked.
        assert!(number("syscalls_per_req") >= 1.5, "{run}");
    }
}

#[test]
fn json_is_one_object_with_the_promised_keys() {
    let output = finish(gort(&["fanout", "--conns", "50", "--duration", "1s", "--json"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "stderr of a run without anything to remark");
    check_run(&object(&text(&output.stdout)), "gort", 50);
}

#[test]
fn every_style_serves_alone() {
    for style in ["threads", "epoll"] {
        let args = ["fanout", "--conns", "50", "--duration", "500ms", "--json", "--style", style];
        check_run(&object(&success(gort(&args))), style, 50);
    }
}

#[test]
fn a_comparison_is_three_runs_in_one_object() {
    let all = object(&success(gort(&["fanout", "--conns", "50", "--duration", "500ms", "--compare", "--json"])));
    let runs = all["runs"].as_array().unwrap();
    for (run, style) in runs.iter().zip(["gort", "threads", "epoll"]) {
        check_run(run, style, 50);
    }
    assert_eq!(runs.len(), 3);
}

#[test]
fn the_report_for_people_fits_80_columns_and_has_no_escapes_in_a_pipe() {
    let single = success(gort(&["fanout", "--conns", "20", "--duration", "300ms"]));
    for word in ["connections", "requests/s", "p50", "p99.9", "max", "goroutines at peak", "OS threads at peak"] {
        assert!(single.contains(word), "no {word:?} in {single}");
    }
    for word in ["memory per connection", "server CPU per request", "#"] {
        assert!(single.contains(word), "no {word:?} in {single}");
    }
    assert!(single.lines().next().unwrap().contains("20 connections, a goroutine each"), "{single}");
    let all = success(gort(&["fanout", "--conns", "20", "--duration", "300ms", "--compare"]));
    for style in ["gort", "threads", "epoll"] {
        assert!(all.contains(style), "no {style} in {all}");
    }
    for report in [single, all] {
        assert!(!report.contains('\x1b'), "{report}");
        assert!(report.lines().all(|line| line.chars().count() <= 80), "{report}");
    }
}

#[test]
fn procs_are_the_servers() {
    for style in ["gort", "epoll"] {
        let args = ["fanout", "--conns", "10", "--duration", "200ms", "--procs", "1", "--style", style, "--json"];
        assert_eq!(object(&success(gort(&args)))["procs"], 1, "{style}");
    }
}

#[test]
fn a_rate_bounds_the_load() {
    let args = ["fanout", "--conns", "50", "--duration", "2s", "--rate", "500", "--json"];
    let run = object(&success(gort(&args)));
    assert_eq!(run["rate"], 500);
    // As fast as replies come would be many times as much. What a busy machine delays in the warm-up is made up for later.
    let rps = run["rps"].as_f64().unwrap();
    assert!((100.0..1000.0).contains(&rps), "{run}");
}

#[test]
fn large_and_tiny_messages_come_back_whole() {
    for size in ["1", "5000", "100000", "1048576"] {
        for style in ["gort", "threads", "epoll"] {
            let args = ["fanout", "--conns", "4", "--duration", "200ms", "--size", size, "--style", style, "--json"];
            let run = object(&success(gort(&args)));
            assert_eq!(run["errors"], 0, "{run}");
            assert_eq!(run["size"].to_string(), size);
            assert!(run["requests"].as_u64().unwrap() > 0, "{run}");
        }
    }
}
