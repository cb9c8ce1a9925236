//! Runs what thread identity rests on with other versions of the C library.
//!
//! gort looks for what it needs in the libc that is loaded, when a program starts. So one test binary is enough: it is run by the dynamic loader of
//! each version, with that version's libc. They come from the distribution's packages, by the machine's own `apt-get` and keys, and are unpacked
//! under `target/libcs`; nothing is installed.

use crate::{Result, root, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Suites with other versions than the machine's, unless some are named.
const SUITES: [&str; 2] = ["trixie", "sid"];
const MOVES: u64 = 1_000_000;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut suites, mut moves) = (Vec::new(), MOVES);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--moves" => {
                let value = rest.next().map_or("", String::as_str);
                moves = value.parse().map_err(|_| format!("libcs: --moves: {value:?} is no number"))?;
            }
            option if option.starts_with('-') => return Err(format!("libcs: unknown option {option}").into()),
            suite => suites.push(suite),
        }
    }
    if suites.is_empty() {
        suites.extend(SUITES);
    }
    let (it, mixture) = (build("it")?, build("mixture")?);
    let apt = Apt::prepare(&suites)?;
    let mut libcs = vec![Libc::of_machine()];
    for suite in suites {
        libcs.push(apt.unpack(suite)?);
    }
    let mut failed = Vec::new();
    for libc in &libcs {
        println!("\n== {}", libc.name);
        let mut identity = libc.command(&it);
        identity.args(["identity", "stack", "host", "goroutine_local"]);
        let mut mixed = libc.command(&mixture);
        mixed.args(["--seconds", "10", "--moves", &moves.max(1).to_string()]);
        for mut command in [identity, mixed] {
            // What identity cannot be had with would run in bound mode, and prove nothing.
            command.env("GORT_MODE", "migrating").env("GORT_PERTURB", "move").env("GORT_TEST_SCALE", "20");
            command.env("GORT_TEST_TIMEOUT", "600s").env("RUST_BACKTRACE", "0");
            if !command.status()?.success() {
                failed.push(libc.name.as_str());
            }
        }
    }
    let names: Vec<&str> = libcs.iter().map(|libc| libc.name.as_str()).collect();
    match failed.as_slice() {
        [] => {
            println!("\nlibcs: ok with {}", names.join(", "));
            Ok(())
        }
        failed => Err(format!("libcs: FAILED with {}", failed.join(", ")).into()),
    }
}

/// Builds a test program of gort's and gives its path.
fn build(test: &str) -> Result<PathBuf> {
    let arguments =
        ["test", "--release", "--locked", "-p", "gort", "--no-run", "--message-format=json", "--test", test];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()?).output()?;
    if !output.status.success() {
        return Err(format!("cargo {}:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)).into());
    }
    // One JSON object for each line; the executable's is the last that has one.
    let text = String::from_utf8(output.stdout)?;
    let executable = text.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    executable.ok_or_else(|| format!("cargo names no executable for --test {test}").into())
}

/// A C library and its loader; the machine's own has none that we need to name.
struct Libc {
    name: String,
    loader: Option<(PathBuf, String)>,
}

impl Libc {
    fn of_machine() -> Self {
        let version = output(Command::new("ldd").arg("--version")).unwrap_or_default();
        Self { name: version.lines().next().unwrap_or("the machine's libc").to_owned(), loader: None }
    }

    fn command(&self, program: &Path) -> Command {
        match &self.loader {
            None => Command::new(program),
            Some((loader, path)) => {
                let mut command = Command::new(loader);
                command.arg("--library-path").arg(path).arg(program);
                command
            }
        }
    }
}

/// The package manager, with lists of its own.
pub(crate) struct Apt {
    place: PathBuf,
}

impl Apt {
    pub(crate) fn prepare(suites: &[&str]) -> Result<Self> {
        let place = target()?.join("libcs");
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(place.join(folder))?;
        }
        let sites = output(Command::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(SITE)"]))
            .map_err(|error| format!("libcs: this needs Debian's apt-get ({error}), and lists: apt-get update"))?;
        let site =
            sites.lines().filter_map(|line| line.strip_prefix("Debian ")).find(|site| !site.contains("security"));
        let site = site.ok_or("libcs: apt-get knows no source of Debian's packages (try apt-get update)")?;
        let keys = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
        let keys = if keys.exists() { format!("[signed-by={}] ", keys.display()) } else { String::new() };
        let sources: String = suites.iter().map(|suite| format!("deb {keys}{site} {suite} main\n")).collect();
        fs::write(place.join("sources.list"), sources)?;
        let apt = Self { place };
        println!("libcs: package lists of {}", suites.join(", "));
        output(apt.get().args(["-q", "update"]))?;
        Ok(apt)
    }

    fn get(&self) -> Command {
        self.command("apt-get")
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.args(["-o", "Dir::Etc::sourceparts=/dev/null", "-o", "APT::Sandbox::User=root"]);
        for (what, at) in [("State::lists", "lists"), ("Cache", "cache"), ("Etc::sourcelist", "sources.list")] {
            command.arg("-o").arg(format!("Dir::{what}={}", self.place.join(at).display()));
        }
        command
    }

    /// Unpacks packages of a suite into an empty folder; the packages themselves stay beside what was in them.
    pub(crate) fn fetch(&self, suite: &str, packages: &[&str], folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        for package in packages {
            output(self.get().args(["-q", "download", &format!("{package}/{suite}")]).current_dir(folder))?;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "deb") {
                output(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder))?;
            }
        }
        Ok(())
    }

    /// The package that `package` depends on and whose name starts so.
    pub(crate) fn dependency(&self, package: &str, start: &str) -> Result<String> {
        let text = output(self.command("apt-cache").args(["depends", package]))?;
        let mut names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let found = names.find(|name| name.starts_with(start));
        found.map(str::to_owned).ok_or_else(|| format!("{package} depends on no {start}…").into())
    }

    /// The libc of a suite, and beside it the one other library that a test program needs: the compiler's for unwinding.
    fn unpack(&self, suite: &str) -> Result<Libc> {
        let folder = self.place.join(suite);
        self.fetch(suite, &["libc6", "libgcc-s1"], &folder)?;
        let mut version = String::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if let Some(rest) = name.strip_prefix("libc6_") {
                version = rest.split('_').next().unwrap_or(rest).to_owned();
            }
        }
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|at| folder.join(at));
        let loader = libraries.iter().map(|at| at.join("ld-linux-x86-64.so.2")).find(|loader| loader.exists());
        let loader = loader.ok_or_else(|| format!("libcs: no loader in the libc6 of {suite}"))?;
        let path = libraries.map(|at| at.display().to_string()).join(":");
        Ok(Libc { name: format!("glibc {version} ({suite})"), loader: Some((loader, path)) })
    }
}

/// Runs a command and gives what it prints, or an error that has what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
