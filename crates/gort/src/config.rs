//! The settings that `GORT_*` environment variables give.
//!
//! | variable | values | without it |
//! |---|---|---|
//! | `GORT_MAXPROCS` | 1..=1024 | affinity mask and CPU quota |
//! | `GORT_MAX_THREADS` | 4..=16384 | by the free memory maps |
//! | `GORT_THREAD_KEEP_ALIVE` | a time such as `10s` | `10s` |
//! | `GORT_STACK_SIZE` | 64K..=1G | 256K |
//! | `GORT_PANIC` | `report`, `abort` | `report` |
//! | `GORT_DEADLOCK` | `exit`, `report`, `off` | `exit` |
//! | `GORT_SIGQUIT` | `on`, `off` | `on` |
//! | `GORT_WATCHDOG` | `off`, `log`, `abort` | `log` |
//! | `GORT_WATCHDOG_AFTER` | a time such as `30s` | 5s |
//! | `GORT_PERTURB` | list of `yield`, `steal`, `move`, `wake` | none |
//! | `GORT_SEED` | a number of 64 bits | drawn |
//! | `GORT_MODE` | `auto`, `migrating` or `bound` | `auto` |
//! | `GORT_IDENTITY` | `a` | `a` |
//! | `GORT_FS` | `auto`, `uring`, `threads` | `auto` |
//! | `GORT_MEMBARRIER` | `on`, `off` | `on` |
//! | `GORT_HOG_NICE` | 0..=19 | 10 |
//! | `GORT_RETAKE` | `on`, `off` | `on` |
//! | `GORT_TEST_SCALE` | a factor above 0 | 1 |
//! | `GORT_TEST_TIMEOUT` | a time such as `30s` | what the test says |
//!
//! A wrong value is an error that says which variable, which value and what is expected; it is never replaced by a default. An unknown
//! `GORT_*` variable is a warning only: it may be meant for another version, and refusing it would make one environment unfit for two programs.

use crate::sys::cpu::MAX_PROCS;
use std::{
    error,
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Write},
    time::Duration,
};

/// Least and most bytes of a stack.
pub(crate) const STACK_BYTES: (u64, u64) = (64 << 10, 1 << 30);

/// Fewest and most threads that a limit may allow: one that runs goroutines, one that watches, and two to stand in for stuck ones.
pub(crate) const THREADS: (u64, u64) = (4, 16_384);

/// What the environment asks for. `None` means that it says nothing.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Config {
    pub(crate) max_procs: Option<usize>,
    pub(crate) max_threads: Option<usize>,
    /// How long idle threads are kept.
    pub(crate) thread_keep_alive: Option<Duration>,
    /// In bytes; within [`STACK_BYTES`], not yet rounded.
    pub(crate) stack_size: Option<usize>,
    /// Kept apart from the default, because it wins over what the program asks for.
    pub(crate) panic: Option<PanicPolicy>,
    /// What a deadlock of all goroutines does.
    pub(crate) deadlock: DeadlockPolicy,
    /// What the watchdog does; apart from the default, as `panic`.
    pub(crate) watchdog: Option<WatchdogPolicy>,
    /// After what time. As above.
    pub(crate) watchdog_after: Option<Duration>,
    /// Whether SIGQUIT prints the goroutines.
    pub(crate) sigquit: bool,
    pub(crate) perturb: Perturb,
    pub(crate) seed: Option<u64>,
    pub(crate) mode: Mode,
    pub(crate) fs: Option<Fs>,
    /// Whether `membarrier` may be used where the kernel has it.
    pub(crate) membarrier: bool,
    /// Whether sysmon takes Ps from stuck threads.
    pub(crate) retake: bool,
    /// By how much goroutines that compute without a P are made nice.
    pub(crate) hog_nice: Option<u8>,
    /// Factor on the amount of work that tests do.
    pub(crate) test_scale: f64,
    /// Time limit of every test, instead of what it says itself.
    pub(crate) test_timeout: Option<Duration>,
}

