//! Runs the tests that crossbeam-channel publishes with its crate against `gort::chan`.
//!
//! Everything happens under `target/rival-tests`: the crate comes from the registry, its tests are copied with the name of the crate replaced, and
//! a package made around them is tested. Nothing of it becomes part of this repository.
//!
//! What cannot pass stands in [`EXCEPTIONS`] and [`CHANGES`], each with its reason; docs/RIVAL-TESTS.md says the same to readers.

use crate::{Result, root, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RIVAL: &str = "crossbeam-channel";
const VERSION: &str = "0.5.17";

/// What is replaced in every test file, in this order.
const REPLACEMENTS: &[(&str, &str)] = &[
    // Its `select!` and `select_biased!` come to this one; the file that uses it directly writes what `select!` takes.
    ("cc::crossbeam_channel_internal!", "gort::select!"),
    ("crossbeam_channel", "gort::chan"),
];

/// What is replaced besides with `--goroutines`.
const ON_GOROUTINES: &[(&str, &str)] = &[
    ("crossbeam_utils::thread::scope", "rival_tests::scope"),
    ("::std::thread::spawn(", "gort::go("),
    ("thread::spawn(", "gort::go("),
    ("thread::sleep(", "gort::sleep("),
    ("thread::yield_now(", "gort::yield_now("),
    ("use std::thread::JoinHandle;", "use gort::JoinHandle;"),
];

/// Tests that are not run: file, test, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Places that are changed before a file can be compiled: file, what stands there, what is put there, reason.
const CHANGES: &[(&str, &str, &str, &str)] = &[(
    "array",
    "    // Elements after the panicked element will leak.\n    assert!(!b);",
    "    assert!(b);",
    "values after one whose drop panics are dropped, not leaked",
)];

/// What the package around the tests needs, as the rival's own manifest says.
const DEPENDENCIES: &str = "crossbeam-utils = \"0.8\"\nnum_cpus = \"1.13\"\nrand = \"0.8\"\nsignal-hook = \"0.3\"\n";

/// For the tests on goroutines: crossbeam-utils' scope over gort's.
const SHIM: &str = "\
//! Scoped goroutines with the signatures of crossbeam-utils' scoped threads.

pub struct Scope<'scope, 'env>(&'scope gort::Scope<'scope, 'env>);

impl<'scope, 'env> Scope<'scope, 'env> {
    pub fn spawn<F, T>(&self, f: F) -> gort::ScopedJoinHandle<'scope, T>
    where
        F: FnOnce(()) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.0.spawn(move || f(()))
    }
}

pub fn scope<'env, F, R>(f: F) -> std::thread::Result<R>
where
    F: for<'scope> FnOnce(Scope<'scope, 'env>) -> R,
{
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| gort::scope(|s| f(Scope(s)))))
}
";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let on_goroutines = arguments.iter().any(|argument| argument == "--goroutines");
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = arguments.iter().find(|argument| argument.starts_with("--") && *argument != "--goroutines") {
        return Err(format!("rival-tests: unknown option {unknown}").into());
    }
    let root = root()?;
    let place = target()?.join("rival-tests");
    let rival = fetch(&place)?;
    let package = place.join(if on_goroutines { "goroutines" } else { "threads" });
    let files = write_package(root, &rival, &package, on_goroutines)?;
    let mut failed = Vec::new();
    for file in files.iter().filter(|file| named.is_empty() || named.contains(file)) {
        println!("== {RIVAL} {VERSION}: tests/{file}.rs");
        if !test(&package, &place, file)? {
            failed.push(file.as_str());
        }
    }
    for (file, test, reason) in EXCEPTIONS {
        println!("not run: {file}::{test}: {reason}");
    }
    for (file, _, _, reason) in CHANGES {
        println!("changed: {file}: {reason}");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("rival-tests: failed: {}", failed.join(", ")).into()) }
}

/// Unpacks the published crate; returns its folder.
fn fetch(place: &Path) -> Result<PathBuf> {
    let vendored = place.join("vendor").join(RIVAL);
    let manifest = fs::read_to_string(vendored.join("Cargo.toml")).unwrap_or_default();
    if manifest.contains(&format!("version = \"{VERSION}\"")) {
        return Ok(vendored);
    }
    let scratch = place.join("fetch");
    fs::create_dir_all(scratch.join("src"))?;
    fs::write(scratch.join("src/lib.rs"), "")?;
    fs::write(
        scratch.join("Cargo.toml"),
        format!(
            "[package]\nname = \"fetch\"\nedition = \"2021\"\n\n[dependencies]\n{RIVAL} = \"={VERSION}\"\n\n[workspace]\n"
        ),
    )?;
    let status = cargo().arg("vendor").arg("--quiet").arg(place.join("vendor")).current_dir(&scratch).output()?;
    if !status.status.success() {
        return Err(format!("rival-tests: cargo vendor failed:\n{}", String::from_utf8_lossy(&status.stderr)).into());
    }
    Ok(vendored)
}

/// Writes the package with the rewritten tests; returns the names of the test files.
fn write_package(root: &Path, rival: &Path, package: &Path, on_goroutines: bool) -> Result<Vec<String>> {
    let tests = package.join("tests");
    fs::create_dir_all(package.join("src"))?;
    // What an older version has left goes.
    if tests.exists() {
        fs::remove_dir_all(&tests)?;
    }
    fs::create_dir_all(&tests)?;
    let manifest = fs::read_to_string(rival.join("Cargo.toml"))?;
    let edition = manifest.lines().find(|line| line.starts_with("edition = ")).ok_or("an edition")?;
    let gort = root.join("crates/gort");
    fs::write(
        package.join("Cargo.toml"),
        format!(
            "[package]\nname = \"rival-tests\"\n{edition}\n\n[dependencies]\ngort = {{ path = {gort:?} }}\n{DEPENDENCIES}\n[workspace]\n"
        ),
    )?;
    fs::write(package.join("src/lib.rs"), if on_goroutines { SHIM } else { "" })?;
    let mut names = Vec::new();
    for entry in fs::read_dir(rival.join("tests"))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".rs")) else { continue };
        let mut text = fs::read_to_string(&path)?;
        for (_, from, to, _) in CHANGES.iter().filter(|(file, ..)| *file == name) {
            if !text.contains(from) {
                return Err(format!("rival-tests: {name}.rs does not contain {from:?} any more").into());
            }
            text = text.replace(from, to);
        }
        let more = if on_goroutines { ON_GOROUTINES } else { &[] };
        for (from, to) in REPLACEMENTS.iter().chain(more) {
            text = text.replace(from, to);
        }
        fs::write(tests.join(format!("{name}.rs")), text)?;
        names.push(name.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// True: all tests of a file that were to be run have passed.
fn test(package: &Path, place: &Path, file: &str) -> Result<bool> {
    let mut command = cargo();
    command.args(["test", "--quiet", "--test", file]).current_dir(package);
    // The rival's code, and the names that goroutines do not use.
    command.env("CARGO_TARGET_DIR", place.join("target")).env("RUSTFLAGS", "--cap-lints allow");
    command.args(["--", "--exact"]);
    for (_, test, _) in EXCEPTIONS.iter().filter(|(of, ..)| *of == file) {
        command.args(["--skip", test]);
    }
    Ok(command.status()?.success())
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
