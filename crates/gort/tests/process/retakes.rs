//! Retakes are counted by cause and by call site.

use crate::child;
use crate::support::{ms, needs_migration, wait_until};
use gort::runtime::{Metrics, RetakeSite, metrics, retake_sites};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

/// Waits until the only P, which the caller wants now and then, has been taken from `holder`: both counters say so, and the site is the line
/// behind `place`.
fn is_taken(
    holder: gort::JoinHandle<()>,
    is_over: &AtomicBool,
    cause: fn(&Metrics) -> u64,
    of_site: fn(&RetakeSite) -> u64,
    place: &Location<'_>,
) {
    wait_until(|| cause(&metrics()) > 0);
    is_over.store(true, SeqCst);
    holder.join().unwrap();
    let (metrics, sites) = (metrics(), retake_sites());
    assert_eq!(metrics.retakes, metrics.retakes_marked + metrics.retakes_in_kernel + metrics.retakes_on_cpu);
    assert_eq!(sites.iter().map(RetakeSite::total).sum::<u64>(), metrics.retakes, "{sites:?}");
    let is_it = |site: &Location<'_>| site.file() == place.file() && site.line() == place.line() + 1;
    let site = sites.iter().find(|all| all.site().is_some_and(is_it)).unwrap_or_else(|| panic!("{place}: {sites:?}"));
    assert!(of_site(site) > 0, "{site}");
    assert!(site.to_string().starts_with(&format!("{}: ", site.site().unwrap())), "{site}");
}

/// A marked section, a sleep of std's, a loop; each counted for its section, for where the goroutine had waited last, or where it was started.
#[test]
fn a_retake_is_counted_by_cause_and_by_site() {
    if needs_migration("in bound mode a marked section keeps its P") {
        return;
    }
    let play = |case: &str| {
        let case = case.to_owned();
        let is_over = Arc::new(AtomicBool::new(false));
        let theirs = is_over.clone();
        let naps = move || {
            while !theirs.load(SeqCst) {
                std::thread::sleep(ms(20));
            }
        };
        let theirs = is_over.clone();
        gort::go(move || match &*case {
            "marked" => {
                let place = here();
                let holder = gort::go(|| gort::blocking(naps));
                is_taken(holder, &is_over, |all| all.retakes_marked, RetakeSite::marked, place);
            }
            "in the kernel" => {
                let (say, said) = gort::chan::bounded(1);
                let holder = gort::go(move || {
                    say.send(here()).unwrap();
                    gort::sleep(ms(1));
                    naps();
                });
                is_taken(holder, &is_over, |all| all.retakes_in_kernel, RetakeSite::in_kernel, said.recv().unwrap());
            }
            "on the CPU" => {
                let place = here();
                let holder = gort::go(move || while !theirs.load(SeqCst) {});
                is_taken(holder, &is_over, |all| all.retakes_on_cpu, RetakeSite::on_cpu, place);
            }
            other => panic!("{other}"),
        })
        .join()
        .unwrap();
    };
    let this = child::of(play);
    for case in ["marked", "in the kernel", "on the CPU"] {
        this.case(case).env("GORT_MAXPROCS", "1").run().exited(0);
    }
}