/// What a panic that no one joins does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PanicPolicy {
    /// It is printed, and the process goes on.
    Report,
    /// It is printed, and the process ends.
    Abort,
}

/// What is done when all goroutines are asleep for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum DeadlockPolicy {
    /// It is printed with a dump, and the process ends with status 2.
    #[default]
    Exit,
    /// It is printed with a dump.
    Report,
    /// Nobody looks.
    Off,
}

/// What is done about a goroutine that keeps its thread for long, and the like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum WatchdogPolicy {
    /// Nobody looks.
    Off,
    /// It is printed.
    #[default]
    Log,
    /// It is printed, and the process ends.
    Abort,
}

/// How goroutines are tied to threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mode {
    /// Migrating where the self-check allows it.
    #[default]
    Auto,
    /// Migrating or nothing.
    Migrating,
    /// Bound to the thread that first runs them.
    Bound,
}

/// What waits for disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Fs {
    /// io_uring where it can be had.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// Threads.
    Threads,
}

/// Which rare interleavings are made frequent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Perturb {
    pub(crate) yields: bool,
    pub(crate) steals: bool,
    pub(crate) moves: bool,
    pub(crate) wakes: bool,
}

/// A variable with a value that it cannot have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConfigError {
    variable: &'static str,
    value: String,
    problem: &'static str,
    expected: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {} (expected {})", self.variable, self.value, self.problem, self.expected)
    }
}

impl error::Error for ConfigError {}

/// A variable that gort does not know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UnknownVariable {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gort: the environment variable {} is unknown and ignored", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, " (did you mean {nearest}?)"),
            None => write!(f, " (known are {})", KNOWN.each_ref().map(|known| known.name).join(", ")),
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_procs: None,
            max_threads: None,
            thread_keep_alive: None,
            stack_size: None,
            panic: None,
            deadlock: DeadlockPolicy::Exit,
            watchdog: None,
            watchdog_after: None,
            sigquit: true,
            perturb: Perturb::default(),
            seed: None,
            mode: Mode::Auto,
            fs: None,
            membarrier: true,
            retake: true,
            hog_nice: None,
            test_scale: 1.0,
            test_timeout: None,
        }
    }
}

/// A variable, what it may hold, and how it gets into a [`Config`].
struct Variable {
    name: &'static str,
    expected: &'static str,
    apply: fn(&mut Config, &str) -> Result<(), &'static str>,
}

