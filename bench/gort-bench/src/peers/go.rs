//! Go, if there is one: `GO=path` or `go` in `PATH`. Only its standard library is used, so nothing is downloaded.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{Peer, target_dir, workspace};

/// Finds Go and builds the workloads with it.
pub fn build() -> Result<Peer> {
    let go = find()?;
    let version = run(Command::new(&go).arg("version")).with_context(|| format!("{} version", go.display()))?;
    let exe = target_dir()?.join("go").join("gort-bench-go");
    run(Command::new(&go)
        .args(["build", "-o"])
        .arg(&exe)
        .arg(".")
        .current_dir(workspace().join("go"))
        .env("GOFLAGS", "-mod=mod")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0"))
    .with_context(|| format!("{} build, in bench/go", go.display()))?;
    Ok(Peer { exe, version: version.trim().trim_start_matches("go version ").to_owned() })
}

fn find() -> Result<OsString> {
    if let Some(go) = std::env::var_os("GO").filter(|go| !go.is_empty()) {
        return Ok(go);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("go")).find(|go| is_file(go));
    match found {
        Some(go) => Ok(go.into()),
        None => bail!("no Go found (put `go` into PATH or name it with GO=path)"),
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().context("cannot be run")?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
