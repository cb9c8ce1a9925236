//! Goroutines that wait for one another for ever, as values.

use super::asleep::Asleep;
use super::search;
use super::waits::{self, Party};
use crate::dump;
use crate::g::WaitReason;
use crate::sched::left::LeftGoroutine;
use crate::spawn::GoroutineId;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// So often is looked for a moment in which no goroutine runs.
const PATIENCE: u32 = 10;
const PAUSE: Duration = Duration::from_millis(1);

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
    /// All of them whose members have waited for `age_ms` at least. On a thread that is the caller's own.
    pub(crate) fn all(age_ms: u64) -> Vec<Self> {
        search::wiped(Self::look, age_ms)
    }

    /// The circles alone, which need no search for channels' ends.
    pub(in crate::sched) fn circles() -> Vec<Self> {
        let now_ms = dump::now_ms();
        Self::certain(&waits::picture(), now_ms, now_ms)
    }

    #[inline(never)]
    fn look(age_ms: u64) -> Vec<Self> {
        let now_ms = dump::now_ms();
        let latest_ms = now_ms.saturating_sub(age_ms);
        let mut found = Self::certain(&waits::picture(), now_ms, latest_ms);
        found.extend(Self::suspected_in_time(now_ms, latest_ms).into_iter().flatten());
        found
    }

    /// All groups that sleep because of channels; `None` if there was no moment to see that in.
    pub(super) fn suspected_in_time(now_ms: u64, latest_ms: u64) -> Option<Vec<Self>> {
        (0..PATIENCE).find_map(|attempt| {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            Self::suspected(&waits::picture(), now_ms, latest_ms)
        })
    }

    /// All circles in a picture.
    pub(super) fn certain(all: &[Party], now_ms: u64, latest_ms: u64) -> Vec<Self> {
        waits::circles(all, latest_ms).iter().filter_map(|circle| Self::of(all, circle, now_ms)).collect()
    }

    /// All groups in a picture that sleep because of channels; `None`: it cannot be known at this moment.
    fn suspected(all: &[Party], now_ms: u64, latest_ms: u64) -> Option<Vec<Self>> {
        let asleep = Asleep::among(all, latest_ms)?;
        let group = |members: &BTreeSet<usize>| {
            let sleepers = members.iter().map(|&at| {
                let next = all[at].targets.iter().find(|target| members.contains(target)).map(|&target| &all[target]);
                match asleep.waits_for(all, at) {
                    Some(what) => Sleeper::new(&all[at], what, now_ms),
                    None => Sleeper::of(&all[at], next?, now_ms),
                }
            });
            Some(Self { sleepers: sleepers.collect::<Option<_>>()?, is_certain: false })
        };
        Some(asleep.groups.iter().filter_map(|found| group(&found.members)).collect())
    }

    /// A circle; `None` if it turns out to be none.
    fn of(all: &[Party], circle: &[usize], now_ms: u64) -> Option<Self> {
        let nexts = circle.iter().cycle().skip(1);
        let sleepers = circle.iter().zip(nexts).map(|(&at, &next)| Sleeper::of(&all[at], &all[next], now_ms));
        Some(Self { sleepers: sleepers.collect::<Option<_>>()?, is_certain: true })
    }

    /// The goroutines. If it is certain each waits for the next one, the last for the first.
    #[must_use]
    pub fn goroutines(&self) -> &[Sleeper] {
        &self.sleepers
    }

    /// True if nothing can end it: each waits, without a limit, for a lock that the next one holds or for its end. False: there are channels in it, and as far as
    /// can be seen nobody but these goroutines has an end of those.
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
        Self::new(party, what, now_ms)
    }

    fn new(party: &Party, waits_for: String, now_ms: u64) -> Option<Self> {
        let who = LeftGoroutine::of(party.g, now_ms)?;
        party.is_still().then_some(Self { who, waits_for })
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
