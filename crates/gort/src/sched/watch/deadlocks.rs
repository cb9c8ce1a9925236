//! Goroutines that wait for one another for ever, as values.

use super::waits::{self, Party};
use crate::dump;
use crate::g::WaitReason;
use crate::sched::left::LeftGoroutine;
use crate::spawn::GoroutineId;
use std::fmt;
use std::panic::Location;

/// Goroutines that will never go on, since each waits for the next one; see [`deadlocks`](crate::runtime::deadlocks).
#[derive(Clone, Debug)]
pub struct Deadlock {
    sleepers: Vec<Sleeper>,
    is_certain: bool,
}

/// One of the goroutines of a [`Deadlock`].
#[derive(Clone, Debug)]
pub struct Sleeper {
    who: LeftGoroutine,
    waits_for: String,
}

impl Deadlock {
    /// All of them whose members have waited for `age_ms` at least.
    pub(crate) fn all(age_ms: u64) -> Vec<Self> {
        let now_ms = dump::now_ms();
        Self::among(&waits::picture(), now_ms, now_ms.saturating_sub(age_ms))
    }

    /// All of them in a picture.
    pub(super) fn among(all: &[Party], now_ms: u64, latest_ms: u64) -> Vec<Self> {
        waits::circles(all, latest_ms).iter().filter_map(|circle| Self::of(all, circle, now_ms)).collect()
    }

    /// A circle; `None` if it turns out to be none.
    fn of(all: &[Party], circle: &[usize], now_ms: u64) -> Option<Self> {
        let nexts = circle.iter().cycle().skip(1);
        let sleepers = circle.iter().zip(nexts).map(|(&at, &next)| Sleeper::of(&all[at], &all[next], now_ms));
        Some(Self { sleepers: sleepers.collect::<Option<_>>()?, is_certain: true })
    }

    /// The goroutines: each waits for the next one, the last for the first.
    #[must_use]
    pub fn goroutines(&self) -> &[Sleeper] {
        &self.sleepers
    }

    /// True if nothing can end it: each waits, without a limit, for a lock that the next one holds or for its end. False: as far as can be seen.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.is_certain
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_certain { "deadlock" } else { "suspected deadlock" };
        match self.sleepers.len() {
            1 => write!(f, "{how}: a goroutine waits for itself")?,
            count => write!(f, "{how}: {count} goroutines wait for one another")?,
        }
        for sleeper in &self.sleepers {
            write!(f, "\n{sleeper}")?;
        }
        Ok(())
    }
}

impl Sleeper {
    fn of(party: &Party, next: &Party, now_ms: u64) -> Option<Self> {
        let what = match party.reason {
            WaitReason::Join => format!("goroutine {} to end", next.id),
            WaitReason::Scope => format!("goroutine {} of its scope to end", next.id),
            _ => format!("what goroutine {} has locked at {}", next.id, party.locked_at()?),
        };
        let who = LeftGoroutine::of(party.g, now_ms)?;
        party.is_still().then_some(Self { who, waits_for: what })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> GoroutineId {
        self.who.id()
    }

    /// The name given to its [`Builder`](crate::Builder::name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.who.name()
    }

    /// What it does, in the words of a dump, as in `sync.Mutex.Lock, 120 ms`.
    #[must_use]
    pub fn state(&self) -> &str {
        self.who.state()
    }

    /// What would have to happen, as in `goroutine 7 to end`.
    #[must_use]
    pub fn waits_for(&self) -> &str {
        &self.waits_for
    }

    /// Where it waits.
    #[must_use]
    pub fn wait_site(&self) -> Option<&'static Location<'static>> {
        self.who.wait_site()
    }

    /// Where it was started.
    #[must_use]
    pub fn spawn_site(&self) -> Option<&'static Location<'static>> {
        self.who.spawn_site()
    }
}

/// Its entry in a dump, and what it waits for.
impl fmt::Display for Sleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\twaits for {}", self.who, self.waits_for)
    }
}
