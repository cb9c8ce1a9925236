//! Runs the tests on musl, where goroutines are bound to their threads.
//!
//! With the target installed (`rustup target add x86_64-unknown-linux-musl`) this is `cargo test --target`. Without it the standard library is built
//! from source: Debian's packages of one suite have a compiler, its sources and musl, all unpacked under `target/musl`; nothing is installed. (The
//! compiler is the distribution's since sources and compiler must be of one version.) The first time takes some minutes.

use crate::libcs::{Apt, output};
use crate::{Result, root, target};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-musl";
const SUITE: &str = "sid";
/// The compiler, what it is linked to, its sources, and what a program for musl is linked from.
const PACKAGES: [&str; 16] = [
    "rustc",
    "libstd-rust-dev",
    "rust-src",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libedit2",
    "libzstd1",
    "zlib1g",
    "libxml2-16",
    "libffi8",
    "libtinfo6",
    "libbsd0",
    "libmd0",
    "libz3-4",
    "musl-dev",
];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let compiler = if is_installed()? { None } else { Some(unpack()?) };
    let tests = if arguments.is_empty() { vec!["it"] } else { arguments.iter().map(String::as_str).collect() };
    let mut failed = Vec::new();
    for test in tests {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(["test", "--locked", "-p", "gort", "--target", TARGET, "--target-dir"])
            .arg(target()?.join("musl"));
        if let Some(rustc) = &compiler {
            // Crates that assemble a file ask for a compiler for musl, which any is that makes no calls.
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").env("CC_x86_64_unknown_linux_musl", "cc");
            command.arg("-Zbuild-std=std,panic_unwind,test");
        }
        command.args(["--test", test]);
        command.env("RUST_BACKTRACE", "0").env("GORT_TEST_SCALE", "20").env("GORT_TEST_TIMEOUT", "300s");
        ask_for_bound_mode(test, &mut command);
        if !command.current_dir(root()?).status()?.success() {
            failed.push(test);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("musl: FAILED: {}", failed.join(", ")).into()),
    }
}

/// The children of `process` are to say nothing but what their tests expect: one that is bound by its own choice says why.
pub(crate) fn ask_for_bound_mode(test: &str, command: &mut Command) {
    if test == "process" {
        // And none of them can ask for the other mode.
        command.env("GORT_MODE", "bound").env("ONLY_BOUND", "1");
    }
}

fn is_installed() -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let place = output(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))?;
    Ok(Path::new(place.trim()).exists())
}

/// Unpacks all of it; gives a program that runs the compiler.
fn unpack() -> Result<PathBuf> {
    let place = target()?.join("libcs/musl");
    let rustc = place.join("rustc");
    // It is made last.
    if rustc.exists() {
        return Ok(rustc);
    }
    let apt = Apt::prepare(&[SUITE])?;
    println!(
        "musl: the target is not installed; Debian's compiler and its sources ({SUITE}) go to {}",
        place.display()
    );
    // These carry their versions in their names.
    let std = apt.dependency("libstd-rust-dev", "libstd-rust-")?;
    let llvm = apt.dependency(&std, "libllvm")?;
    let unwind = format!("libunwind-{}-dev", llvm.trim_start_matches("libllvm"));
    let versioned = [std.as_str(), llvm.as_str(), unwind.as_str()];
    apt.fetch(SUITE, &[PACKAGES.as_slice(), versioned.as_slice()].concat(), &place)?;

    let sources = place.join("usr/src");
    let source = fs::read_dir(&sources)?.next().ok_or("musl: rust-src has no sources")??.path();
    let rustlib = place.join("usr/lib/rustlib");
    fs::create_dir_all(rustlib.join("src"))?;
    // The package's own points out of this folder.
    let link = rustlib.join("src/rust");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(source, link)?;
    link_against(&place, &rustlib.join(TARGET).join("lib/self-contained"))?;

    let libraries = place.join("usr/lib/x86_64-linux-gnu");
    let (libraries, root) = (libraries.display(), place.display());
    let script = format!(
        "#!/bin/sh\nexec {libraries}/ld-linux-x86-64.so.2 --library-path {libraries} {root}/usr/bin/rustc --sysroot {root}/usr \"$@\"\n"
    );
    fs::write(&rustc, script)?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    Ok(rustc)
}

/// What the installed target would bring to link against: musl, the compiler's ends of a program, and an unwinder.
fn link_against(place: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for file in ["crt1.o", "Scrt1.o", "rcrt1.o", "crti.o", "crtn.o", "libc.a"] {
        fs::copy(place.join("usr/lib/x86_64-linux-musl").join(file), folder.join(file))?;
    }
    for file in ["crtbegin.o", "crtend.o", "crtbeginS.o", "crtendS.o", "crtbeginT.o"] {
        let found = output(Command::new("cc").arg(format!("-print-file-name={file}")))?;
        fs::copy(found.trim(), folder.join(file))?;
    }
    let unwinder = folder.join("libunwind.a");
    fs::copy(place.join("usr/lib/x86_64-linux-gnu/libunwind.a"), &unwinder)?;
    // It was built for glibc and calls two functions that only that has.
    let (code, object) = (folder.join("checked.c"), folder.join("checked.o"));
    fs::write(&code, CHECKED)?;
    output(
        Command::new("cc").args(["-O2", "-U_FORTIFY_SOURCE", "-fno-builtin", "-c"]).arg(&code).arg("-o").arg(&object),
    )?;
    output(Command::new("ar").arg("r").arg(&unwinder).arg(&object))?;
    Ok(())
}

const CHECKED: &str = "\
#include <stdarg.h>
#include <stdio.h>
int __vfprintf_chk(FILE *f, int flag, const char *format, va_list list) { return vfprintf(f, format, list); }
int __vsnprintf_chk(char *s, unsigned long n, int flag, unsigned long size, const char *format, va_list list)
{ return vsnprintf(s, n, format, list); }
";
