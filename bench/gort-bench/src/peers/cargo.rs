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

/// Builds a package with the release profile and finds its executable.
pub fn build(package: &str) -> Result<Peer> {
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
    let exe = built.with_context(|| format!("cargo built no executable for {package}"))?;
    Ok(Peer { exe, version: commit().unwrap_or_else(|| "version unknown".to_owned()) })
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