#[rustfmt::skip]
static KNOWN: [Variable; 19] = [
    Variable {
        name: "GORT_MAXPROCS",
        expected: "1..=1024, or unset to follow the CPU quota",
        apply: |config, text| { config.max_procs = Some(whole(text, 1, MAX_PROCS as u64)? as usize); Ok(()) },
    },
    Variable {
        name: "GORT_MAX_THREADS",
        expected: "4..=16384, or unset to follow the free memory maps",
        apply: |config, text| { config.max_threads = Some(whole(text, THREADS.0, THREADS.1)? as usize); Ok(()) },
    },
    Variable {
        name: "GORT_THREAD_KEEP_ALIVE",
        expected: "a time such as 10, 10s, 500ms or 5m, above 0 and up to a day",
        apply: |config, text| { config.thread_keep_alive = Some(time(text)?); Ok(()) },
    },
    Variable {
        name: "GORT_STACK_SIZE",
        expected: "bytes such as 262144, 256K or 1M, 64K..=1G",
        apply: |config, text| { config.stack_size = Some(bytes(text)? as usize); Ok(()) },
    },
    Variable {
        name: "GORT_PANIC",
        expected: "report or abort",
        apply: |config, text| { config.panic = Some(word(text, &[("report", PanicPolicy::Report), ("abort", PanicPolicy::Abort)])?); Ok(()) },
    },
    Variable {
        name: "GORT_DEADLOCK",
        expected: "exit, report or off",
        apply: |config, text| { config.deadlock = word(text, &[("exit", DeadlockPolicy::Exit), ("report", DeadlockPolicy::Report), ("off", DeadlockPolicy::Off)])?; Ok(()) },
    },
    Variable {
        name: "GORT_WATCHDOG",
        expected: "off, log or abort",
        apply: |config, text| { config.watchdog = Some(word(text, &[("off", WatchdogPolicy::Off), ("log", WatchdogPolicy::Log), ("abort", WatchdogPolicy::Abort)])?); Ok(()) },
    },
    Variable {
        name: "GORT_WATCHDOG_AFTER",
        expected: "a time such as 30, 30s, 500ms or 5m, above 0 and up to a day",
        apply: |config, text| { config.watchdog_after = Some(time(text)?); Ok(()) },
    },
    Variable {
        name: "GORT_SIGQUIT",
        expected: "on or off",
        apply: |config, text| { config.sigquit = on_off(text)?; Ok(()) },
    },
    Variable {
        name: "GORT_PERTURB",
        expected: "a list of yield, steal, move and wake with commas between, or unset for none",
        apply: |config, text| { config.perturb = perturb(text)?; Ok(()) },
    },
    Variable {
        name: "GORT_SEED",
        expected: "a number of 64 bits, decimal or 0x..., or unset for a new one in every run",
        apply: |config, text| { config.seed = Some(seed(text)?); Ok(()) },
    },
    Variable {
        name: "GORT_MODE",
        expected: "auto, migrating or bound",
        apply: |config, text| { config.mode = word(text, &[("auto", Mode::Auto), ("migrating", Mode::Migrating), ("bound", Mode::Bound)])?; Ok(()) },
    },
    Variable {
        name: "GORT_IDENTITY",
        expected: "a, the one way in which a goroutine gets a thread's identity; GORT_MODE=bound does without",
        apply: |_, text| word(text, &[("a", ())]),
    },
    Variable {
        name: "GORT_FS",
        expected: "auto, uring or threads",
        apply: |config, text| { config.fs = Some(word(text, &[("auto", Fs::Auto), ("uring", Fs::Uring), ("threads", Fs::Threads)])?); Ok(()) },
    },
    Variable {
        name: "GORT_MEMBARRIER",
        expected: "on or off",
        apply: |config, text| { config.membarrier = on_off(text)?; Ok(()) },
    },
    Variable {
        name: "GORT_HOG_NICE",
        expected: "0..=19, 0 for not at all",
        apply: |config, text| { config.hog_nice = Some(whole(text, 0, 19)? as u8); Ok(()) },
    },
    Variable {
        name: "GORT_RETAKE",
        expected: "on or off",
        apply: |config, text| { config.retake = on_off(text)?; Ok(()) },
    },
    Variable {
        name: "GORT_TEST_SCALE",
        expected: "a factor above 0 and up to 1000 such as 0.1 or 5",
        apply: |config, text| { config.test_scale = factor(text)?; Ok(()) },
    },
    Variable {
        name: "GORT_TEST_TIMEOUT",
        expected: "a time such as 30, 30s, 500ms or 5m, above 0 and up to a day",
        apply: |config, text| { config.test_timeout = Some(time(text)?); Ok(()) },
    },
];

impl Config {
    /// The settings of this process; unknown variables are reported on stderr.
    pub(crate) fn from_env() -> Result<Config, ConfigError> {
        let (config, unknown) = Config::parse(std::env::vars_os())?;
        for variable in unknown {
            // Not `eprintln!`, which panics when standard error is closed or full.
            let _ = io::stderr().write_all(format!("{variable}\n").as_bytes());
        }
        Ok(config)
    }

    /// The settings among `variables`, and the names that begin like ours but are none.
    pub(crate) fn parse(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Config, Vec<UnknownVariable>), ConfigError> {
        let mut config = Config::default();
        let mut unknown = Vec::new();
        for (name, value) in variables {
            if !name.as_encoded_bytes().starts_with(b"GORT_") {
                continue;
            }
            match KNOWN.iter().find(|known| name == known.name) {
                Some(known) => known.set(&mut config, &value)?,
                None => {
                    let name = name.to_string_lossy().into_owned();
                    let nearest = nearest(&name);
                    unknown.push(UnknownVariable { name, nearest });
                }
            }
        }
        Ok((config, unknown))
    }
}

