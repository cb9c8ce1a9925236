//! Whatever is wrong with the command line is said by name before anything starts.

use super::*;

#[test]
fn a_bad_value_is_named_and_nothing_starts() {
    for (args, names) in [
        (&["fanout", "--conns", "0"][..], &["--conns", "0"][..]),
        (&["fanout", "--conns", "many"], &["--conns", "many"]),
        (&["fanout", "--size", "0"], &["--size", "0"]),
        (&["fanout", "--size", "9999999999"], &["--size", "9999999999"]),
        (&["fanout", "--rate", "0"], &["--rate", "0"]),
        (&["fanout", "--procs", "0"], &["--procs", "0"]),
        (&["fanout", "--duration", "soon"], &["--duration", "soon"]),
        (&["fanout", "--duration", "5"], &["--duration", "5", "5s"]),
        (&["fanout", "--duration", "0s"], &["--duration", "0s", "10ms"]),
        (&["fanout", "--style", "fibers"], &["--style", "fibers", "gort", "threads", "epoll"]),
        (&["fanout", "--style", "epoll", "--compare"], &["--style", "--compare"]),
        (&["fanout", "--frob"], &["--frob"]),
        (&["load", "--addr", "nowhere"], &["--addr", "nowhere", "NAME:PORT"]),
        (&["load", "--addr", "127.0.0.1"], &["--addr", "127.0.0.1", "IP:PORT"]),
        (&["serve-echo", "--addr", "no.such.name.invalid:7000"], &["--addr", "no.such.name.invalid:7000"]),
        (&["load", "--conns", "5"], &["--addr"]),
        (&["serve-echo"], &["--addr"]),
        (&["serve-echo", "--addr", "127.0.0.1:0", "--style", "magic"], &["--style", "magic"]),
        (&["dance"], &["dance"]),
    ] {
        let said = failure(gort(args));
        for name in names {
            assert!(said.contains(name), "{args:?}: no {name:?} in {said}");
        }
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}

#[test]
fn too_many_connections_are_refused_with_the_limit_and_the_ways_to_raise_it() {
    let json = failure(gort_after("ulimit -n 200", &["fanout", "--conns", "5000", "--json"]));
    let load = failure(gort_after("ulimit -n 200", &["load", "--addr", "127.0.0.1:9", "--conns", "5000"]));
    for said in [json, load] {
        for name in ["--conns 5000", "200", "ulimit -Hn", "LimitNOFILE", "limits.conf"] {
            assert!(said.contains(name), "no {name:?} in {said}");
        }
    }
}

#[test]
fn the_default_number_of_connections_follows_the_limit_and_says_so_on_one_line() {
    let output = finish(gort_after("ulimit -n 120", &["fanout", "--duration", "100ms", "--json"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("instead of 5,000") && said.contains("120"), "{said}");
    let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!((1..120).contains(&run["conns"].as_u64().unwrap()), "{run}");
}

#[test]
fn the_soft_limit_alone_is_no_obstacle() {
    let args = ["fanout", "--conns", "150", "--duration", "100ms", "--json"];
    let run: serde_json::Value = serde_json::from_str(&success(gort_after("ulimit -Sn 100", &args))).unwrap();
    assert_eq!(run["conns"], 150);
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = success(gort(&["--help"]));
    for command in ["fanout", "serve-echo", "load", "demo"] {
        assert!(help.contains(command), "{help}");
    }
    let fanout = success(gort(&["fanout", "--help"]));
    for option in ["--conns", "--duration", "--size", "--rate", "--procs", "--style", "--compare", "--json"] {
        assert!(fanout.contains(option), "{fanout}");
    }
    assert!(!fanout.contains("--control"), "{fanout}");
    assert!(success(gort(&["--version"])).starts_with("gort "));
}

/// `gort … | head -1`: the reader has what it wanted, so that is no failure, and nothing is said of it.
#[test]
fn a_reader_that_has_left_is_no_failure() {
    for args in [&["--help"][..], &["--version"], &["load", "--help"], &["serve-echo", "--addr", "127.0.0.1:0"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = gort(args);
        command.stdout(writer);
        let output = finish(command);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {} {said}", output.status);
        assert!(!said.contains("panicked") && !said.contains("pipe"), "{args:?}: {said}");
    }
}
