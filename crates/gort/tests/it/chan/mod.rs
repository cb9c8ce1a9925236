//! Channels and `select!`. The names in capitals are acceptance cases.

mod bad_days;
mod blocking;
mod close;
mod fairness;
mod fan;
mod join;
mod select;
mod stress;
mod threads;
mod timed;

use crate::support::wait_for_state;
