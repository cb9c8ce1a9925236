//! What documents say of tests is true: each file and test that docs/SOUNDNESS.md and docs/ROBUSTNESS.md name is there.
//!
//! Names stand between backticks. A file: `it/host.rs`, `process/shutdown/`. A test by its module: `bad_days::an_end…`. A test by itself: a name with
//! three underscores or more. `…` cuts a name short.

use std::path::{Path, PathBuf};

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Whether it has a test, or another function, of this name. One that is cut short is a beginning.
    fn has(&self, name: &str) -> bool {
        let (name, end) = match name.strip_suffix('…') {
            Some(start) => (start, ""),
            None => (name, "("),
        };
        self.text.contains(&format!("fn {name}{end}"))
    }

    /// Whether it belongs to the module of this name.
    fn is_in(&self, module: &str) -> bool {
        self.path.contains(&format!("/{module}.rs")) || self.path.contains(&format!("/{module}/"))
    }
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(Source {
                text: std::fs::read_to_string(&path).unwrap(),
                path: path.to_str().unwrap().to_owned(),
            });
        }
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_…".contains(c))
}

/// What is wrong with a word between backticks; `None` if it names no test, or one that is there.
fn problem(word: &str, sources: &[Source]) -> Option<&'static str> {
    let is_path = |word: &str| word.split('/').all(|part| part.is_empty() || is_name(part.trim_end_matches(".rs")));
    let is_there = if (word.ends_with(".rs") || word.ends_with('/') && word.matches('/').count() >= 2) && is_path(word)
    {
        sources.iter().any(|source| source.path.contains(&format!("/{word}")))
    } else if let Some((module, test)) = word.rsplit_once("::").filter(|(_, test)| is_name(test) && test.contains('_'))
    {
        let module = module.rsplit("::").next().unwrap();
        // One of the language's, or of the library's.
        if module == "gort" || !sources.iter().any(|source| source.path.contains("/tests/") && source.is_in(module)) {
            return None;
        }
        sources.iter().any(|source| source.is_in(module) && source.has(test))
    } else if is_name(word) && !word.starts_with('_') && word.matches('_').count() >= 3 {
        sources.iter().any(|source| source.has(word))
    } else {
        return None;
    };
    (!is_there).then_some("is not there")
}

#[test]
fn what_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = Vec::new();
    collect(&root.join("crates"), &mut sources);
    let (mut named, mut wrong) = (0, Vec::new());
    for document in ["docs/SOUNDNESS.md", "docs/ROBUSTNESS.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            match problem(word, &sources) {
                Some(problem) => wrong.push(format!("{document}: `{word}` {problem}")),
                None => named += usize::from(word.contains('…') || word.ends_with(".rs")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Whoever changes how tests are named there changes this, too.
    assert!(named > 50, "only {named} names were understood");
}

#[test]
fn a_name_that_is_not_there_is_found() {
    let text = "fn a_b_c_d() {} fn slow_and_late() {}".to_owned();
    let sources = [Source { path: "/crates/gort/tests/process/late.rs".to_owned(), text }];
    for good in [
        "late::slow_and_late",
        "late::slow_a…",
        "a_b_c_d",
        "a_b_c…",
        "process/late.rs",
        "late.rs",
        "lock_os_thread",
        "std::panic_any",
    ] {
        assert!(problem(good, &sources).is_none(), "{good}");
    }
    for bad in ["late::slow_and", "late::quick_a…", "a_b_c_d_e", "process/early.rs", "early.rs", "process/shutdown/"]
    {
        assert!(problem(bad, &sources).is_some(), "{bad}");
    }
}
