use super::*;
use crate::token::tests::lex;

fn main(source: &str) -> Result<MainOptions<usize>, Error<usize>> {
    MainOptions::parse(&lex(source))
}

fn test(source: &str) -> Result<TestOptions<usize>, Error<usize>> {
    TestOptions::parse(&lex(source))
}

/// The source from where an error points to, and its text.
fn error<T: std::fmt::Debug>(source: &str, outcome: Result<T, Error<usize>>) -> (&str, String) {
    let error = outcome.expect_err(source);
    (&source[error.span..], error.message)
}

#[test]
fn nothing_given_is_the_default() {
    let options = main("").unwrap();
    assert!(options.allocator && !options.require_migrating && options.procs.is_none());
    assert_eq!(test("").unwrap(), TestOptions { procs: vec![], timeout_s: None });
}

#[test]
fn all_options_of_main_arrive_whatever_their_order() {
    for source in [
        "allocator = none, require = migrating, procs = 4, max_threads = 1_000, stack_size = 0x20000",
        "stack_size = 0x20000, procs = 4, max_threads = 1_000, require = migrating, allocator = none,",
    ] {
        let options = main(source).unwrap();
        assert!(!options.allocator && options.require_migrating);
        assert_eq!(options.procs.unwrap()[0].literal(), Some("4"));
        assert_eq!(options.max_threads.unwrap()[0].literal(), Some("1_000"));
        assert_eq!(options.stack_size.unwrap()[0].literal(), Some("0x20000"));
    }
}

#[test]
fn a_number_may_be_an_expression() {
    assert_eq!(main("stack_size = 1 << 20").unwrap().stack_size.unwrap().len(), 4);
    assert_eq!(main("procs = limits::PROCS").unwrap().procs.unwrap().len(), 4);
    assert_eq!(test("procs = [1, 1 + 1, N]").unwrap().procs.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 1]);
}

#[test]
fn procs_of_a_test_are_one_number_or_a_list() {
    let numbers = |source| -> Vec<String> {
        test(source).unwrap().procs.iter().map(|one| one[0].literal().unwrap().to_owned()).collect()
    };
    assert_eq!(numbers("procs = 1"), ["1"]);
    assert_eq!(numbers("procs = [1, 2, 4]"), ["1", "2", "4"]);
    assert_eq!(numbers("procs = [8,],"), ["8"]);
}

#[test]
fn a_timeout_is_seconds_or_text() {
    for (source, seconds) in [("30", 30), ("\"30s\"", 30), ("\"2m\"", 120), ("\"45\"", 45), ("1_000", 1000)] {
        let source = format!("timeout = {source}");
        assert_eq!(test(&source).unwrap().timeout_s, Some(seconds), "{source}");
    }
    for value in ["0", "\"0s\"", "\"500ms\"", "\"1h\"", "\"s\"", "1.5", "\"1441m\"", "soon", "-3", "10 s", "\"-1s\""] {
        let source = format!("timeout = {value}");
        let (at, message) = error(&source, test(&source));
        assert!(value.starts_with(at) || at.starts_with(value), "{source}: {at}");
        assert!(message.contains("`\"30s\"`"), "{message}");
    }
}

#[test]
fn an_unknown_option_is_refused_with_the_known_ones() {
    let source = "procs = 2, threads = 4";
    let (at, message) = error(source, main(source));
    assert_eq!(at, "threads = 4");
    assert_eq!(
        message,
        "`#[gort::main]` has no option `threads` (known: allocator, require, procs, max_threads, stack_size)"
    );
    let source = "allocator = none";
    let (_, message) = error(source, test(source));
    assert_eq!(message, "`#[gort::test]` has no option `allocator` (known: procs, timeout)");
    assert_eq!(
        error("4", main("4")),
        ("4", "expected the name of an option (known: allocator, require, procs, max_threads, stack_size)".to_owned())
    );
}

#[test]
fn an_option_given_twice_is_refused_at_the_second() {
    let source = "procs = 2, procs = 4";
    assert_eq!(error(source, main(source)), ("procs = 4", "the option `procs` is given twice".to_owned()));
}

#[test]
fn a_missing_value_is_refused_where_it_is_missing() {
    for (source, at) in [
        ("procs", "procs"),
        ("procs =", "="),
        ("procs 4", "4"),
        ("procs(4)", "(4)"),
        ("procs = , allocator = none", "= , allocator = none"),
        ("require", "require"),
    ] {
        let (found, message) = error(source, main(source));
        assert_eq!(found, at, "{source}");
        assert!(message.starts_with("expected a value: `"), "{message}");
    }
    for source in [",", "procs = 4,, allocator = none", ", procs = 4"] {
        assert_eq!(error(source, main(source)).1, "expected an option between the commas", "{source}");
    }
}

#[test]
fn numbers_out_of_range_are_refused_at_the_number() {
    for (source, at, message) in [
        ("procs = 0", "0", "`procs` must be within 1..=1024"),
        ("procs = 1025", "1025", "`procs` must be within 1..=1024"),
        ("procs = \"4\"", "\"4\"", "`procs` must be a number within 1..=1024"),
        ("procs = 1.5", "1.5", "`procs` must be a number within 1..=1024"),
        ("max_threads = 3", "3", "`max_threads` must be within 4..=16384"),
        ("stack_size = 4096", "4096", "`stack_size` must be within 65536..=1073741824"),
    ] {
        assert_eq!(error(source, main(source)), (at, message.to_owned()), "{source}");
    }
    for source in
        ["procs = [1, 0]", "procs = [1, 2000]", "procs = []", "procs = [,]", "procs = [1,,2]", "procs = [1] [2]"]
    {
        test(source).expect_err(source);
    }
}

#[test]
fn words_other_than_the_one_are_refused_with_the_way_out() {
    let (at, message) = error("allocator = jemalloc", main("allocator = jemalloc"));
    assert_eq!(at, "jemalloc");
    assert!(message.starts_with("expected `allocator = none`; to keep another allocator, put it into a"), "{message}");
    let (_, message) = error("require = bound", main("require = bound"));
    assert!(message.starts_with("expected `require = migrating`; leave `require` out"), "{message}");
    main("allocator = none none").expect_err("more than the word");
}
