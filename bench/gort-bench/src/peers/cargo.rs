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
    let version = |name: &&str| format!("{name} {}", locked(&lock, package, name).unwrap_or("of unknown version"));
    let versions: Vec<_> = crates.iter().map(version).collect();
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

/// The version of a crate that `user` depends on, from the text of a lock file.
fn locked<'a>(lock: &'a str, user: &str, name: &str) -> Option<&'a str> {
    let package = |name: &str| {
        let (_, text) = lock.split_once(&format!("\nname = \"{name}\"\n"))?;
        Some(text.split("[[package]]").next().unwrap_or(text))
    };
    let dependency = package(user)?.lines().map(|line| line.trim_matches([' ', '"', ',']));
    match dependency.filter_map(|line| line.strip_prefix(name)).find(|rest| rest.is_empty() || rest.starts_with(' '))? {
        // There is but one version of it.
        "" => {
            package(name)?.lines().find_map(|line| line.strip_prefix("version = ")).map(|text| text.trim_matches('"'))
        }
        version => Some(version.trim_start()),
    }
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

    const LOCK: &str = r#"
[[package]]
name = "peer"
version = "0.1.0"
dependencies = [
 "kanal-extra 9.0.0",
 "kanal",
 "tokio 2.0.0",
]

[[package]]
name = "kanal"
version = "0.1.1"

[[package]]
name = "tokio"
version = "1.0.0"

[[package]]
name = "tokio"
version = "2.0.0"
"#;

    #[test]
    fn of_several_versions_the_one_that_the_peer_uses_is_told() {
        assert_eq!(locked(LOCK, "peer", "kanal"), Some("0.1.1"));
        assert_eq!(locked(LOCK, "peer", "tokio"), Some("2.0.0"));
        assert_eq!(locked(LOCK, "peer", "flume"), None);
        assert_eq!(locked(LOCK, "nobody", "kanal"), None);
    }
}
