//! Retakes, counted by cause and by call site.
//!
//! Sysmon is the only one that counts, so a program whose goroutines come to gort often pays nothing. The site is the last place at which the
//! goroutine has called gort and could wait, its marked section included: what it does since then keeps the thread. One that has never waited is
//! counted for the place where it was started.
//!
//! Memory is bounded: a program has few sites, and those that find no room are counted together.

use crate::g::G;
use crate::prim::lock::Lock;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Why a P was taken from its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The goroutine is in a section marked as blocking.
    Marked,
    /// Its thread waits in the kernel.
    InKernel,
    /// It computes, or would if the machine had a processor for it.
    OnCpu,
}

const CAUSES: usize = 3;
const PLACES: usize = 256;

static COUNTS: [AtomicU64; CAUSES] = [const { AtomicU64::new(0) }; CAUSES];
static SITES: Lock<Sites> = Lock::new(Sites { places: [None; PLACES], others: [0; CAUSES] });

/// Sites of which something was said; those in use come first.
static REPORTED: Lock<[Option<&'static Location<'static>>; PLACES]> = Lock::new([None; PLACES]);

struct Sites {
    /// Those in use come first.
    places: [Option<Place>; PLACES],
    others: [u64; CAUSES],
}

#[derive(Clone, Copy)]
struct Place {
    site: &'static Location<'static>,
    counts: [u64; CAUSES],
}

impl Sites {
    /// The place of a site, a new one if there is none yet; `None` if all are taken.
    fn at(&mut self, site: &'static Location<'static>) -> Option<&mut Place> {
        let is_it = |place: &Option<Place>| place.is_none_or(|place| place.site == site);
        let place = self.places.iter_mut().find(|place| is_it(place))?;
        Some(place.get_or_insert(Place { site, counts: [0; CAUSES] }))
    }
}

/// The site for which `g` is counted.
pub(super) fn site_of(g: &'static G) -> Option<&'static Location<'static>> {
    g.call_site().or_else(|| g.spawn_site())
}

/// A P was taken from `g`.
pub(super) fn count(g: Option<&'static G>, cause: Cause) {
    // Relaxed: a statistic.
    COUNTS[cause as usize].fetch_add(1, Relaxed);
    let site = g.and_then(site_of);
    let mut sites = SITES.lock();
    match site.and_then(|site| sites.at(site)) {
        Some(place) => place.counts[cause as usize] += 1,
        None => sites.others[cause as usize] += 1,
    }
}

/// So many Ps have been taken for this cause.
pub(crate) fn counted(cause: Cause) -> u64 {
    // Relaxed: a statistic.
    COUNTS[cause as usize].load(Relaxed)
}

/// So many Ps have been taken.
pub(crate) fn total() -> u64 {
    [Cause::Marked, Cause::InKernel, Cause::OnCpu].map(counted).iter().sum()
}

/// True for the first that asks for this site, as long as there is room to remember it. That room is apart: those where Ps were taken are many more.
pub(super) fn is_first_report(site: &'static Location<'static>) -> bool {
    let mut reported = REPORTED.lock();
    let Some(place) = reported.iter_mut().find(|place| place.is_none_or(|known| known == site)) else { return false };
    place.replace(site).is_none()
}

/// Retakes at one call site; see [`retake_sites`](crate::runtime::retake_sites).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetakeSite {
    site: Option<&'static Location<'static>>,
    counts: [u64; CAUSES],
}

impl RetakeSite {
    /// Every site, those with the most retakes first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::with_capacity(PLACES + 1);
        {
            let sites = SITES.lock();
            all.extend(
                sites.places.iter().flatten().map(|place| Self { site: Some(place.site), counts: place.counts }),
            );
            all.push(Self { site: None, counts: sites.others });
        }
        all.retain(|site| site.total() > 0);
        all.sort_by_key(|site| std::cmp::Reverse(site.total()));
        all
    }

    /// Where the goroutines had called gort last and could have waited, or else where they were started. `None`: all sites together that were too
    /// many to be told apart.
    #[must_use]
    pub fn site(&self) -> Option<&'static Location<'static>> {
        self.site
    }

    /// From goroutines in a section marked by [`blocking`](crate::blocking).
    #[must_use]
    pub fn marked(&self) -> u64 {
        self.counts[Cause::Marked as usize]
    }

    /// From goroutines that waited in the kernel, without a mark.
    #[must_use]
    pub fn in_kernel(&self) -> u64 {
        self.counts[Cause::InKernel as usize]
    }

    /// From goroutines that computed.
    #[must_use]
    pub fn on_cpu(&self) -> u64 {
        self.counts[Cause::OnCpu as usize]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// `src/main.rs:7:9: 12 retakes (2 in marked sections, 10 in the kernel, 0 on the CPU)`
impl fmt::Display for RetakeSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.site {
            Some(site) => write!(f, "{site}")?,
            None => f.write_str("elsewhere")?,
        }
        let plural = if self.total() == 1 { "" } else { "s" };
        write!(
            f,
            ": {} retake{plural} ({} in marked sections, {} in the kernel, {} on the CPU)",
            self.total(),
            self.marked(),
            self.in_kernel(),
            self.on_cpu()
        )
    }
}
