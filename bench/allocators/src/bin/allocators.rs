//! What four global allocators cost goroutines, with `gort::alloc::Global` in front of them (wrapped) and without (bare).
//!
//! ```text
//! cargo run --release -p gort-bench-allocators                  all of them, some two minutes
//! cargo run --release -p gort-bench-allocators -- mimalloc …    those that are named
//! ```
//!
//! Prints the tables that stand in docs/ALLOCATORS.md.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use gort_bench_wire::Outcome;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ALL: [&str; 4] = ["system", "mimalloc", "jemalloc", "snmalloc"];
const COUNTS: [usize; 4] = [1, 1_000, 10_000, 100_000];
/// The middle one of so many counts.
const REPEATS: usize = 3;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| !ALL.contains(&name.as_str())) {
        eprintln!("allocators: {unknown:?} is none of {}", ALL.join(", "));
        return ExitCode::from(2);
    }
    let mut failed = false;
    for name in ALL.into_iter().filter(|name| asked.is_empty() || asked.iter().any(|one| one == name)) {
        if let Err(error) = one(name) {
            failed = true;
            println!("\n### {name}\n\nnot measured: {error}");
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn one(name: &str) -> Result<()> {
    let program = build(name)?;
    println!("\n### {name}\n");
    println!("| goroutines | ns per malloc + free, wrapped | bare | bytes each keeps, wrapped | bare |");
    println!("|---|---|---|---|---|");
    for count in COUNTS {
        let figures = ["wrapped", "bare"].map(|which| figures(&program, which, count));
        let column = |name: &str, digits: usize| {
            figures.clone().map(|figure| match figure {
                // Of one alone the memory is that of the program.
                Ok(_) if count == 1 && name != "ns" => "-".to_owned(),
                Ok(all) => {
                    let mut values: Vec<f64> = all.iter().filter_map(|one| one.metrics.get(name).copied()).collect();
                    values.sort_by(f64::total_cmp);
                    format!("{:.digits$}", values[values.len() / 2])
                }
                Err(why) => why,
            })
        };
        let ([wrapped, bare], [wrapped_bytes, bare_bytes]) = (column("ns", 1), column("allocator_bytes", 0));
        println!("| {count} | {wrapped} | {bare} | {wrapped_bytes} | {bare_bytes} |");
    }
    for which in ["wrapped", "bare"] {
        let output = worker(&program, which, 1).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = text.lines().filter(|line| line.starts_with("gort: ")).collect();
        println!("\n{which}, the start says: {}", if said.is_empty() { "nothing".to_owned() } else { said.join(" ") });
    }
    Ok(())
}

fn worker(program: &Path, which: &str, count: usize) -> Command {
    let mut command = Command::new(program);
    command.arg(which).arg(count.to_string()).env_remove("GORT_MODE").stdin(Stdio::null());
    command
}

fn figures(program: &Path, which: &str, count: usize) -> std::result::Result<Vec<Outcome>, String> {
    (0..REPEATS)
        .map(|_| {
            // What it would be if goroutines were not bound because of it.
            let output = worker(program, which, count).env("GORT_MODE", "migrating").output();
            let output = output.map_err(|error| error.to_string())?;
            let text = String::from_utf8_lossy(&output.stderr);
            let last = || text.lines().last().unwrap_or("it said nothing").to_owned();
            match output.status.success() {
                true => serde_json::from_slice(&output.stdout).map_err(|error| error.to_string()),
                false => Err(last()),
            }
        })
        .collect()
}

/// Builds the executable of one allocator with the release profile; it lies beside this one.
fn build(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().ok_or("this executable's folder")?;
    let target = folder.parent().ok_or("the target folder")?;
    let executable = format!("allocator-{name}");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--locked", "--package", env!("CARGO_PKG_NAME"), "--bin"]);
    command.arg(&executable).arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    if name != "system" {
        command.args(["--features", name]);
        needs(name)?;
    }
    match command.status()?.success() {
        true => Ok(target.join("release").join(executable)),
        false => Err(format!("{executable} cannot be built: cargo says why above").into()),
    }
}

/// What the crate's build script calls, if it is not there: its own words are not easy to understand.
fn needs(name: &str) -> Result<()> {
    let tools: &[(&str, &str)] = match name {
        "jemalloc" => &[("cc", "a C compiler"), ("make", "make")],
        "snmalloc" => &[("c++", "a C++ compiler")],
        _ => &[("cc", "a C compiler")],
    };
    for (tool, what) in tools {
        let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if found.is_err() {
            return Err(format!("{name} is built with {what}, and there is no {tool} in PATH").into());
        }
    }
    Ok(())
}
