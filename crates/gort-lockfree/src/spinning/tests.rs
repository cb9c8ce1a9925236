//! The counts, step by step.

use super::Spinning;

#[test]
fn one_is_woken_for_idle_ps_and_none_while_it_looks() {
    let counts = Spinning::new();
    assert!(!counts.submitted(), "no P is idle");
    counts.p_idle();
    counts.p_idle();
    assert!(counts.submitted());
    assert_eq!((counts.idle(), counts.spinning()), (2, 1));
    assert!(!counts.submitted(), "one looks already");
    counts.p_busy();
    assert!(counts.stop_with_work(), "the last one");
    assert!(counts.submitted(), "wakes the next");
    assert!(counts.cancel_wake(), "a P is idle");
    assert_eq!((counts.idle(), counts.spinning()), (1, 0));
}

#[test]
fn at_most_half_as_many_spin_as_run() {
    let counts = Spinning::new();
    assert!(!counts.try_spin(0));
    assert!(counts.try_spin(3) && counts.try_spin(3) && !counts.try_spin(3));
    assert!(!counts.stop_with_work(), "another one looks");
    counts.stop_without_work();
    assert_eq!(counts.spinning(), 0);
}
