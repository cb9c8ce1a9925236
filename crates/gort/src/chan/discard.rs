//! Values that nobody will receive.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Drops each value, whatever the drops of others do; goes on with the first panic then.
pub(super) fn drop_all<T>(mut values: VecDeque<T>) {
    let mut panic = None;
    while !values.is_empty() {
        let outcome = catch_unwind(AssertUnwindSafe(|| while values.pop_front().is_some() {}));
        if let Err(payload) = outcome {
            match panic {
                None => panic = Some(payload),
                // Its drop could panic, too.
                Some(_) => std::mem::forget(payload),
            }
        }
    }
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}
