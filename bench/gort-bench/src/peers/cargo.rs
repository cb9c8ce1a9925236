//! Peers written in Rust: packages of this workspace, each with its own dependencies and allocator.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{Peer, target_dir, workspace};

/// What cargo says of each thing it built; other messages have other fields.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    package_id: Option<String>,
}

/// Builds the package that is made of this repository's own crates.
pub fn build_ours(package: &str) -> Result<Peer> {
    Ok(Peer { exe: executable(package)?, version: commit().unwrap_or_else(|| "version unknown".to_owned()) })
}

/// Builds a package that is made to measure these crates.
pub fn build(package: &str, crates: &[&str]) -> Result<Peer> {
    let exe = executable(package)?;
    let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let versions: Vec<_> =
        crates.iter().map(|name| format!("{name} {}", locked(&lock, name).unwrap_or("of unknown version"))).collect();
    Ok(Peer { exe, version: versions.join(" on ") })
}

/// Builds with the release profile, and says where the executable is.
fn executable(package: &str) -> Result<PathBuf> {
    // Set by `cargo run`.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(&cargo)
        .args(["build", "--release", "--message-format=json-render-diagnostics", "--package", package])
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir()?)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", cargo.display()))?;
    if !output.status.success() {
        bail!("{package} cannot be built: see above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .find_map(|message| message.package_id?.contains(package).then_some(message.executable?));
    built.with_context(|| format!("cargo built no executable for {package}"))
}

/// The version of a crate in a lock file.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, package) = lock.split_once(&format!("name = \"{name}\"\n"))?;
    package.lines().next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

/// Which state of the repository this is.
fn commit() -> Option<String> {
    let git = Command::new("git")
        .arg("-C")
        .arg(workspace())
        .args(["describe", "--always", "--dirty", "--tags"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(git.stdout).ok()?;
    (git.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_that_is_measured_is_in_the_lock_file() {
        let lock = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
        for name in ["crossbeam-channel", "flume", "kanal", "may", "parking_lot", "tokio"] {
            assert!(locked(&lock, name).is_some_and(|version| version.contains('.')), "{name}");
        }
        assert_eq!(locked(&lock, "tok"), None);
    }
}
