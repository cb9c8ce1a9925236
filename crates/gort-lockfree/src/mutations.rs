//! The mutations: each weakens one protocol in one place, to show that a model notices.
//!
//! A model that passes proves nothing until it has failed. `cargo run -p gort-lockfree --example mutate` builds the crate
//! once per line with `GORT_MUTATE` set to the name and expects the model to fail. Mutations exist under
//! `--cfg gort_loom` only; in every other build [`mutated`](crate::mutate::mutated) is the constant `false`.

/// A mutation and the model that fails under it.
pub(crate) const MUTATIONS: &[(&str, &str)] = &[
    ("runq_push_relaxed", "runq::model::an_item_pushed_while_one_steals_is_complete_when_it_is_taken"),
    ("runq_pop_without_cas", "runq::model::an_item_is_taken_once_while_one_steals_and_the_owner_goes_round_the_ring"),
    ("runq_steal_without_cas", "runq::model::two_thieves_and_the_owner_share_without_loss"),
    ("runq_drain_without_cas", "runq::model::draining_half_against_a_thief_loses_nothing"),
    ("runq_next_without_cas", "runq::model::the_run_next_slot_is_taken_once_by_owner_or_thief"),
    ("runq_take_next_relaxed", "runq::model::a_queue_that_always_holds_something_is_never_seen_empty"),
    ("runq_empty_no_reread", "runq::model::a_queue_that_always_holds_something_is_never_seen_empty"),
    ("wake_commit_ignores_kick", "wake_word::model::a_timer_that_comes_up_before_the_commit_is_not_lost"),
    ("wake_unpark_any_id", "wake_word::model::an_unpark_of_the_last_user_of_a_record_never_readies_the_next"),
    ("wake_skips_rmw", "wake_word::model::what_was_written_before_a_second_unpark_is_seen_or_the_token_is_there_again"),
    (
        "wake_end_without_release",
        "wake_word::model::what_was_written_before_a_second_unpark_is_seen_or_the_token_is_there_again",
    ),
    ("wake_commit_ignores_token", "wake_word::model::an_unpark_between_the_look_and_the_commit_is_not_lost"),
    ("wake_unpark_ends_sleep", "wake_word::model::a_sleep_is_not_ended_by_a_token_and_does_not_lose_it"),
    ("wake_end_without_cas", "wake_word::model::of_an_unpark_and_a_timer_exactly_one_readies_and_the_token_stays"),
    ("timer_set_no_fence", "timer_word::model::a_deadline_moved_while_its_item_comes_up_has_an_item"),
    ("timer_fire_no_fence", "timer_word::model::a_deadline_moved_while_its_item_comes_up_has_an_item"),
    ("timer_fire_yields", "timer_word::model::of_two_who_set_at_once_the_last_has_an_item_in_time"),
    ("timer_never_nearer", "timer_word::model::a_deadline_moved_nearer_is_not_overtaken_by_the_old_item"),
    ("side_commit_ignores_ready", "side_word::model::an_event_between_try_and_park_is_not_lost"),
    ("side_commit_ignores_closed", "side_word::model::a_close_ends_a_wait_that_begins_at_the_same_time"),
    ("side_event_skips_rmw", "side_word::model::a_second_event_that_finds_the_first_unread_is_not_lost"),
    ("side_event_sticky_apart", "side_word::model::data_and_end_in_one_edge_do_not_leave_the_reader_waiting"),
    ("side_event_leaves_waiter", "side_word::model::a_deadline_and_data_together_wake_once"),
    ("fd_lock_ignores_closed", "fd_mutex::model::the_last_user_of_a_closed_fd_releases_it_once"),
    ("fd_decref_relaxed", "fd_mutex::model::the_last_user_of_a_closed_fd_releases_it_once"),
    ("fd_unlock_keeps_count", "fd_mutex::model::readers_hold_the_side_one_by_one_and_none_is_left_waiting"),
    ("fd_close_keeps_waiters", "fd_mutex::model::a_close_wakes_who_waits_for_the_side"),
    ("fd_withdraw_forgets_wake", "fd_mutex::model::a_reader_that_gives_up_takes_no_wake_along"),
    ("claim_take_without_cas", "claim::model::of_two_givers_one_wins_and_the_value_arrives_whole"),
    ("claim_finish_relaxed", "claim::model::of_two_givers_one_wins_and_the_value_arrives_whole"),
    ("permits_take_relaxed", "permits::model::of_three_that_want_all_each_gets_it_alone_and_sees_what_the_last_did"),
    (
        "permits_give_ignores_queued",
        "permits::model::what_is_handed_over_is_handed_over_once_with_all_that_was_written",
    ),
    ("permits_queue_blind", "permits::model::of_three_that_want_all_each_gets_it_alone_and_sees_what_the_last_did"),
    (
        "permits_queue_keeps_woken",
        "permits::model::of_three_that_want_all_each_gets_it_alone_and_sees_what_the_last_did",
    ),
    ("permits_settle_relaxed", "permits::model::a_writer_let_in_by_the_last_reader_sees_what_all_of_them_did"),
    ("permits_some_barges", "permits::model::who_leaves_the_queue_lets_the_next_pass_and_takes_no_permit_along"),
    ("owner_enter_no_fence", "owner::model::an_m_that_enters_and_sysmon_never_both_own_the_p"),
    ("owner_retake_no_barrier", "owner::model::an_m_that_enters_and_sysmon_never_both_own_the_p"),
    ("owner_leave_relaxed", "owner::model::an_m_that_enters_and_sysmon_never_both_own_the_p"),
    ("owner_renew_reads", "owner::model::an_m_that_enters_and_sysmon_never_both_own_the_p"),
    ("owner_retake_any_stay", "owner::model::a_mark_left_by_a_failed_attempt_does_not_hide_the_next"),
    ("spinning_submitted_no_fence", "spinning::model::no_goroutine_is_left_behind_by_the_last_spinner_going_to_sleep"),
    ("spinning_stop_no_fence", "spinning::model::no_goroutine_is_left_behind_by_the_last_spinner_going_to_sleep"),
    (
        "spinning_idle_no_fence",
        "spinning::model::no_goroutine_is_left_behind_by_an_m_that_gives_up_its_p_without_having_spun",
    ),
    ("spinning_cancel_blind", "spinning::model::a_wake_given_back_does_not_strand_those_who_relied_on_it"),
    ("spinning_last_unnoticed", "spinning::model::the_last_spinner_that_finds_other_work_sees_to_the_next"),
];
