//! Shows that each model can fail: builds the crate with one protocol weakened at a time and runs the models of its
//! module. `cargo run -p gort-lockfree --example mutate [part of a name]`.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};

#[path = "../src/mutations.rs"]
mod mutations;

/// Builds with `mutation` and runs the models of `module`. Returns those that passed and those that failed.
fn run(mutation: &str, module: &str) -> (Vec<String>, Vec<String>) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "-p", "gort-lockfree", "--lib", "--", &format!("{module}::model::")])
        .env("GORT_MUTATE", mutation)
        .env("RUSTFLAGS", "--cfg gort_loom")
        .output()
        .expect("cargo cannot be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let ending = |verdict: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(verdict));
        lines.map(str::to_owned).collect()
    };
    let (passed, failed) = (ending(" ... ok"), ending(" ... FAILED"));
    if passed.is_empty() && failed.is_empty() {
        panic!("nothing ran with {mutation}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    (passed, failed)
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mut survivors = Vec::new();
    let (mut never_failed, mut ever_failed) = (BTreeSet::new(), BTreeSet::new());
    for (mutation, model) in mutations::MUTATIONS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let module = model.split("::").next().expect("a model has a path");
        let (passed, failed) = run(mutation, module);
        println!("{mutation}: {} of {} models fail", failed.len(), failed.len() + passed.len());
        failed.iter().for_each(|failed| println!("    {failed}"));
        if !failed.iter().any(|failed| failed == model) {
            println!("    SURVIVED {model}");
            survivors.push(mutation);
        }
        never_failed.extend(passed);
        ever_failed.extend(failed);
    }
    never_failed.retain(|model| !ever_failed.contains(model));
    println!("models that failed under no mutation: {never_failed:?}");
    println!("mutations that survived: {survivors:?}");
    if survivors.is_empty() && (never_failed.is_empty() || !wanted.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
