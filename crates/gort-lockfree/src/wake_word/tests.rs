//! The wake word, step by step.

use super::WakeWord;

fn word() -> WakeWord {
    let word = WakeWord::new();
    word.reset(7);
    word
}

#[test]
fn a_token_is_one_token_whether_it_comes_before_or_during_the_park() {
    let word = word();
    assert!(!word.unpark(7) && !word.unpark(7));
    assert!(!word.commit_park(), "there is a token");
    assert!(word.take_token() && !word.take_token());
    assert!(word.commit_park());
    assert!(word.unpark(7) && !word.unpark(7), "who ends the park readies");
    assert!(word.take_token() && !word.take_token());
}

#[test]
fn a_park_that_ended_by_its_deadline_leaves_no_token() {
    let word = word();
    assert!(word.commit_park());
    assert!(word.kick() && !word.take_token());
}

#[test]
fn a_sleep_ends_by_a_kick_and_keeps_the_token() {
    let word = word();
    assert!(!word.unpark(7));
    assert!(word.commit_sleep() && !word.unpark(7));
    assert!(word.kick() && !word.kick());
    assert!(!word.commit_sleep(), "the second kick refuses, once");
    assert!(word.commit_sleep() && word.kick());
    assert!(word.take_token());
}

#[test]
fn an_unpark_of_a_party_that_has_ended_reaches_nobody() {
    let word = word();
    word.reset(8);
    assert!(word.commit_park());
    assert!(!word.unpark(7));
    assert!(word.unpark(8));
    word.reset(u64::MAX);
    assert!(word.commit_park() && word.unpark(u64::MAX), "60 bits of an id count");
}