impl Variable {
    fn set(&self, config: &mut Config, value: &OsStr) -> Result<(), ConfigError> {
        let outcome = match value.to_str().map(str::trim) {
            None => Err("is not text"),
            Some("") => Err("is empty"),
            Some(text) => (self.apply)(config, text),
        };
        outcome.map_err(|problem| ConfigError {
            variable: self.name,
            value: value.to_string_lossy().into_owned(),
            problem,
            expected: self.expected,
        })
    }
}

const NO_NUMBER: &str = "is not a number";
const OUT_OF_RANGE: &str = "is out of range";

fn digits(text: &str) -> Result<u64, &'static str> {
    // What `u64::from_str` would take besides: a plus sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NO_NUMBER);
    }
    text.parse().map_err(|_| OUT_OF_RANGE)
}

fn whole(text: &str, least: u64, most: u64) -> Result<u64, &'static str> {
    match digits(text.strip_prefix('-').unwrap_or(text))? {
        number if (least..=most).contains(&number) && !text.starts_with('-') => Ok(number),
        _ => Err(OUT_OF_RANGE),
    }
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor: u64 = match unit.to_ascii_uppercase().as_str() {
        "" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err("is not a size"),
    };
    let bytes = digits(number)?.checked_mul(factor).ok_or(OUT_OF_RANGE)?;
    if (STACK_BYTES.0..=STACK_BYTES.1).contains(&bytes) { Ok(bytes) } else { Err(OUT_OF_RANGE) }
}

fn seed(text: &str) -> Result<u64, &'static str> {
    match text.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) && !hex.is_empty() => {
            u64::from_str_radix(hex, 16).map_err(|_| OUT_OF_RANGE)
        }
        Some(_) => Err(NO_NUMBER),
        None => digits(text),
    }
}

fn factor(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(factor) if factor > 0.0 && factor <= 1000.0 => Ok(factor),
        Ok(_) => Err(OUT_OF_RANGE),
        Err(_) => Err(NO_NUMBER),
    }
}

fn time(text: &str) -> Result<Duration, &'static str> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        _ => return Err("is not a time"),
    };
    match digits(number)?.checked_mul(unit_ms) {
        Some(ms @ 1..=DAY_MS) => Ok(Duration::from_millis(ms)),
        _ => Err(OUT_OF_RANGE),
    }
}

fn on_off(text: &str) -> Result<bool, &'static str> {
    word(text, &[("on", true), ("off", false)])
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, &'static str> {
    words.iter().find(|(word, _)| *word == text).map(|&(_, value)| value).ok_or("is not known")
}

fn perturb(text: &str) -> Result<Perturb, &'static str> {
    let mut perturb = Perturb::default();
    for kind in text.split(',') {
        match kind.trim() {
            "yield" => perturb.yields = true,
            "steal" => perturb.steals = true,
            "move" => perturb.moves = true,
            "wake" => perturb.wakes = true,
            _ => return Err("names something else"),
        }
    }
    Ok(perturb)
}

/// The known name that a typing error may have turned into `name`: with most of the letters behind `GORT_` unchanged, else any short name would do
/// for any other.
fn nearest(name: &str) -> Option<&'static str> {
    let own = |name: &'static str| name.trim_start_matches("GORT_");
    let name = name.trim_start_matches("GORT_");
    let close = |edits: usize, known: &str| edits <= 3 && 2 * edits < known.len().min(name.len());
    let candidates = KNOWN.iter().map(|known| (distance(name, own(known.name)), known.name));
    candidates.min().filter(|&(edits, known)| close(edits, own(known))).map(|(_, known)| known)
}

/// How many letters have to be inserted, left out or replaced, without regard to case and underscores.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.to_ascii_uppercase().chars().filter(|&c| c != '_').collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
