//! The import rule of docs/ARCHITECTURE.md: a folder of the crate uses only folders below it.

use std::path::{Path, PathBuf};

/// From the bottom up. What stands in one row may use each other.
const LAYERS: &[&[&str]] = &[
    &["sys"],
    &["prim", "config"],
    &["stack"],
    // A timer's target is a goroutine or a descriptor, and both records hold the word that the timer looks at.
    &["g", "timer", "netpoll", "uring"],
    // The scheduler ends goroutines (`spawn::join`, `spawn::scope`) and keeps the allocator's magazines; a dump reads its state.
    // A context is inherited by spawns, ends joins, and starts goroutines itself.
    &["sched", "dump", "spawn", "alloc", "context"],
    &["handle", "wait"],
    &["net", "io", "fs", "chan", "sync", "time", "runtime", "blocking", "host", "deep", "process", "signal"],
    &["testing"],
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Names of modules in `crate::…` paths of a line, groups in braces included.
fn used(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(character),
                    _ => {}
                }
            }
            names.push(name);
        } else {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    names.into_iter().map(|name| name.trim().split("::").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in found {
        let relative = path.strip_prefix(&source).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if first == "lib" || relative.iter().any(|part| part == "tests.rs" || part == "tests") {
            continue;
        }
        let here = layer_of(first).unwrap_or_else(|| panic!("{} is in no layer: add it to LAYERS", relative.display()));
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for name in used(line).iter().filter_map(|name| layer_of(name).map(|layer| (name, layer))) {
                seen += 1;
                if name.1 > here {
                    wrong.push(format!("{}:{} uses {}", relative.display(), number + 1, name.0));
                }
            }
        }
    }
    assert!(seen > 100, "the test has lost sight of the imports");
    assert!(wrong.is_empty(), "upward imports:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_reads_them() {
    assert_eq!(used("use crate::{a::B, c::{D, E}, f};"), ["a", "c", "f"]);
    assert_eq!(used("crate::sched::park(crate::g::X)"), ["sched", "g"]);
}
