use super::*;

fn parse(variables: &[(&str, &str)]) -> Result<(Config, Vec<UnknownVariable>), ConfigError> {
    Config::parse(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn config(name: &str, value: &str) -> Config {
    let (config, unknown) = parse(&[(name, value)]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(unknown, []);
    config
}

fn error(name: &str, value: &str) -> String {
    parse(&[(name, value)]).expect_err(value).to_string()
}

#[test]
fn nothing_set_gives_the_defaults() {
    let (config, unknown) = parse(&[("PATH", "/bin"), ("GORTEX", "1"), ("gort_seed", "x")]).unwrap();
    assert_eq!(config, Config::default());
    assert!(config.sigquit && config.membarrier && config.retake);
    assert_eq!((config.panic, config.mode, config.test_scale), (None, Mode::Auto, 1.0));
    assert_eq!(unknown, []);
}

#[test]
fn every_variable_arrives() {
    let (config, unknown) = parse(&[
        ("GORT_MAXPROCS", "4"),
        ("GORT_MAX_THREADS", "100"),
        ("GORT_STACK_SIZE", "1M"),
        ("GORT_PANIC", "abort"),
        ("GORT_DEADLOCK", "report"),
        ("GORT_WATCHDOG", "abort"),
        ("GORT_WATCHDOG_AFTER", "300ms"),
        ("GORT_SIGQUIT", "off"),
        ("GORT_PERTURB", "yield, move"),
        ("GORT_SEED", "0xdeadBEEF"),
        ("GORT_MODE", "bound"),
        ("GORT_MEMBARRIER", "off"),
        ("GORT_RETAKE", "off"),
        ("GORT_TEST_SCALE", "0.5"),
        ("GORT_HOG_NICE", "0"),
        ("GORT_THREAD_KEEP_ALIVE", "500ms"),
        ("GORT_TEST_TIMEOUT", "90s"),
        ("GORT_FS", "threads"),
    ])
    .unwrap();
    assert_eq!(unknown, []);
    let expected = Config {
        max_procs: Some(4),
        max_threads: Some(100),
        thread_keep_alive: Some(Duration::from_millis(500)),
        stack_size: Some(1 << 20),
        panic: Some(PanicPolicy::Abort),
        deadlock: DeadlockPolicy::Report,
        watchdog: Some(WatchdogPolicy::Abort),
        watchdog_after: Some(Duration::from_millis(300)),
        sigquit: false,
        fs: Some(Fs::Threads),
        perturb: Perturb { yields: true, moves: true, ..Perturb::default() },
        seed: Some(0xdead_beef),
        mode: Mode::Bound,
        membarrier: false,
        retake: false,
        hog_nice: Some(0),
        test_scale: 0.5,
        test_timeout: Some(Duration::from_secs(90)),
    };
    assert_eq!(config, expected);
}

#[test]
fn numbers_are_taken_up_to_their_bounds() {
    assert_eq!(config("GORT_MAXPROCS", "1").max_procs, Some(1));
    assert_eq!(config("GORT_MAXPROCS", " 1024 ").max_procs, Some(1024));
    assert_eq!(config("GORT_MAX_THREADS", "4").max_threads, Some(4));
    assert_eq!(config("GORT_SEED", "18446744073709551615").seed, Some(u64::MAX));
    assert_eq!(config("GORT_SEED", "0xffffffffffffffff").seed, Some(u64::MAX));
    assert_eq!(config("GORT_TEST_SCALE", "1000").test_scale, 1000.0);
}

#[test]
fn sizes_and_times_have_units() {
    for (text, bytes) in
        [("65536", 65536), ("64K", 65536), ("64kib", 65536), ("1m", 1 << 20), ("1G", 1 << 30), ("100000", 100_000)]
    {
        assert_eq!(config("GORT_STACK_SIZE", text).stack_size, Some(bytes), "{text}");
    }
    for (text, ms) in [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1440m", 86_400_000)] {
        assert_eq!(config("GORT_TEST_TIMEOUT", text).test_timeout, Some(Duration::from_millis(ms)), "{text}");
    }
}

#[test]
fn a_wrong_value_is_refused_with_variable_value_and_what_is_expected() {
    assert_eq!(
        error("GORT_MAXPROCS", "fuor"),
        "GORT_MAXPROCS: \"fuor\" is not a number (expected 1..=1024, or unset to follow the CPU quota)"
    );
    assert_eq!(
        error("GORT_STACK_SIZE", "4K"),
        "GORT_STACK_SIZE: \"4K\" is out of range (expected bytes such as 262144, 256K or 1M, 64K..=1G)"
    );
    assert_eq!(error("GORT_PANIC", "ignore"), "GORT_PANIC: \"ignore\" is not known (expected report or abort)");
}

#[test]
fn wrong_values_of_every_kind_are_refused() {
    for (name, values) in [
        ("GORT_MAXPROCS", &["0", "1025", "-1", "+4", "4.0", "4 4", "", " ", "99999999999999999999"][..]),
        ("GORT_MAX_THREADS", &["0", "3", "16385", "many"]),
        ("GORT_STACK_SIZE", &["0", "65535", "2G", "256X", "K", "1.5M", "-1M", "99999999999G", "64K64"]),
        ("GORT_PANIC", &["", "Report", "unwind"]),
        ("GORT_DEADLOCK", &["on", "Exit", ""]),
        ("GORT_SIGQUIT", &["1", "true", "ON", ""]),
        ("GORT_PERTURB", &["", "none", "yield,,wake", "yield;wake", "Yield"]),
        ("GORT_SEED", &["", "0x", "0xg", "-1", "18446744073709551616", "0x10000000000000000", "1e3"]),
        ("GORT_MODE", &["native", ""]),
        ("GORT_IDENTITY", &["b", ""]),
        ("GORT_MEMBARRIER", &["0"]),
        ("GORT_RETAKE", &["no"]),
        ("GORT_TEST_SCALE", &["0", "-1", "nan", "inf", "1001", "x"]),
        ("GORT_TEST_TIMEOUT", &["0", "0s", "30h", "1.5s", "s", "1441m", "-3"]),
    ] {
        for value in values {
            let message = error(name, value);
            assert!(message.starts_with(&format!("{name}: {value:?} ")), "{message}");
            assert!(message.contains(" (expected "), "{message}");
        }
    }
}

#[test]
fn a_value_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(vec![b'4', 0xff]);
    let message = Config::parse([("GORT_MAXPROCS".into(), value)]).unwrap_err().to_string();
    assert!(message.contains("is not text"), "{message}");
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_known_name() {
    for (name, nearest) in [
        ("GORT_MAXPROC", "GORT_MAXPROCS"),
        ("GORT_MAX_PROCS", "GORT_MAXPROCS"),
        ("GORT_THREADS", "GORT_MAX_THREADS"),
        ("GORT_STACKSIZE", "GORT_STACK_SIZE"),
        ("GORT_SIQQUIT", "GORT_SIGQUIT"),
        ("GORT_seed", "GORT_SEED"),
    ] {
        let (config, unknown) = parse(&[(name, "1")]).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(
            unknown[0].to_string(),
            format!("gort: the environment variable {name} is unknown and ignored (did you mean {nearest}?)")
        );
    }
    for name in ["GORT_SOMETHING_ELSE_ENTIRELY", "GORT_FOO", "GORT_", "GORT_SE", "GORT_NODE_ID"] {
        let (_, unknown) = parse(&[(name, "1")]).unwrap();
        let message = unknown[0].to_string();
        assert!(message.contains("known are GORT_MAXPROCS, ") && !message.contains("did you mean"), "{message}");
    }
}

#[test]
fn the_table_of_variables_at_the_head_of_the_module_is_complete() {
    let source = include_str!("../config.rs");
    for known in &KNOWN {
        assert!(source.contains(&format!("//! | `{}` |", known.name)), "{}", known.name);
    }
}
