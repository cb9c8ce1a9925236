//! `interval`.

use super::ms;
use gort::time::{MissedTick, interval, sleep};
use std::time::Instant;

/// The times of the ticks after a loop was away for three and a half periods.
fn ticks_after_a_pause(policy: MissedTick) -> (Vec<Instant>, Vec<Instant>) {
    let mut clock = interval(ms(10)).missed(policy);
    // On a busy machine the first one may come so late that the policy would apply to it, too.
    let (first, first_came) = loop {
        let (due, came) = (clock.tick(), Instant::now());
        if came - due < ms(1) {
            break (due, came);
        }
        clock.reset();
    };
    let (mut due, mut came) = (vec![first], vec![first_came]);
    sleep(ms(35));
    for _ in 0..4 {
        due.push(clock.tick());
        came.push(Instant::now());
        assert!(came.last() >= due.last());
    }
    (due, came)
}

#[gort::test(procs = [1, 2, 4])]
fn a_burst_catches_up_tick_by_tick() {
    let (due, _) = ticks_after_a_pause(MissedTick::Burst);
    assert!(due.windows(2).all(|pair| pair[1] - pair[0] == ms(10)));
}

#[gort::test(procs = [1, 2, 4])]
fn a_delay_starts_over_from_the_late_tick() {
    let (due, came) = ticks_after_a_pause(MissedTick::Delay);
    assert_eq!(due[1] - due[0], ms(10), "the late one");
    assert!(due[2] - due[1] >= ms(35), "{:?} after it came", due[2] - came[1]);
}

#[gort::test(procs = [1, 2, 4])]
fn a_skip_leaves_out_what_has_passed() {
    let (due, came) = ticks_after_a_pause(MissedTick::Skip);
    assert_eq!(due[1] - due[0], ms(10), "the late one");
    assert!(due[2] > came[1] || due[2] + ms(1) > came[1], "none that had passed");
    assert!(due.iter().all(|tick| (*tick - due[0]).as_micros() % 10_000 < 1000), "{due:?}");
}
